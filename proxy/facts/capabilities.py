"""The OpenAI-shaped servers we know, as data: what each takes, drops, refuses and renames.

`proxy/config` looks an upstream up here by its dialect or by the host of its base URL, unless the
YAML names a record itself (`capabilities: mistral`) or corrects one (`{like: mistral, strip: [...]}`).
Every record is a belief about somebody else's server: what is wrong today is mended in YAML, and
here later. Nothing in this file may decide anything; the `openai` and `vllm` dialects do that.

A member in `refuse` is one whose loss would change the answer, one in `strip` is a hint or a
convenience. Members whose fate depends on their value (`n: 1`, `logprobs: false`) are listed when
their telling values are refused; a value that asks for nothing is the dialect's to let go.
"""

from collections.abc import Mapping

from proxy.abilities import Capabilities

NEVER: frozenset[str] = frozenset(
    {
        "chat_template",
        "chat_template_kwargs",
        "documents",
        "kv_transfer_params",
        "logits_processors",
        "media_io_kwargs",
        "mm_processor_kwargs",
        "prompt_embeds",
        "request_id",
        "vllm_xargs",
    }
)
"""Members by which a caller would reach into the engine: templates run code, embeddings and
processor arguments have crashed servers, plug-in arguments are the operator's business. They pass
to no server that might be a vLLM, and no YAML can let them through. (The `vllm` dialect holds a list
of its own, because it must be safe whatever a table says.)"""

_TOKENS = ("max_completion_tokens", "max_tokens")

_HINTS = frozenset(
    {
        "metadata",
        "prediction",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "service_tier",
        "store",
        "verbosity",
    }
)
"""OpenAI's own accounting, caching and style hints: without them the answer means the same."""

_MEANT = frozenset({"audio", "modalities", "moderation", "web_search_options"})
"""What no other server honours, though the caller counts on it."""

_MARKS = frozenset({"cache_control", "prompt_cache_breakpoint"})
"""Marks for a cache inside parts of content and tools: hints as well."""

_SAMPLED = frozenset(
    {
        "frequency_penalty",
        "max_tokens",
        "messages",
        "model",
        "presence_penalty",
        "reasoning_effort",
        "response_format",
        "stop",
        "stream",
        "temperature",
        "tool_choice",
        "tools",
        "top_p",
    }
)
"""The core that every allow-list shares."""

_CHAT = _SAMPLED | {"n", "parallel_tool_calls"}

_ENGINE = frozenset(
    {
        # Sampling that only shapes this caller's own answer.
        "allowed_token_ids",
        "bad_words",
        "include_stop_str_in_output",
        "length_penalty",
        "min_p",
        "min_tokens",
        "repetition_penalty",
        "skip_special_tokens",
        "spaces_between_special_tokens",
        "stop_token_ids",
        "top_k",
        # Shape of the answer, reasoning, and the continuation of a partial answer.
        "add_generation_prompt",
        "continue_final_message",
        "guided_choice",
        "guided_grammar",
        "guided_json",
        "guided_regex",
        "include_reasoning",
        "structured_outputs",
        "thinking_token_budget",
    }
)
"""Members that vLLM added to OpenAI's."""

OPENAI = Capabilities(
    # It refuses what it does not know, which is the caller's to hear; but not what a caller says
    # to other servers on the same route, who do know it.
    strip=_ENGINE | NEVER | {"guardrails", "prompt_mode", "reasoning", "safe_prompt", "thinking"},
    # Models that reason refuse the old name; all take the new one.
    rename=(("max_tokens", "max_completion_tokens"),),
    developer_role=True,
    tool_ids="upto40",
    strip_inside=frozenset({"cache_control"}),
)

