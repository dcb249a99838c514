"""What the golden cases cannot say of a stream: phases, early ends, and that nothing raises."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.call import Kind, Phase, Signal
from proxy.usage import Source
from proxy.wire.dialect import Reply
from proxy.wire.gemini import Gemini
from proxy.wire.sse import MAX_EVENT
from tests.wire.samples import DONE, HELLO, accumulate, event, make_call, make_upstream, read_whole

GEMINI = Gemini()
TOOLS = [{"type": "function", "function": {"name": "go"}}]


def chunk(*parts, finish=None, usage=None):
    candidate = {"content": {"role": "model", "parts": list(parts)}}
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], **({"usageMetadata": usage} if usage else {})}


def reader(**body):
    return GEMINI.reader(make_call({**HELLO, "stream": True, **body}), make_upstream())


def test_a_blocked_prompt_is_a_whole_answer_that_refuses():
    blocked = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "responseId": "x"}
    reading = reader()
    out = read_whole(reading, event(blocked))
    assert reading.ended
    choice = accumulate(out)[1].choices[0]
    assert choice.finish_reason == "content_filter"
    assert choice.message.refusal == "The prompt was blocked: PROHIBITED_CONTENT."


def test_nothing_at_all_is_no_answer():
    reading = reader()
    assert reading.feed(b"") + reading.finish() == b""
    assert reading.failure.kind is Kind.TRUNCATED


def test_the_finish_waits_for_the_end():
    reading = reader()
    out = reading.feed(event(chunk({"text": "Hi"}, finish="STOP")))
    assert b'"content":"Hi"' in out
    assert b'"finish_reason":"' not in out
    assert not reading.ended
    assert reading.finish().endswith(DONE)
    assert reading.feed(event(chunk({"text": "more"}))) == b""


def test_content_is_what_a_caller_can_see():
    reading = reader(tools=TOOLS)
    for silent in (
        {"text": ""},
        {"executableCode": {"code": "1"}},
        {"inlineData": {}},
        {"thoughtSignature": "x"},
    ):
        reading.feed(event(chunk(silent)))
    assert not reading.content
    reading.feed(event(chunk({"functionCall": {"name": "go"}})))
    assert reading.content


@pytest.mark.parametrize(
    ("finish", "kind"),
    [
        ("MALFORMED_FUNCTION_CALL", Kind.BAD_ANSWER),
        ("TOO_MANY_TOOL_CALLS", Kind.BAD_ANSWER),
        ("MALFORMED_RESPONSE", Kind.BAD_ANSWER),
        ("UNEXPECTED_TOOL_CALL", Kind.BAD_ANSWER),
        ("MISSING_THOUGHT_SIGNATURE", Kind.UNABLE),
        ("PUP_LIMITED_DISABLED", Kind.BAD_KEY),
    ],
)
def test_a_finish_that_is_none_fails_at_once_before_content(finish, kind):
    reading = reader()
    assert reading.feed(event(chunk({"text": "half"}, finish=finish))) == b""
    assert (reading.failure.kind, reading.failure.phase) == (kind, Phase.HEADERS)
    late = reader()
    late.feed(event(chunk({"text": "half"})))
    late.feed(event(chunk(finish=finish)))
    late.finish()
    assert late.ended


@pytest.mark.parametrize(
    ("finish", "word"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        *((one, "content_filter") for one in ("SAFETY", "RECITATION", "BLOCKLIST", "SPII", "LANGUAGE")),
        ("OTHER", "stop"),
        ("FINISH_REASON_UNSPECIFIED", "stop"),
        ("OF_NEXT_YEAR", "stop"),
    ],
)
def test_a_finish_in_openais_word(finish, word):
    reading = reader()
    out = read_whole(reading, event(chunk({"text": "Hi"}, finish=finish)))
    assert accumulate(out)[1].choices[0].finish_reason == word


def test_a_broken_answer_is_billed_for_what_was_seen():
    reading = reader()
    reading.feed(event(chunk({"text": "word " * 40}, usage={"promptTokenCount": 7})))
    reading.finish()
    assert reading.failure.kind is Kind.TRUNCATED
    assert (reading.usage.input, reading.usage.output) == (7, 50)
    assert reading.usage.source is Source.OBSERVED


def test_ids_are_the_same_each_time_and_differ_between_calls():
    def ids(call_id):
        call = make_call({**HELLO, "tools": TOOLS}, id=call_id)
        said = chunk({"functionCall": {"name": "go"}}, {"functionCall": {"name": "go"}}, finish="STOP")
        answer = json.loads(GEMINI.reply(call, make_upstream(), 200, {}, json.dumps(said).encode()).body)
        return [one["id"] for one in answer["choices"][0]["message"]["tool_calls"]]

    assert ids("req_1") == ids("req_1")
    assert len({*ids("req_1"), *ids("req_2")}) == 4


def test_a_body_without_end_is_given_up():
    reading = reader()
    reading.feed(b"[" + b" " * MAX_EVENT)
    assert reading.failure.kind is Kind.BAD_ANSWER
    assert reading.feed(b"]") == b""


def test_only_events_open_a_stream():
    assert GEMINI.opens(200, {"content-type": "text/event-stream; charset=UTF-8"})
    assert not GEMINI.opens(200, {"content-type": "application/json; charset=UTF-8"})
    assert not GEMINI.opens(429, {"content-type": "text/event-stream"})


def test_all_choices_are_of_one_model_though_it_is_told_late():
    reading = reader(n=3)
    late = {"candidates": [{"index": 2, "content": {"parts": [{"text": "C"}]}}], "modelVersion": "late"}
    ends = {"candidates": [{"index": index, "finishReason": "STOP"} for index in range(3)]}
    out = read_whole(reading, event(chunk({"text": "A"})) + event(late) + event(ends))
    assert reading.ended
    assert {shown.model for shown in accumulate(out)[0]} == {"chat"}


def test_one_answer_of_several_that_is_none_fails_them_all_before_content():
    reading = reader(n=2)
    wrong = {"candidates": [{"index": 1, "finishReason": "MALFORMED_FUNCTION_CALL"}]}
    assert reading.feed(event(wrong)) == b""
    assert (reading.failure.kind, reading.failure.phase) == (Kind.BAD_ANSWER, Phase.HEADERS)


def test_nothing_is_remembered_of_an_answer_that_has_not_ended():
    reading = reader(tools=TOOLS)
    signed = {"functionCall": {"name": "go"}, "thoughtSignature": "c2lnbmVk"}
    reading.feed(event(chunk(signed)))
    assert reading.content
    assert reading.memories == ()
    reading.finish()
    assert reading.failure is not None
    assert reading.memories == ()


WORDS = """
candidates content parts text thought functionCall name args id partialArgs willContinue jsonPath stringValue
finishReason index usageMetadata promptTokenCount candidatesTokenCount promptFeedback blockReason modelVersion
logprobsResult chosenCandidates topCandidates token logProbability error code status message details @type
violations quotaId retryDelay reason thoughtsTokenCount thoughtSignature promptTokensDetails
modality tokenCount
"""
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-2, 600)
    | st.sampled_from(
        ["", "x", "go", "STOP", "SAFETY", "$.a", "$.a[0]", "UNEXPECTED_TOOL_CALL", "x.ErrorInfo"]
    )
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(WORDS.split()), inner, max_size=4)
    ),
    max_leaves=12,
)
PARTS = st.lists(
    st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("text", "functionCall", "thought", "thoughtSignature"), VALUES)
    ),
    max_size=2,
)
CHUNKS = st.fixed_dictionaries(
    {},
    optional={
        "candidates": VALUES
        | st.lists(
            st.fixed_dictionaries(
                {"content": st.builds(lambda parts: {"parts": parts}, PARTS | VALUES)},
                optional={
                    "finishReason": VALUES,
                    "logprobsResult": VALUES,
                    "index": VALUES | st.integers(0, 2),
                },
            ),
            max_size=2,
        ),
        "usageMetadata": VALUES,
        "promptFeedback": VALUES,
        "error": VALUES,
    },
)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(st.lists(CHUNKS | VALUES, max_size=3))
def test_nothing_google_says_raises(bodies):
    call = make_call({**HELLO, "tools": TOOLS, "stream": True, "n": 2})
    reading = GEMINI.reader(call, make_upstream())
    for said in bodies:
        data = json.dumps(said).encode()
        reading.feed(b"data: " + data + b"\n\n")
        assert isinstance(GEMINI.reply(call, make_upstream(), 200, {}, data), Reply | Signal)
        assert isinstance(GEMINI.error(429, {}, data), Signal)
    reading.finish()
    assert reading.ended != (reading.failure is not None)
    assert reading.usage.total >= 0


@pytest.mark.parametrize("depth", [300, 900, 1020, 3000])
def test_deep_arguments_raise_nothing(depth):
    deep = "[" * depth + "]" * depth
    said = json.dumps(chunk({"functionCall": {"name": "go", "args": {"a": "deep"}}})).replace('"deep"', deep)
    call = make_call({**HELLO, "tools": TOOLS})
    assert isinstance(GEMINI.reply(call, make_upstream(), 200, {}, said.encode()), Reply | Signal)
    reading = GEMINI.reader(call, make_upstream())
    reading.feed(b"data: " + said.encode() + b"\n\n")
    reading.finish()
    assert reading.failure is not None


PICTURE = {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}


def one_of_two(index, part):
    candidate = {"content": {"role": "model", "parts": [part]}, "finishReason": "STOP", "index": index}
    return {"candidates": [candidate]}


@pytest.mark.parametrize("pictured", [0, 1])
@pytest.mark.parametrize("first", [0, 1])
def test_a_picture_beside_an_answer_in_words_takes_nothing_from_it(pictured, first):
    said = [one_of_two(at, PICTURE if at == pictured else {"text": "Hi"}) for at in (first, 1 - first)]
    reading = reader(n=2)
    out = read_whole(reading, b"".join(event(one) for one in said))
    assert reading.ended
    assert [one.message.content or "" for one in accumulate(out)[1].choices] == ["Hi", ""][
        :: 1 if pictured else -1
    ]
    reply = GEMINI.reply(make_call({**HELLO, "n": 2}), make_upstream(), 200, {}, json.dumps(said).encode())
    assert isinstance(reply, Reply)


def test_pictures_alone_are_no_answer_however_many():
    said = [one_of_two(0, PICTURE), one_of_two(1, PICTURE)]
    reading = reader(n=2)
    read_whole(reading, b"".join(event(one) for one in said))
    reply = GEMINI.reply(make_call({**HELLO, "n": 2}), make_upstream(), 200, {}, json.dumps(said).encode())
    assert reading.failure.kind is reply.kind is Kind.UNSAYABLE
