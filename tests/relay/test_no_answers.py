"""Successes and near-successes that are no answer to what was asked: the next target answers, in silence."""

import orjson
import pytest

from proxy.relay import answer
from tests.kit.scripted_ports import (
    DONE,
    RecordingCaller,
    Says,
    ScriptedUpstreams,
    call,
    desk,
    event,
    stream,
    table,
    whole,
)
from tests.kit.virtual import play

ELSEWHERE = {"location": "http://127.0.0.1:1/elsewhere", "content-length": "0"}
NONE = {
    "moved": Says(302, ELSEWHERE),
    "moved, to be asked again": Says(307, ELSEWHERE),
    "no content": Says(204, {}),
    "a page": Says(200, {"content-type": "text/html"}, [b"<!doctype html><title>Sign in</title>"]),
    "another kind": Says(200, {"content-type": "image/png"}, [b"\x89PNG"]),
    "an empty object": Says(200, {"content-type": "application/json"}, [b"{}"]),
}


def answered(upstreams, *, streamed):
    at, caller = desk(table("a", "b"), upstreams), RecordingCaller()
    play(answer(at, caller, call(stream=streamed)))
    assert upstreams.open == 0
    return caller, [attempt.result for attempt in at.ledger.outcome.attempts]


@pytest.mark.fault("a11-redirect", "b8-page")
@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("none", NONE.values(), ids=NONE.keys())
def test_what_is_no_answer_is_answered_by_the_next(none, streamed):
    upstreams = ScriptedUpstreams(a=[none], b=[stream("fine") if streamed else whole("fine")])
    caller, results = answered(upstreams, streamed=streamed)
    assert b"fine" in caller.body
    assert upstreams.asked == ["a", "b"]
    assert results == ["bad_answer", "ok"]


@pytest.mark.fault("b8-page")
def test_a_whole_answer_where_a_stream_was_asked_for_is_none():
    caller, results = answered(ScriptedUpstreams(a=[whole("a")], b=[stream("fine")]), streamed=True)
    assert caller.text == "fine"
    assert results == ["bad_answer", "ok"]


@pytest.mark.fault("b8-page")
def test_a_stream_where_a_whole_answer_was_asked_for_is_none():
    told = Says(steps=[event({"content": "a"}), event(finish="stop"), DONE])
    caller, results = answered(ScriptedUpstreams(a=[told], b=[whole("fine")]), streamed=False)
    assert orjson.loads(caller.body)["choices"][0]["message"]["content"] == "fine"
    assert results == ["bad_answer", "ok"]
