"""Dialogues of two turns: what an upstream wants back, callers lose, and the story keeps meanwhile."""

import json

import orjson
import pytest
from msgspec.structs import replace

from proxy.call import Identity
from proxy.errors import Failure
from proxy.facts.capabilities import DEEPSEEK
from proxy.relay import answer
from proxy.table import Route, Target
from tests.kit.scripted_ports import (
    DONE,
    RESET,
    RecordingCaller,
    Says,
    ScriptedUpstreams,
    call,
    desk,
    event,
    stream,
    table,
    usage_event,
    whole,
)
from tests.kit.virtual import play

THOUGHT = "They want weather."
CALL = {"id": "call_00_a", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
ASK = {"role": "user", "content": "Weather?"}
HISTORY = [
    ASK,
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call_00_a", "content": "mild"},
]
BEGUN = [
    event({"role": "assistant", "content": None, "reasoning_content": "They want "}),
    event({"reasoning_content": "weather."}),
    event({"tool_calls": [{"index": 0, **CALL}]}),
]
FINISHED = [event(finish="tool_calls"), usage_event(), DONE]


def book(*models):
    """A table whose upstreams want reasoning back, with one route for each of `models`."""
    one = table("a")
    wanting = replace(one.upstreams["a"], capabilities=DEEPSEEK)
    routes = tuple(Route(model, (Target("a", model),)) for model in models)
    return replace(one, upstreams={"a": wanting}, routes=routes)


def called_whole():
    says = whole()
    body = orjson.loads(says.steps[0])
    message = {"role": "assistant", "content": "", "reasoning_content": THOUGHT, "tool_calls": [CALL]}
    body["choices"][0] |= {"message": message, "finish_reason": "tool_calls"}
    return Says(headers=says.headers, steps=[orjson.dumps(body)])


def turn(number, model, messages, **more):
    asked = call(number, messages=messages, **more)
    return replace(asked, model=model, body={**asked.body, "model": model})


def two_turns(at, caller, first, second):
    """Both turns; what the caller was told instead of an answer to the first, and the second request."""

    async def talk():
        failure = None
        try:
            await answer(at, caller, first)
        except Failure as told:
            failure = told
        await answer(at, RecordingCaller(), second)
        return failure

    failure = play(talk())
    return failure, json.loads(at.upstreams.requests[-1].body)["messages"][1]


@pytest.mark.parametrize("streamed", [True, False])
def test_reasoning_comes_back_with_its_tool_calls_though_the_caller_lost_it(streamed):
    said = Says(steps=BEGUN + FINISHED) if streamed else called_whole()
    at = desk(book("chat"), ScriptedUpstreams(a=[said, stream("mild")]))
    first = turn(1, "chat", [ASK], stream=streamed)
    failure, assistant = two_turns(at, RecordingCaller(), first, turn(2, "chat", HISTORY))
    assert failure is None
    assert assistant["reasoning_content"] == THOUGHT


@pytest.mark.parametrize("field", ["reasoning", "none"])
def test_a_route_names_reasoning_for_its_callers_and_keeps_it_all_the_same(field):
    one = book("chat")
    one = replace(one, routes=(replace(one.routes[0], reasoning_field=field),))
    at = desk(one, ScriptedUpstreams(a=[Says(steps=BEGUN + FINISHED), stream("mild")]))
    caller = RecordingCaller()
    _, assistant = two_turns(at, caller, turn(1, "chat", [ASK]), turn(2, "chat", HISTORY))
    assert b"reasoning_content" not in caller.body
    assert (b'"reasoning":"They want "' in caller.body) == (field == "reasoning")
    assert assistant["reasoning_content"] == THOUGHT


def test_what_the_caller_brings_itself_is_not_replaced():
    at = desk(book("chat"), ScriptedUpstreams(a=[Says(steps=BEGUN + FINISHED), stream("mild")]))
    own = [ASK, {**HISTORY[1], "reasoning_content": "My own."}, HISTORY[2]]
    _, assistant = two_turns(at, RecordingCaller(), turn(1, "chat", [ASK]), turn(2, "chat", own))
    assert assistant["reasoning_content"] == "My own."


def test_another_model_does_not_get_it():
    at = desk(book("chat", "other"), ScriptedUpstreams(a=[Says(steps=BEGUN + FINISHED), stream("mild")]))
    _, assistant = two_turns(at, RecordingCaller(), turn(1, "chat", [ASK]), turn(2, "other", HISTORY))
    assert assistant["reasoning_content"] == ""


def test_another_tenant_does_not_get_it():
    at = desk(book("chat"), ScriptedUpstreams(a=[Says(steps=BEGUN + FINISHED), stream("mild")]))
    stranger = replace(turn(2, "chat", HISTORY), identity=Identity("globex", "k2"))
    _, assistant = two_turns(at, RecordingCaller(), turn(1, "chat", [ASK]), stranger)
    assert assistant["reasoning_content"] == ""


def test_it_is_kept_before_the_caller_has_the_end_and_could_ask_again():
    at = desk(book("chat"), ScriptedUpstreams(a=[Says(steps=BEGUN + FINISHED)]))
    kept_at_the_end = []

    class Watching(RecordingCaller):
        def write(self, data):
            if data.endswith(DONE):
                kept_at_the_end.append(at.recall.held_bytes)
            return super().write(data)

    play(answer(at, Watching(), turn(1, "chat", [ASK])))
    assert len(kept_at_the_end) == 1
    assert kept_at_the_end[0] > 0


@pytest.mark.parametrize("steps", [[*BEGUN, RESET], BEGUN, [*BEGUN, DONE], [*BEGUN, event(finish="error")]])
def test_nothing_is_kept_of_an_answer_that_broke(steps):
    at = desk(book("chat"), ScriptedUpstreams(a=[Says(steps=steps), stream("mild")]))
    caller = RecordingCaller()
    _, assistant = two_turns(at, caller, turn(1, "chat", [ASK]), turn(2, "chat", HISTORY))
    assert caller.errors
    assert at.recall.held_bytes == 0
    assert assistant["reasoning_content"] == ""


def test_what_comes_back_is_held_against_limits_too(monkeypatch):
    """The caller's own bytes show nothing of it, and the upstream counts it."""
    at = desk(
        book("chat"), ScriptedUpstreams(a=[Says(steps=BEGUN + FINISHED), stream("mild"), stream("mild")])
    )
    reserve, holds = at.ledger.reserve, []

    def recording(hold):
        holds.append(hold.input_tokens)
        return reserve(hold)

    monkeypatch.setattr(at.ledger, "reserve", recording)
    again = turn(2, "chat", HISTORY)
    two_turns(at, RecordingCaller(), turn(1, "chat", [ASK]), again)
    play(answer(at, RecordingCaller(), replace(again, id="req_3", identity=Identity("globex", "k2"))))
    _, with_thought, without = holds
    assert with_thought - without == len(orjson.dumps(THOUGHT))
