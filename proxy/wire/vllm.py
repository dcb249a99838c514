"""The `vllm` dialect: OpenAI's shape with the ways of a self-hosted vLLM.

A caller's members reach an engine that we run ourselves, so only those on the list here pass:
chat templates, embedded prompts and their kind never do, whatever the table allows. vLLM ignores
the old `functions` without a word and refuses empty `tools`, so both are put right here. One event may
hold several tokens when its server is busy, so a stream that another may go on with is counted by it.
"""

from functools import lru_cache

from msgspec.structs import replace

from proxy.abilities import Capabilities
from proxy.table import Upstream
from proxy.wire.openai import OpenAI

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
_CANNOT = frozenset({"audio", "modalities", "moderation", "web_search_options"})
_MARKS = frozenset({"cache_control", "prompt_cache_breakpoint"})
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


@lru_cache(maxsize=128)
def _within(declared: Capabilities) -> Capabilities:
    """Remembered, because a table declares few and every call asks."""
    accept = _ACCEPT if declared.accept is None else declared.accept
    return replace(
        declared,
        accept=accept - _NEVER,
        refuse=declared.refuse | _CANNOT,
        files="none",
        running_usage=True,
        continue_flag=True,
        reasoning="reasoning" if declared.reasoning == "strip" else declared.reasoning,
        tools="functions",
        parses_arguments=True,
        answer_members=False,
        strip_inside=declared.strip_inside | _MARKS,
        own_members=declared.own_members | _EXTRAS,
    )


class VLLM(OpenAI):
    """A vLLM server's chat completions."""

    def abilities(self, upstream: Upstream) -> Capabilities:
        """What the table declares, within what this dialect allows."""
        return _within(upstream.capabilities)
