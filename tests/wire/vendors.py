"""What the vendors' own SDKs read out of an answer, and what OpenAI's reads out of ours.

Each reader takes the bytes of an answer, streamed or whole, and gives a `Read`: nothing here knows the
code under test. `oracles.py` says which reader judges which recording, and which quirks (`quirks.py`)
must be mended before that SDK can read it at all.
"""

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import Message, MessageTokensCount
from google.genai import types
from google.genai.models import _ListModelsResponse_from_mldev
from openai._models import construct_type
from openai._streaming import SSEDecoder
from openai.lib.streaming.chat._completions import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tests.wire.quirks import QUIRKS


class Called(NamedTuple):
    """One tool call."""

    name: str
    arguments: Any
    id: str | None = None
    """None: the vendor gave none."""


class Seen(NamedTuple):
    """One choice of an answer."""

    finish: str
    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    calls: tuple[Called, ...] = ()


class Counts(NamedTuple):
    """What money depends on."""

    input: int
    output: int
    total: int
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0


class Read(NamedTuple):
    """A whole answer."""

    choices: tuple[Seen, ...]
    counts: Counts | None
    """None: the upstream gave no count."""
    model: str | None


def events(data: bytes) -> list[dict[str, Any]]:
    """The events of a stream, taken apart by OpenAI's own decoder."""
    found = []
    for event in SSEDecoder().iter_bytes(iter([data])):
        if event.data.startswith("[DONE]"):
            break
        if event.data.strip():
            found.append(json.loads(event.data))
    return found


def is_stream(data: bytes) -> bool:
    return not data.lstrip().startswith((b"{", b"["))


# --- OpenAI ---------------------------------------------------------------------------------------


def openai(data: bytes, quirks: Iterable[str] = ()) -> Read:
    """OpenAI's SDK: a stream through its accumulator, a whole answer through its types."""
    said = events(data) if is_stream(data) else [json.loads(data)]
    for quirk in quirks:
        QUIRKS[quirk](said)
    if not is_stream(data):
        return _completion(construct_type(value=said[0], type_=ChatCompletion))
    state = ChatCompletionStreamState()
    for chunk in said:
        state.handle_chunk(construct_type(value=chunk, type_=ChatCompletionChunk))
    return _completion(state.current_completion_snapshot)


def _completion(answer: Any) -> Read:
    return Read(tuple(_choice(one) for one in answer.choices), _openai_counts(answer.usage), answer.model)


def _choice(choice: Any) -> Seen:
    message = choice.message
    assert message.role == "assistant"
    assert message.content is None or isinstance(message.content, str)
    calls = [
        Called(call.function.name, json.loads(call.function.arguments), call.id)
        for call in message.tool_calls or ()
    ]
    if message.function_call is not None:
        calls.append(Called(message.function_call.name, json.loads(message.function_call.arguments)))
    thought = (message.model_extra or {}).get("reasoning_content")
    return Seen(
        choice.finish_reason, message.content or "", thought or "", message.refusal or "", tuple(calls)
    )


def _openai_counts(usage: Any) -> Counts | None:
    if usage is None:
        return None
    given, made = usage.prompt_tokens_details, usage.completion_tokens_details
    return Counts(
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.total_tokens,
        (given and given.cached_tokens) or 0,
        (given and given.cache_write_tokens) or 0,
        (made and made.reasoning_tokens) or 0,
    )


# --- Anthropic ------------------------------------------------------------------------------------

_STOPS = {"tool_use": "tool_calls", "max_tokens": "length", "refusal": "content_filter"}
_STOPS["model_context_window_exceeded"] = "length"


def anthropic(data: bytes, quirks: Iterable[str] = ()) -> Read:
    """Anthropic's SDK: the message that its accumulator, or its types, make of an answer."""
    said = events(data) if is_stream(data) else [json.loads(data)]
    for quirk in quirks:
        QUIRKS[quirk](said)
    if not is_stream(data):
        return _message(Message.model_validate(said[0]))
    snapshot, buffers = None, {}
    for event in said:
        if event["type"] != "ping":
            snapshot = accumulate_event(event=event, current_snapshot=snapshot, json_bufs=buffers)
    return _message(snapshot)


