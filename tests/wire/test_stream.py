"""The streamed answer beyond the golden cases: misshapen chunks, caps, what counts as content."""

import pytest

from proxy.call import Kind, Memory, Phase
from proxy.usage import Source
from proxy.wire.openai_stream import Expected, StreamReader
from proxy.wire.openai_thoughts import THOUGHTS_MAX
from proxy.wire.sse import MAX_EVENT
from tests.wire.samples import DONE, accumulate, chunk, event, read_whole


def make_reader(**expected):
    return StreamReader(Expected(40, **{"include_usage": False, **expected}))


@pytest.mark.parametrize(
    "data",
    [
        b"data: 7\n\n",
        b"data: []\n\n",
        b'data: "x"\n\n',
        b"data: {\n\n",
        b'data: {"choices":{"a":1}}\n\n',
        b'data: {"choices":[1]}\n\n',
        b'data: {"choices":[{"index":"0","delta":{}}]}\n\n',
        b'data: {"choices":[{"index":-1,"delta":{}}]}\n\n',
        b'data: {"choices":[{"index":1,"delta":{}}]}\n\n',
        b'data: {"choices":[{"index":0,"delta":"x"}]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"content":7}}]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"tool_calls":{"a":1}}}]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"tool_calls":[1]}}]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":[],"function":{}}]}}]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"name":[1]}}]}}]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":"x"}]}}]}\n\n',
        b"data: " + b"[" * 5000 + b"\n\n",
        b"data: " + b"x" * MAX_EVENT,
    ],
)
def test_a_misshapen_event_is_a_bad_answer_and_nothing_of_it_goes_out(data):
    reader = make_reader()
    assert reader.feed(data) == b""
    assert reader.failure.kind is Kind.BAD_ANSWER
    assert reader.failure.phase is Phase.HEADERS
    assert reader.feed(chunk({"content": "x"})) == b""
    assert reader.finish() == b""


@pytest.mark.parametrize(
    ("delta", "visible"),
    [
        ({"role": "assistant", "content": ""}, False),
        ({"role": "assistant", "content": None}, False),
        ({}, False),
        ({"content": ""}, False),
        ({"tool_calls": []}, False),
        ({"content": " "}, True),
        ({"refusal": "no"}, True),
        ({"reasoning_content": "hm"}, True),
        ({"reasoning": "hm"}, True),
        ({"content": "", "reasoning": "hm"}, True),
        ({"role": "assistant", "content": "", "reasoning_content": "hm"}, True),
        ({"tool_calls": [{"index": 0, "id": "t", "function": {"name": "a", "arguments": ""}}]}, True),
        ({"function_call": {"name": "a", "arguments": ""}}, True),
        ({"audio": {"data": "AAAA"}}, True),
        ({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]}, True),
    ],
)
def test_content_is_what_the_caller_can_see(delta, visible):
    reader = make_reader()
    reader.feed(chunk(delta))
    assert reader.failure is None
    assert reader.content is visible


@pytest.mark.parametrize(
    "data", [b": ping\n\n", b"\n\n", b"data: \n\n", b"event: ping\n\n", event({"choices": []})]
)
def test_what_is_no_content_neither_counts_nor_goes_out(data):
    reader = make_reader()
    assert reader.feed(data) == b""
    assert not reader.content
    assert reader.failure is None


def test_an_error_after_content_is_told_apart_from_one_before():
    error = event({"error": {"message": "x", "type": "server_error"}})
    before, after = make_reader(), make_reader()
    before.feed(chunk({"role": "assistant", "content": ""}) + error)
    after.feed(chunk({"content": "Hi"}) + error)
    assert (before.failure.phase, after.failure.phase) == (Phase.HEADERS, Phase.CONTENT)
    assert before.failure.kind is after.failure.kind is Kind.OVERLOADED


def test_done_inside_content_ends_nothing():
    reader = make_reader()
    assert b"[DONE]" in reader.feed(chunk({"role": "assistant", "content": "data: [DONE]\n\n"}))
    assert not reader.ended


def test_a_usage_text_inside_content_is_left_alone():
    text = 'x,"usage":null,y'
    stream = chunk({"role": "assistant", "content": text}, usage=None) + chunk({}, "stop", usage=None) + DONE
    chunks, _ = accumulate(read_whole(make_reader(), stream))
    assert chunks[0].choices[0].delta.content == text
    assert "usage" not in chunks[0].model_fields_set


@pytest.mark.parametrize("where", ["first", "spaced"])
def test_null_usage_goes_however_it_is_written(where):
    written = chunk({"role": "assistant", "content": "x"}, usage=None)
    if where == "first":
        written = written.replace(b',"usage":null', b"").replace(b'{"id"', b'{"usage":null,"id"')
    else:
        written = written.replace(b',"usage":null', b', "usage": null')
    assert b"usage" not in make_reader().feed(written)


