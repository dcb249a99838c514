"""The `vllm` dialect: OpenAI's shape with the ways of a self-hosted vLLM.

A caller's members reach an engine that we run ourselves, so only those on the list here pass:
chat templates, embedded prompts and their kind never do, whatever the table allows. vLLM ignores
the old `functions` without a word and refuses empty `tools`, so both are put right here. One event may
hold several tokens when its server is busy, so a stream that another may go on with is counted by it.
"""

from dataclasses import replace
from typing import Any

from proxy.call import Call, Kind, Phase, Signal, UpstreamRequest
from proxy.table import Capabilities, Target, Upstream
from proxy.wire.dialect import Recalled
from proxy.wire.modern_tools import NotFunctions, settle_tools
from proxy.wire.openai import OpenAI
from proxy.wire.openai_request import is_used, render
from proxy.wire.openai_stream import Expected

_ACCEPT = frozenset(
    {
        "add_generation_prompt",
        "allowed_token_ids",
        "bad_words",
        "continue_final_message",
        "frequency_penalty",
        "ignore_eos",
        "include_reasoning",
        "include_stop_str_in_output",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "min_p",
        "min_tokens",
        "n",
        "parallel_tool_calls",
        "presence_penalty",
        "reasoning_effort",
        "repetition_penalty",
        "response_format",
        "seed",
        "skip_special_tokens",
        "spaces_between_special_tokens",
        "stop",
        "stop_token_ids",
        "temperature",
        "tool_choice",
        "tools",
        "top_k",
        "top_logprobs",
        "top_p",
        "user",
    }
)
_NEVER = frozenset(
    {
        "chat_template",
        "documents",
        "kv_transfer_params",
        "logits_processors",
        "mm_processor_kwargs",
        "prompt_embeds",
        "request_id",
        "vllm_xargs",
    }
)
"""Members through which a caller would reach into the engine. No table can let them pass."""
_CANNOT = ("audio", "moderation", "web_search_options", "modalities")
_EXTRAS = frozenset(
    {
        "kv_transfer_params",
        "metrics",
        "prompt_logprobs",
        "prompt_text",
        "prompt_token_ids",
        "routed_experts",
        "stop_reason",
        "token_ids",
    }
)


class VLLM(OpenAI):
    """A vLLM server's chat completions."""

    def request(
        self, call: Call, target: Target, upstream: Upstream, recalled: Recalled
    ) -> UpstreamRequest | Signal:
        """The request for `target`; a `Signal` (`UNABLE`) if vLLM cannot express the call."""
        if call.mends:
            options = {**(call.body.get("stream_options") or {}), "continuous_usage_stats": True}
            call = replace(call, body={**call.body, "stream_options": options})
        body: dict[str, Any] = dict(call.body)
        for name in _CANNOT:
            if is_used(name, body.pop(name, None)):
                return Signal(Kind.UNABLE, Phase.CONNECT, detail=f"cannot express {name}")
        try:
            settle_tools(body)
        except NotFunctions:
            return Signal(Kind.UNABLE, Phase.CONNECT, detail="cannot express tools other than functions")
        return render(call, body, target, upstream, _abilities(upstream.capabilities))

    def expected(self, call: Call) -> Expected:
        """What an answer to this call must look like."""
        legacy = bool(call.body.get("functions"))
        return replace(super().expected(call), extras=_EXTRAS, legacy=legacy)


def _abilities(declared: Capabilities) -> Capabilities:
    """What the table declares, within what this dialect allows."""
    accept = _ACCEPT if declared.accept is None else declared.accept
    reasoning = "reasoning" if declared.reasoning == "strip" else declared.reasoning
    return replace(declared, accept=accept - _NEVER, reasoning=reasoning)
