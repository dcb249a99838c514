"""What Gemini signed in one turn comes back in the next on the very parts that it stood on."""

import json
from base64 import b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.wire.dialect import NOTHING_RECALLED
from proxy.wire.gemini import Gemini
from proxy.wire.gemini.signatures import MOST_BYTES, UNSIGNED, Trace
from tests.wire.samples import HELLO, accumulate, event, make_call, make_target, make_upstream, read_whole

GEMINI = Gemini()
NAMES = ("weather", "3d-view", "go")
TOOLS = [{"type": "function", "function": {"name": name}} for name in NAMES]
SIGNED = "thoughtSignature"
ASKED = {**HELLO, "tools": TOOLS}

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=6)
SIGNATURES = st.none() | st.binary(min_size=40, max_size=60).map(lambda data: b64encode(data).decode())


def signed(part, signature):
    return part if signature is None else {**part, SIGNED: signature}


def call_of(name, value, made_id):
    return {"functionCall": {"name": name, "args": {"a": value}, **({"id": made_id} if made_id else {})}}


CALLS = st.builds(call_of, st.sampled_from(["weather", "go"]), TEXT, st.just(""))
PARTS = st.lists(
    st.builds(signed, st.builds(lambda text: {"text": text}, TEXT), SIGNATURES)
    | st.builds(signed, st.builds(lambda text: {"text": text, "thought": True}, TEXT), SIGNATURES)
    | st.builds(signed, CALLS, SIGNATURES),
    min_size=1,
    max_size=8,
)


@st.composite
def turns(draw):
    """The parts of a turn that calls at least one function, some of them with ids."""
    parts = [*draw(PARTS), signed(draw(CALLS), draw(SIGNATURES))]
    for number, part in enumerate(parts):
        if "functionCall" in part and draw(st.booleans()):
            part["functionCall"]["id"] = f"own-{number}"
    return parts


def expected(parts, *, needed):
    """The turn as Gemini wants it back: unsigned thoughts are spared, unsigned neighbours are one text."""
    out = []
    for part in parts:
        if "functionCall" in part or SIGNED in part:
            out.append(part)
        elif not part.get("thought") and part["text"]:
            if out and out[-1].keys() == {"text"}:
                out[-1] = {"text": out[-1]["text"] + part["text"]}
            else:
                out.append(part)
    first = next(number for number, part in enumerate(out) if "functionCall" in part)
    if needed and SIGNED not in out[first]:
        out[first] = {**out[first], SIGNED: UNSIGNED}
    return out


def chunks(parts):
    said = [{"candidates": [{"content": {"role": "model", "parts": [part]}}]} for part in parts]
    said[-1]["candidates"][0]["finishReason"] = "STOP"
    return said


def streamed(parts):
    """What a caller's SDK makes of a streamed turn, and what was kept of it."""
    reading = GEMINI.reader(make_call({**ASKED, "stream": True}), make_upstream())
    assert reading.memories == ()
    out = read_whole(reading, b"".join(map(event, chunks(parts))))
    assert reading.ended
    return out, accumulate(out)[1].choices[0].message.to_dict(), reading.memories


def whole(parts):
    """The same of a turn that came at once."""
    reply = GEMINI.reply(make_call(ASKED), make_upstream(), 200, {}, json.dumps(chunks(parts)).encode())
    return reply.body, json.loads(reply.body)["choices"][0]["message"], reply.memories


def asked_again(message, recalled, model):
    """The model's turn in the request that carries the results."""
    calls = []
    for one in message["tool_calls"]:
        function = {name: one["function"][name] for name in ("name", "arguments")}
        calls.append({"id": one["id"], "type": "function", "function": function})
    turn = {"role": "assistant", "content": message.get("content"), "tool_calls": calls}
    results = [{"role": "tool", "tool_call_id": one["id"], "content": "done"} for one in calls]
    body = {**ASKED, "messages": [*HELLO["messages"], turn, *results]}
    request = GEMINI.request(make_call(body), make_target("gemini", model), make_upstream(), recalled)
    _, said, answers = json.loads(request.body)["contents"]
    return said["parts"], answers["parts"]


@pytest.mark.parametrize(("model", "needed"), [("gemini-3-pro-preview", True), ("gemini-2.5-pro", False)])
@pytest.mark.parametrize("told", [streamed, whole])
@settings(max_examples=150, deadline=None, derandomize=True)
@given(turns())
def test_a_turn_comes_back_as_it_was(told, model, needed, parts):
    out, message, memories = told(parts)
    for part in parts:
        assert SIGNED not in part or part[SIGNED].encode() not in out
    recalled = {ident: memory.state for memory in memories for ident in memory.calls}
    said, answers = asked_again(message, recalled, model)
    if memories:
        assert said == expected(parts, needed=needed)
        assert len(memories) == 1
    ids = [part["functionCall"].get("id") for part in said if "functionCall" in part]
    assert [answer["functionResponse"].get("id") for answer in answers] == ids


@settings(max_examples=100, deadline=None, derandomize=True)
@given(turns())
def test_a_turn_that_is_forgotten_is_marked_and_not_refused(parts):
    _, message, _ = streamed(parts)
    said, _ = asked_again(message, NOTHING_RECALLED, "gemini-3-pro-preview")
    first, *others = [part.get(SIGNED) for part in said if "functionCall" in part]
    assert first == UNSIGNED
    assert not any(others)


def test_what_only_says_what_callers_know_is_not_kept():
    parts = [{"text": "Hi"}, call_of("go", "x", "own")]
    assert streamed(parts)[2] == ()


def test_a_turn_without_calls_is_not_kept():
    assert whole([{"text": "Hi", SIGNED: "c2lnbmVk"}])[2] == ()


def test_an_id_said_twice_is_one_call_with_an_id_of_ours():
    _, message, memories = whole([call_of("go", "x", "own"), call_of("go", "y", "own")])
    ids = [one["id"] for one in message["tool_calls"]]
    assert ids[0] == "own"
    assert ids[1].startswith("call_")
    assert memories[0].calls == tuple(ids)


@pytest.mark.parametrize("part", [{"text": 1}, {"thought": "x" * 9}])
def test_a_turn_that_signs_without_end_is_not_kept_and_takes_no_room(part):
    trace = Trace()
    trace.call("call_1", "c2lnbmVk", named=True)
    for _ in range(40):
        if "thought" in part:
            trace.thought(part["thought"], "A" * (MOST_BYTES // 20))
        else:
            trace.text(part["text"], "A" * (MOST_BYTES // 20))
    assert trace.memory() is None
    assert len(trace._parts) == 0


@pytest.mark.parametrize("wrong", [7, "", "no base64!", "A" * (MOST_BYTES + 1), None, ["A"]])
def test_what_is_no_signature_is_not_kept(wrong):
    trace = Trace()
    trace.call("call_1", wrong, named=True)
    trace.thought("x", wrong)
    assert trace.memory() is None