@pytest.mark.fault("c10-count")
def test_cumulative_usage_on_every_chunk_counts_once_and_is_shown_once():
    def usage(output):
        return {"prompt_tokens": 5, "completion_tokens": output, "total_tokens": 5 + output}

    stream = chunk({"role": "assistant", "content": "a"}, usage=usage(1))
    stream += chunk({"content": "b"}, usage=usage(2)) + chunk({}, "stop", usage=usage(2)) + DONE
    reader = make_reader(include_usage=True)
    chunks, whole = accumulate(read_whole(reader, stream))
    assert [piece.usage is not None for piece in chunks] == [False, False, False, True]
    assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (5, 2)
    assert (reader.usage.input, reader.usage.output, reader.usage.source) == (5, 2, Source.REPORTED)


@pytest.mark.fault("c10-count")
@pytest.mark.parametrize(
    "usage",
    [
        {},
        {"prompt_tokens": 0, "completion_tokens": 0},
        {"prompt_tokens": -1, "completion_tokens": 5},
        {"prompt_tokens": 5, "completion_tokens": -5},
        {"prompt_tokens": 10**12, "completion_tokens": 5},
        {"prompt_tokens": 5.5, "completion_tokens": 5},
        {"prompt_tokens": "5", "completion_tokens": 5},
        {"prompt_tokens": True, "completion_tokens": 5},
        {"prompt_tokens": 5, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": -9}},
        [1],
    ],
)
def test_a_count_that_cannot_be_is_not_believed(usage):
    reader = make_reader()
    reader.feed(
        chunk({"role": "assistant", "content": "Hi"})
        + chunk({}, "stop")
        + event({"choices": [], "usage": usage})
    )
    assert reader.usage.source is Source.OBSERVED
    assert (reader.usage.input, reader.usage.output) == (10, 1)


def test_parts_of_a_count_never_exceed_the_whole():
    reader = make_reader()
    details = {"prompt_tokens_details": {"cached_tokens": 9, "cache_write_tokens": 9}}
    more = {"completion_tokens_details": {"reasoning_tokens": 9}}
    reader.feed(
        event({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 3, **details, **more}})
    )
    usage = reader.usage
    assert (usage.input, usage.output, usage.cached, usage.cache_write, usage.reasoning) == (5, 3, 5, 0, 3)


@pytest.mark.fault("c10-count")
def test_what_was_seen_is_counted_by_bytes_but_no_less_than_by_pieces():
    reader = make_reader()
    assert reader.usage.source is Source.ESTIMATED
    reader.feed(chunk({"content": "x" * 40}))
    assert reader.usage.output == 10
    for _ in range(20):
        reader.feed(chunk({"content": "漢"}))
    assert reader.usage.output == 25
    for _ in range(20):
        reader.feed(chunk({"content": "x"}))
    assert reader.usage.output == 41


@pytest.mark.parametrize("end", [b"", DONE])
def test_a_choice_that_never_came_is_missed_whatever_the_upstream_says(end):
    reader = make_reader(choices=2)
    out = read_whole(reader, chunk({"role": "assistant", "content": "A"}) + chunk({}, "stop") + end)
    assert reader.failure.kind is Kind.TRUNCATED
    assert not out.endswith(DONE)


def test_choices_begin_in_their_order_whichever_speaks_first():
    stream = chunk({"role": "assistant", "content": "C"}, index=2) + chunk({"content": "A"}, index=0)
    stream += b"".join(chunk({}, "stop", index=index) for index in (1, 0, 2)) + DONE
    reader = make_reader(choices=3)
    chunks, whole = accumulate(read_whole(reader, stream))
    assert reader.ended
    assert [choice.index for choice in chunks[0].choices] == [0, 1, 2]
    assert [choice.message.content for choice in whole.choices] == ["A", "", "C"]
    assert {choice.message.role for choice in whole.choices} == {"assistant"}


def test_a_count_among_service_data_is_read_and_the_data_stays_behind():
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    stream = chunk({"role": "assistant", "content": "a"}, x_groq={"id": "req", "seed": 1})
    stream += chunk({}, "stop", x_groq={"id": "req", "usage": usage}) + DONE
    reader = make_reader(include_usage=True, extras=frozenset({"x_groq"}))
    out = read_whole(reader, stream)
    assert b"x_groq" not in out
    assert accumulate(out)[1].usage.total_tokens == 7
    assert (reader.usage.total, reader.usage.source) == (7, Source.REPORTED)


def call_piece(index, name=None, **more):
    function = {"arguments": "{}"} if name is None else {"name": name, "arguments": ""}
    return {"index": index, "function": function, **more}


