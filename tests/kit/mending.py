"""Dialogues about broken streams: one call played to its end, and what whole and broken look like."""

import orjson

from proxy.errors import Failure
from proxy.relay import answer
from proxy.table import (
    OnMidstream,
)
from tests.kit.scripted_ports import (
    DONE,
    RecordingCaller,
    call,
    desk,
    event,
)
from tests.kit.virtual import play

TOKENS = (" 1", " 2", " é", " 4", "\n", "\n", "x", " ", "y ", "z")
SHORT = (" 1", " 2", " 3", " 4", " 5", " 6", " 7", " 8")
CONTINUE, RESTART = OnMidstream.CONTINUE, OnMidstream.RESTART
ROLE = event({"role": "assistant", "content": ""})


def one(book, upstreams, asked=None):
    """Play one call to its end: (caller, desk)."""
    at, caller = desk(book, upstreams), RecordingCaller()

    async def story():
        try:
            await answer(at, caller, asked or call())
        except Failure as failure:
            return failure
        return None

    assert play(story()) is None
    assert upstreams.open == 0, "a body leaked"
    assert at.snapshot.health.outstanding == 0
    return caller, at


def chunks(caller):
    """Everything the caller got, but `[DONE]`, parsed."""
    lines = [line for line in caller.body.split(b"\n\n") if line]
    return [orjson.loads(line.removeprefix(b"data: ")) for line in lines if line != b"data: [DONE]"]


def check_whole(caller, text):
    """One coherent answer: said once, from one head, with one role, one finish and one end."""
    assert caller.text == text
    assert caller.errors == []
    assert caller.body.count(b"[DONE]") == 1
    assert caller.body.endswith(DONE)
    said = chunks(caller)
    assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in said}) == 1
    choices = [chunk["choices"][0] for chunk in said if chunk["choices"]]
    assert sum(choice["delta"].get("role") is not None for choice in choices) == 1
    assert choices[0]["delta"]["role"] == "assistant"
    assert sum(choice["finish_reason"] is not None for choice in choices) == 1
    assert choices[-1]["finish_reason"] is not None


def check_broken(caller, text):
    """What was sent is a beginning of the answer, and the caller is told that it is no more."""
    assert text.startswith(caller.text)
    assert [error["code"] for error in caller.errors] == ["upstream_broken"]
    assert b"[DONE]" not in caller.body
    assert caller.finished


def plain(narrator, *, counts=True):
    """What it says when nothing breaks; with `counts`, as it is asked where a break could be mended."""
    options = {"stream_options": {"continuous_usage_stats": counts}}
    return narrator.stream({"messages": [{"role": "user", "content": "hi"}], **options})


ASKS_USAGE = {"stream_options": {"include_usage": True}}
