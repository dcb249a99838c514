"""The grammar of what servers and models can do and cost: `capabilities`, `models` and `prices` of the file.

A part of `grammar.py`, which says what such models of the file are for.
"""

from typing import Annotated, Literal

from pydantic import Field

from proxy.config.forms import Count, Effort, Member, NanoUsd, Part, Way, Whole


class CapabilitiesPart(Part):
    """How a server differs from OpenAI. Start from a known one and correct it.

    A member named in `accept`, `strip` or `refuse` gets that fate, whatever the known record says.
    """

    like: Literal["openai", "deepseek", "mistral", "ollama", "vllm", "plain"] | None = None
    """The known server to start from; default: by dialect and host, else plain."""
    accept: list[Member] = []
    """Body members that pass."""
    strip: list[Member] = []
    """Body members that never pass; the answer means the same without them."""
    refuse: list[Member] = []
    """Body members whose loss would change the answer: such a call goes to the next target."""
    rename: dict[Member, Member] = {}
    """OpenAI's member: the name here."""
    usage_option: bool | None = None
    """Understands stream_options.include_usage."""
    running_usage: bool | None = None
    """Tells the count with every event if asked to (stream_options.continuous_usage_stats)."""
    developer_role: bool | None = None
    """Knows the developer role; otherwise it is sent as system."""
    flatten_content: bool | None = None
    """Takes message content only as one text."""
    images: Literal["any", "data", "none"] | None = None
    """Pictures it takes: any, only JPEG, PNG and WebP as data URLs, or none."""
    audio: Literal["object", "string", "none"] | None = None
    """How it takes sound: as OpenAI, as plain base64, or not at all."""
    files: Literal["any", "document_url", "none"] | None = None
    """Files it takes: as OpenAI, PDF as document_url, or none."""
    reasoning: Literal["strip", "reasoning_content", "reasoning"] | None = None
    """Name of reasoning members in the history, or strip."""
    reasoning_required: bool | None = None
    """Each assistant turn with tool calls must bring its reasoning back, if only an empty text."""
    efforts: dict[Member, Member] = {}
    """OpenAI's reasoning_effort: the word here."""
    thinking_switch: bool | None = None
    """Knows thinking: {type}, by which effort none is said."""
    tools: Literal["any", "functions"] | None = None
    """functions: knows no custom tools, no allowed_tools and no old functions."""
    forced_tools: bool | None = None
    """Heeds tool_choice; otherwise none offers no tools, and forcing a call is refused."""
    tool_parameters: bool | None = None
    """Demands a schema of every function's parameters."""
    tool_ids: Literal["any", "upto40", "alnum9"] | None = None
    """upto40: tool-call ids of at most 40 characters; alnum9: just nine letters or digits."""
    parses_arguments: bool | None = None
    """With tools: functions: reads the arguments of earlier calls, so that broken ones are refused."""
    schemas: bool | None = None
    """Can be held to a JSON schema."""
    person: Member | None = None
    """Member that names the end person, always by a pseudonym."""
    temperature_max: Annotated[float, Field(gt=0, le=10)] | None = None
    """Highest temperature it takes; a higher one is lowered to it, and that is said."""
    lone_zero: bool | None = None
    """Takes temperature 0 only without top_p."""
    nulls: bool | None = None
    """Accepts members that are explicitly null."""
    answer_members: bool | None = None
    """Knows refusals, annotations and sound of earlier answers."""
    extra_message_members: bool | None = None
    """Accepts members inside messages and tools that are not OpenAI's own."""
    strip_inside: list[Member] | None = None
    """Members that never pass inside parts of content and tools."""
    merge_users: bool | None = None
    """Takes one user message at a time: neighbours are joined."""
    prefill: bool | None = None
    """Can continue a trailing assistant message."""
    prefix: bool | None = None
    """A trailing assistant message must say prefix: true."""
    continue_flag: bool | None = None
    """A trailing assistant message is continued only if the request says continue_final_message: true."""
    own_members: list[Member] | None = None
    """Members of its answers that never go on, such as padding."""


class TierPart(Part):
    """What every token of a call costs whose prompt is longer than `tokens`."""

    tokens: Count
    """The longest prompt of the tier before."""
    input: NanoUsd
    """Prompt tokens."""
    output: NanoUsd
    """Completion tokens, reasoning included."""
    cached: NanoUsd | None = None
    """Prompt tokens read from the upstream's cache; default: as input."""
    cache_write: NanoUsd | None = None
    """Prompt tokens written to the upstream's cache; default: as input."""


class PricePart(Part):
    """US dollars per million tokens."""

    input: NanoUsd
    """Prompt tokens."""
    output: NanoUsd
    """Completion tokens, reasoning included."""
    cached: NanoUsd | None = None
    """Prompt tokens read from the upstream's cache; default: as input."""
    cache_write: NanoUsd | None = None
    """Prompt tokens written to the upstream's cache; default: as input."""
    above: Annotated[list[TierPart], Field(max_length=10)] = []
    """What long prompts cost, from the shortest tier to the longest."""


class ModelPart(Part):
    """What a model takes and can do, where the packaged tables are wrong or silent."""

    context: Count | None = None
    """Tokens of prompt and answer together."""
    output: Count | None = None
    """The most tokens of one answer."""
    tools: bool | None = None
    """Calls functions."""
    forced_tools: bool | None = None
    """Can be made to call a tool."""
    vision: bool | None = None
    """Sees pictures."""
    audio: bool | None = None
    """Hears sound."""
    files: bool | None = None
    """Reads documents."""
    schemas: bool | None = None
    """Can be held to a JSON schema."""
    schemas_with_tools: bool | None = None
    """The same while tools are offered."""
    logprobs: bool | None = None
    """Tells how likely its tokens were."""
    choices: bool | None = None
    """Gives several answers at once."""
    prefill: bool | None = None
    """Continues a last assistant message."""
    sampling: bool | None = None
    """Takes temperature, top_p and top_k, at least while it does not think."""
    thinking: list[Way] | None = None
    """How it is told to think, in the words of its dialect; []: it cannot think."""
    thinks: bool | None = None
    """Thinks unless it is told not to."""
    efforts: list[Effort] | None = None
    """Efforts it tells apart; []: effort is a budget of tokens, or it cannot think."""
    budget: Annotated[list[Annotated[Whole, Field(ge=0)]], Field(min_length=2, max_length=2)] | None = None
    """[least, most] tokens it can be given to think; a least above 0: it always thinks."""
    inline_system: bool | None = None
    """Takes a system message in the middle of a conversation."""
    signed_calls: bool | None = None
    """Takes a call in the history only with the signature that it came with."""
