"""Calls, targets and upstreams for the tests of this room, and the recordings they run over."""

import json
import os
from pathlib import Path

from msgspec.structs import replace
from openai.lib.streaming.chat._completions import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from proxy.abilities import Capabilities
from proxy.call import Call, Identity
from proxy.facts.models import facts_of
from proxy.table import Secret, Target, Upstream

ROOT = Path(__file__).parents[2]
FIXTURES = Path(os.environ.get("FALLTHROUGH_FIXTURES", ROOT / "../shared/fixtures")).resolve()
TARGET = Target("there", "model-there")
PERSON = "a-pseudonym"
"""As the server makes one of the id that a call carries."""
HELLO = {"model": "chat", "messages": [{"role": "user", "content": "Hello"}]}


def make_call(body=None, **overrides):
    body = HELLO if body is None else body
    stream = bool(body.get("stream"))
    usage = bool((body.get("stream_options") or {}).get("include_usage"))
    identity = Identity("acme", "k1", PERSON if body.get("safety_identifier") or body.get("user") else None)
    call = Call("req_1", 1_700_000_000, identity, body["model"], body, 40, stream, usage)
    return replace(call, **overrides)


def make_target(dialect, model=TARGET.model, base_url=""):
    """A target with what the packaged tables know of its model, at that address if it is known."""
    return replace(TARGET, model=model, facts=facts_of(dialect, model, base_url))


def make_upstream(dialect="openai", **able):
    return Upstream(
        "there", dialect, "http://127.0.0.1:1/v1", Secret("sk-secret"), capabilities=Capabilities(**able)
    )


def accumulate(stream):
    """What the official SDK makes of a stream; raises where it would."""
    state = ChatCompletionStreamState()
    chunks = []
    for event in stream.split(b"\n\n"):
        if event and event != b"data: [DONE]":
            chunk = ChatCompletionChunk.model_validate_json(event.removeprefix(b"data: "))
            chunks.append(chunk)
            state.handle_chunk(chunk)
    return chunks, state.current_completion_snapshot


def read_whole(reader, data, step=None):
    """Everything a reader gives for `data`, fed in pieces of `step` bytes."""
    step = step or max(1, len(data))
    out = b"".join(reader.feed(data[at : at + step]) for at in range(0, len(data), step))
    return out + reader.finish()


def chunk(delta, finish=None, index=0, **more):
    """One event as OpenAI would send it."""
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    body = {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [choice],
        **more,
    }
    return event(body)


def event(body):
    return b"data: " + json.dumps(body, separators=(",", ":")).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"