CALLED = chunk({"role": "assistant", "content": None, "reasoning_content": "Let me "})
CALLED += chunk({"reasoning_content": "look."})
CALLED += chunk({"tool_calls": [call_piece(0, "a", id="call_a", type="function")]})
CALLED += chunk({"tool_calls": [call_piece(1, "b", id="call_b", type="function")]})


def test_reasoning_before_tool_calls_is_kept_for_those_who_want_it_back():
    reader = StreamReader(Expected(40, include_usage=False, recalls=True))
    reader.feed(CALLED)
    assert reader.memories == ()
    reader.feed(chunk({}, "tool_calls") + DONE)
    assert reader.memories == (Memory(("call_a", "call_b"), b'"Let me look."'),)


@pytest.mark.parametrize(
    "rest", [b"", chunk({}, "abort") + DONE, event({"error": {"message": "x"}}), b"data: {\n\n"]
)
def test_an_answer_that_broke_leaves_nothing_to_recall(rest):
    reader = StreamReader(Expected(40, include_usage=False, recalls=True))
    read_whole(reader, CALLED + rest)
    assert reader.failure is not None
    assert reader.memories == ()


def test_nothing_is_recalled_without_calls_or_reasoning_or_need():
    def memories(stream, *, recalls=True):
        reader = StreamReader(Expected(40, include_usage=False, recalls=recalls))
        read_whole(reader, stream + chunk({}, "stop") + DONE)
        assert reader.ended
        return reader.memories

    assert memories(chunk({"content": "x", "reasoning_content": "hm"})) == ()
    assert memories(chunk({"tool_calls": [call_piece(0, "a", id="call_a")]})) == ()
    assert memories(CALLED, recalls=False) == ()


def test_only_the_first_answer_is_recalled():
    other = {"reasoning_content": "Not mine.", "tool_calls": [call_piece(0, "b", id="call_b")]}
    mine = {"reasoning_content": "Mine.", "tool_calls": [call_piece(0, "a", id="call_a")]}
    reader = StreamReader(Expected(40, include_usage=False, choices=2, recalls=True))
    stream = chunk(other, index=1) + chunk(mine) + chunk({}, "stop") + chunk({}, "stop", index=1)
    read_whole(reader, stream + DONE)
    assert reader.memories == (Memory(("call_a",), b'"Mine."'),)


def test_reasoning_too_long_to_keep_is_not_kept_by_halves():
    reader = StreamReader(Expected(40, include_usage=False, recalls=True))
    for _ in range(5):
        reader.feed(chunk({"reasoning_content": "x" * (THOUGHTS_MAX // 4)}))
    reader.feed(CALLED + chunk({}, "tool_calls") + DONE)
    assert reader.ended
    assert reader.memories == ()


@pytest.mark.parametrize(
    "other", [{"created": 2}, {"id": "c2"}, {"model": "m-2026"}, {"id": "", "created": 0}]
)
def test_all_chunks_are_of_the_answer_that_the_first_one_began(other):
    said = [chunk({"role": "assistant", "content": "a"}), chunk({"content": "b"}, **other)]
    counted = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    usage = {"object": "chat.completion.chunk", **other, "choices": [], "usage": counted}
    said += [chunk({}, "stop"), event(usage), DONE]
    out = read_whole(make_reader(include_usage=True), b"".join(said))
    chunks, _ = accumulate(out)
    assert [(one.id, one.created, one.model) for one in chunks] == [("c1", 1, "m")] * 4
    assert out.startswith(said[0])
    assert said[2] in out
    assert chunks[-1].usage.completion_tokens == 2


def test_what_comes_before_the_answer_does_not_say_whose_it_is():
    first = event({"id": "", "created": 0, "model": "", "choices": [], "prompt_filter_results": []})
    said = chunk({"role": "assistant", "content": "a"}, "stop")
    assert read_whole(make_reader(), first + said + DONE) == said + DONE


DIED = {"message": "it died", "code": 502}


def with_error(delta, finish, error):
    choice = {"index": 0, "delta": delta, "finish_reason": finish, "error": error}
    return event(
        {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    )


@pytest.mark.parametrize("finish", [None, "stop", "error"])
@pytest.mark.parametrize("texts", [[], ["a"], ["a", "b", "c"]])
def test_an_error_within_a_choice_ends_the_answer_whatever_it_is_called(finish, texts):
    """Pieces that say that there is none are read by template, which must not read over one."""
    reader = make_reader()
    out = b"".join(reader.feed(with_error({"content": text}, None, None)) for text in texts)
    out += read_whole(reader, with_error({"content": "d"}, finish, DIED) + chunk({}, "stop") + DONE)
    assert out.count(b"data:") == len(texts)
    assert (reader.failure.kind, reader.failure.status) == (Kind.OVERLOADED, 502)
    assert reader.failure.phase is (Phase.CONTENT if texts else Phase.HEADERS)