def _message(message: Any) -> Read:
    blocks = message.content
    text = "".join(block.text for block in blocks if block.type == "text")
    calls = tuple(Called(block.name, block.input, block.id) for block in blocks if block.type == "tool_use")
    finish = _STOPS.get(message.stop_reason, "stop")
    if not calls and finish == "tool_calls":
        finish = "stop"
    details = message.stop_details
    refusal = (details.explanation or "") if details and not text else ""
    thought = "".join(block.thinking for block in blocks if block.type == "thinking")
    count = message.usage
    written, read = count.cache_creation_input_tokens or 0, count.cache_read_input_tokens or 0
    spent = count.output_tokens_details
    given, made = count.input_tokens + written + read, count.output_tokens
    counts = Counts(given, made, given + made, read, written, (spent and spent.thinking_tokens) or 0)
    return Read((Seen(finish, text, thought, refusal, calls),), counts, message.model)


# --- Google ---------------------------------------------------------------------------------------

_FINISHES = {
    "CONTINUATION": "length",
    "MAX_TOKENS": "length",
    "PROHIBITED_CONTENT": "content_filter",
    "SAFETY": "content_filter",
}


def google(data: bytes, quirks: Iterable[str] = ()) -> Read:
    """Google's types; its SDK joins nothing, so that joining is all that is done here."""
    said = events(data) if is_stream(data) else json.loads(data)
    said = said if isinstance(said, list) else [said]
    for quirk in quirks:
        QUIRKS[quirk](said)
    chunks = [types.GenerateContentResponse._from_response(response=chunk, kwargs={}) for chunk in said]
    heads = [head for chunk in chunks for head in chunk.candidates or ()]
    numbers = sorted({head.index or 0 for head in heads})
    seen = [_candidate([head for head in heads if (head.index or 0) == number]) for number in numbers]
    blocked = chunks[0].prompt_feedback and chunks[0].prompt_feedback.block_reason
    if blocked:
        seen = [Seen("content_filter", refusal=f"The prompt was blocked: {blocked.value}.")]
    return Read(tuple(seen), _google_counts(chunks[-1].usage_metadata), chunks[-1].model_version)


def _candidate(heads: list[Any]) -> Seen:
    """One candidate of several, from all its pieces."""
    parts = [part for head in heads if head.content for part in head.content.parts or ()]
    calls = tuple(
        Called(part.function_call.name, part.function_call.args or {}, part.function_call.id)
        for part in parts
        if part.function_call
    )
    finish = [head.finish_reason.value for head in heads if head.finish_reason][-1]
    return Seen(
        _FINISHES.get(finish, "tool_calls" if calls else "stop"),
        "".join(part.text or "" for part in parts if not part.thought),
        "".join(part.text or "" for part in parts if part.thought),
        "",
        calls,
    )


def _google_counts(usage: Any) -> Counts | None:
    if usage is None or not usage.prompt_token_count:
        return None
    given = usage.prompt_token_count + (usage.tool_use_prompt_token_count or 0)
    thought = usage.thoughts_token_count or 0
    made = (usage.candidates_token_count or 0) + thought
    total = usage.total_token_count or given + made
    return Counts(given, made, total, usage.cached_content_token_count or 0, reasoning=thought)


def models_of_google(data: bytes) -> int:
    """How many models a list names."""
    listed = _ListModelsResponse_from_mldev(json.loads(data))
    return len(types.ListModelsResponse._from_response(response=listed, kwargs={}).models)


def tokens_of_anthropic(data: bytes) -> int:
    """How many tokens a count says that there are."""
    return MessageTokensCount.model_validate_json(data).input_tokens