DEEPSEEK = Capabilities(
    accept=_SAMPLED
    | {"logprobs", "max_completion_tokens", "stream_options", "thinking", "top_logprobs", "user_id"},
    strip=_HINTS | {"parallel_tool_calls", "seed"},
    refuse=_MEANT | {"logit_bias", "n"},
    rename=(_TOKENS,),
    flatten_content=True,
    images="none",
    audio="none",
    files="none",
    reasoning="reasoning_content",
    reasoning_required=True,
    efforts=(("minimal", "low"), ("medium", "high"), ("xhigh", "high")),
    thinking_switch=True,
    tools="functions",
    schemas=False,
    person="user_id",
    answer_members=False,
    strip_inside=_MARKS,
)

MISTRAL = Capabilities(
    # 422 for any unknown member, so an allow-list; the names after renaming are on it as well.
    accept=_CHAT
    | {
        "guardrails",
        "max_completion_tokens",
        "prediction",
        "prompt_cache_key",
        "prompt_mode",
        "random_seed",
        "safe_prompt",
        "seed",
    },
    strip=(_HINTS - {"prediction", "prompt_cache_key"}) | {"safety_identifier", "user"},
    refuse=_MEANT | {"logit_bias", "logprobs", "top_logprobs"},
    rename=(_TOKENS, ("seed", "random_seed")),
    usage_option=False,
    audio="string",
    files="document_url",
    efforts=(("max", "xhigh"),),
    tools="functions",
    tool_parameters=True,
    tool_ids="alnum9",
    temperature_max=1.5,
    lone_zero=True,
    nulls=False,
    answer_members=False,
    extra_message_members=False,
    strip_inside=_MARKS,
    merge_users=True,
    prefix=True,
    own_members=frozenset({"p"}),
)

OLLAMA = Capabilities(
    # It ignores what it does not know, and nobody would hear of it: what is not listed is said here.
    accept=_SAMPLED | {"max_completion_tokens", "reasoning", "seed", "stream_options"},
    strip=_HINTS | {"parallel_tool_calls", "safety_identifier", "user"},
    refuse=_MEANT | {"logit_bias", "logprobs", "n", "top_logprobs"},
    rename=(_TOKENS,),
    images="data",
    audio="none",
    files="none",
    reasoning="reasoning",
    tools="functions",
    forced_tools=False,
    parses_arguments=True,
    answer_members=False,
    strip_inside=_MARKS,
)

VLLM = Capabilities(
    accept=_CHAT
    | _ENGINE
    | {
        # OpenAI's own that vLLM honours or harmlessly ignores.
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "seed",
        "stream_options",
        "top_logprobs",
        "user",
    },
    strip=_HINTS | NEVER | {"safety_identifier"},
    refuse=_MEANT,
    files="none",
    reasoning="reasoning",
    tools="functions",
    parses_arguments=True,
    answer_members=False,
    strip_inside=_MARKS,
    prefill=True,
    continue_flag=True,
)

PLAIN = Capabilities(strip=NEVER, own_members=frozenset({"x_groq"}))
"""A server nobody has described: everything passes but what would be unsafe if it were a vLLM."""

KNOWN: Mapping[str, Capabilities] = {
    "openai": OPENAI,
    "deepseek": DEEPSEEK,
    "mistral": MISTRAL,
    "ollama": OLLAMA,
    "vllm": VLLM,
    "plain": PLAIN,
}
"""By the name that YAML uses."""

HOSTS: Mapping[str, str] = {
    "api.openai.com": "openai",
    "eu.api.openai.com": "openai",
    "us.api.openai.com": "openai",
    "api.deepseek.com": "deepseek",
    "api.mistral.ai": "mistral",
    "ollama.com": "ollama",
    "ollama": "ollama",
}
"""Who answers at a host, for the `openai` dialect; an Ollama at another host says so in YAML."""

OLLAMA_PORT = 11434


def name_for(dialect: str, host: str, port: int | None) -> str:
    """The record that fits an upstream which does not name one."""
    if dialect != "openai":
        return dialect if dialect in KNOWN else "plain"
    if port == OLLAMA_PORT:
        return "ollama"
    return HOSTS.get(host.lower(), "plain")
