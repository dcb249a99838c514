"""What an upstream's server and a model can do: the words, not the knowledge.

`facts/` knows them of the well-known ones, the table corrects them, `wire/` and `policy/fit` act on them.
What follows from a record is worked out once and looked up by it, so that its hash is kept.
"""

from typing import Literal

from msgspec import Struct


class Capabilities(Struct, frozen=True, cache_hash=True):
    """How an OpenAI-shaped upstream differs from OpenAI (`facts/capabilities.py` has the known ones)."""

    accept: frozenset[str] | None = None
    """The only body members that may pass; None: all that `strip` does not name."""
    strip: frozenset[str] = frozenset()
    """Body members that never pass, silently where they are hints, else noted as degraded."""
    refuse: frozenset[str] = frozenset()
    """Members whose loss would change the answer: a call that uses one cannot be served here."""
    rename: tuple[tuple[str, str], ...] = ()
    """(OpenAI's member, the upstream's member); if both are given the upstream's own name wins."""
    usage_option: bool = True
    """Understands `stream_options.include_usage`; False: usage comes unasked on the last chunk."""
    running_usage: bool = False
    """Tells the count with every event if asked to (`stream_options.continuous_usage_stats`)."""
    developer_role: bool = False
    """Knows the `developer` role; otherwise it is sent as `system`."""
    flatten_content: bool = False
    """Takes message content only as a string: text parts are joined, other parts refused."""
    images: Literal["any", "data", "none"] = "any"
    """Pictures it takes: all, only JPEG, PNG and WebP inside the request, or none."""
    audio: Literal["object", "string", "none"] = "object"
    """How it takes sound: as OpenAI has it, as plain base64 (`string`), or not at all."""
    files: Literal["any", "document_url", "none"] = "any"
    """Files it takes: as OpenAI has them, PDF in a part of that name, or none."""
    reasoning: Literal["strip", "reasoning_content", "reasoning"] = "strip"
    """What becomes of reasoning members in the history: dropped, or sent under this name."""
    reasoning_required: bool = False
    """Each assistant turn with tool calls must bring its reasoning back, if only an empty text."""
    efforts: tuple[tuple[str, str], ...] = ()
    """(OpenAI's `reasoning_effort`, the word for it here); what is not listed goes as it is."""
    thinking_switch: bool = False
    """Knows `thinking: {type}`, by which effort `none` is said; without it thinking is on."""
    tools: Literal["any", "functions"] = "any"
    """`functions`: knows no other tools, neither the old `functions` nor `allowed_tools`; all that can
    be said by `tools` is, and the rest refused."""
    forced_tools: bool = True
    """Heeds `tool_choice`; False: `none` is said by offering no tools, and forcing a call is refused."""
    tool_parameters: bool = False
    """Demands a schema of every function's parameters."""
    tool_ids: Literal["any", "upto40", "alnum9"] = "any"
    """Ids of tool calls: at most 40 characters (OpenAI), or just nine letters or digits (Mistral);
    others are hashed down."""
    parses_arguments: bool = False
    """Where it knows only functions: reads the arguments of earlier calls, so that broken are refused."""
    schemas: bool = True
    """Can be held to a JSON schema; False: at most to JSON."""
    person: str | None = None
    """Member that names the end person, always by a pseudonym; None: OpenAI's own go as they are."""
    temperature_max: float | None = None
    """Highest temperature it takes; None: OpenAI's."""
    lone_zero: bool = False
    """Takes temperature 0 only without `top_p`, which means nothing beside it."""
    nulls: bool = True
    """Accepts members that are explicitly null; False: they are left out."""
    answer_members: bool = True
    """Knows what earlier answers are marked with; False: a refusal is said as text, annotations are
    left out, and an answer that was spoken is refused."""
    extra_message_members: bool = True
    """Accepts unknown members inside messages and tools; False: only OpenAI's own are sent."""
    strip_inside: frozenset[str] = frozenset()
    """Members that never pass inside parts of content and tools, such as marks for a cache."""
    merge_users: bool = False
    """Takes one user message at a time: neighbours are joined, and turns that say nothing left out."""
    prefill: bool = False
    """Can continue a trailing assistant message."""
    prefix: bool = False
    """A trailing assistant message must say so (`prefix: true`)."""
    continue_flag: bool = False
    """Continues a trailing assistant message only if the request says so (`continue_final_message`)."""
    own_members: frozenset[str] = frozenset()
    """Members of its answers that are its own affair (padding, service data) and never go on."""


class ModelFacts(Struct, frozen=True, cache_hash=True):
    """What one model takes and can do, as far as anybody knows. None: nobody does, so it is tried.

    `proxy/facts` has what is known of the well-known models; the table's `models` corrects it.
    """

    context: int | None = None
    """Tokens of prompt and answer together."""
    output: int | None = None
    """The most tokens of one answer."""
    tools: bool | None = None
    """Calls functions."""
    forced_tools: bool | None = None
    """Can be made to call a tool (`tool_choice` of `required` or by name)."""
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
    """Gives several answers at once (`n`)."""
    prefill: bool | None = None
    """Continues a last assistant message."""
    sampling: bool | None = None
    """Takes `temperature`, `top_p` and `top_k`, at least as long as it does not think."""
    thinking: frozenset[str] | None = None
    """The ways in which it is told to think, in the words of its dialect; empty: it cannot think."""
    thinks: bool | None = None
    """Thinks unless it is told not to."""
    efforts: tuple[str, ...] | None = None
    """Efforts it tells apart, rising; empty where effort is said by a budget of tokens."""
    budget: tuple[int, int] | None = None
    """The least and the most tokens it can be given to think; a least above 0: it always thinks."""
    inline_system: bool | None = None
    """Takes a system message in the middle of a conversation."""
    signed_calls: bool | None = None
    """Takes a call in the history only with the signature that it came with."""


class Media(Struct, frozen=True):
    """The most tokens that a model counts for what is not text."""

    image: int = 50_000
    """One picture. The default is beyond the dearest that is known."""
    context: int = 1_050_000
    """All that it reads at once: what documents, moving pictures and the unknown may come to together."""
