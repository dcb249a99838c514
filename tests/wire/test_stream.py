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


def calls_in(stream):
    """The caller's tool calls, as the official SDK puts them together."""
    _, answer = accumulate(stream)
    calls = answer.choices[0].message.tool_calls
    return [(call.id, call.function.name, call.function.arguments) for call in calls]


def test_calls_that_all_come_at_one_index_stay_apart():
    reader = StreamReader(Expected(40, include_usage=False))
    stream = chunk({"tool_calls": [call_piece(0, "a", id="call_a")]})
    stream += chunk({"tool_calls": [call_piece(0, "b", id="call_b")]}) + chunk(
        {"tool_calls": [call_piece(0)]}
    )
    got = read_whole(reader, stream + chunk({}, "stop") + DONE)
    assert calls_in(got) == [("call_a", "a", "{}"), ("call_b", "b", "{}")]


@pytest.mark.parametrize(
    "again", [{"id": "call_a"}, {"id": "call_x"}, {"name": "a"}, {"id": "call_a", "name": "a"}]
)
def test_a_call_that_is_named_again_stays_one(again):
    """Some repeat the id with every piece, and some make up a new one."""
    reader = StreamReader(Expected(40, include_usage=False))
    name = again.get("name")
    function = {"arguments": "{}"} if name is None else {"name": name, "arguments": "{}"}
    later = {"index": 0, "function": function, **({"id": again["id"]} if "id" in again else {})}
    stream = chunk({"tool_calls": [call_piece(0, "a", id="call_a")]}) + chunk({"tool_calls": [later]})
    got = read_whole(reader, stream + chunk({}, "tool_calls") + DONE)
    assert calls_in(got) == [("call_a", "a", "{}")]


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


def function_piece(name=None, arguments=None, **more):
    function = {} if name is None else {"name": name}
    if arguments is not None:
        function["arguments"] = arguments
    return {"tool_calls": [{"index": 0, "function": function, **more}]}


WEATHER = {
    "tools": [{"type": "function", "function": {"name": name}} for name in ("get_time", "get_weather")]
}


def heads_in(out):
    """(id, name) of each piece of a tool call that goes out, with what is left out as None."""
    pieces = [piece for one in accumulate(out)[0] for piece in one.choices[0].delta.tool_calls or ()]
    return [(piece.id, piece.function.name if piece.function else None) for piece in pieces]


@pytest.mark.parametrize("asked", [{}, WEATHER])
@pytest.mark.parametrize(
    "pieces",
    [
        [function_piece("", "", id="x", type="function"), function_piece("get_weather", "{}")],
        [function_piece(None, "", id="x", type="function"), function_piece("get_weather", "{}")],
        [function_piece(None, None, id="x"), function_piece("get_weather", ""), function_piece(None, "{}")],
        [function_piece("get_weather", "", type="function"), function_piece(None, "{}", id="x")],
        [function_piece("get_weather", "", id=None), function_piece(None, "", id="x"), function_piece("")],
        [{"tool_calls": [{"index": 0, "id": "x"}]}, function_piece("get_weather", {})],
        [function_piece("get_weather", id="x"), function_piece("get_weather", "{}", id="x", type="function")],
        [function_piece("", "", id="x"), function_piece("get_weather", "", id="x")],
        [
            function_piece("", "", id="x"),
            function_piece("get_weather", "", id="y"),
            function_piece(None, "{}"),
        ],
    ],
)
def test_an_id_and_a_name_go_out_once_and_together_whenever_they_come(pieces, asked):
    reader = make_reader(asked=asked)
    out = read_whole(reader, b"".join(map(chunk, pieces)) + chunk({}, "tool_calls") + DONE)
    assert calls_in(out) == [("x", "get_weather", "{}")]
    heads = [head for head in heads_in(out) if head != (None, None)]
    assert heads == [("x", "get_weather")]


@pytest.mark.parametrize(
    "pieces", [["get_", "weather"], ["get_", "get_weather"], ["get_", "get_", "weather"]]
)
@pytest.mark.parametrize("arguments", ["{}", ""])
def test_half_a_name_of_a_tool_that_is_offered_waits_for_the_rest(pieces, arguments):
    *begun, last = [function_piece(name, "", id="x") for name in pieces]
    last["tool_calls"][0]["function"]["arguments"] = arguments
    reader = make_reader(asked=WEATHER)
    assert b"".join(reader.feed(chunk(piece)) for piece in begun).count(b"get_") == 0
    assert not reader.content
    out = read_whole(reader, chunk(last) + chunk({}, "tool_calls") + DONE)
    assert calls_in(out) == [("x", "get_weather", "{}")]
    assert heads_in(out)[0] == ("x", "get_weather")


def test_a_whole_name_never_waits():
    for asked in ({}, WEATHER):
        piece = chunk(function_piece("get_time", "", id="x", type="function"))
        reader = make_reader(asked=asked)
        reader.feed(chunk({"role": "assistant", "content": None}))
        assert reader.feed(piece) == piece


def test_half_a_name_that_nobody_offered_is_added_up_as_sdks_do():
    pieces = [function_piece("get_", "", id="x"), function_piece("weather", ""), function_piece(None, "{}")]
    out = read_whole(make_reader(), b"".join(map(chunk, pieces)) + chunk({}, "tool_calls") + DONE)
    assert calls_in(out) == [("x", "get_weather", "{}")]


def test_a_name_or_an_id_that_comes_after_the_arguments_is_not_lost():
    pieces = [function_piece("", '{"a":'), function_piece("get_time", "1"), function_piece(None, "}", id="x")]
    reader = make_reader(asked=WEATHER, recalls=True)
    out = read_whole(reader, b"".join(map(chunk, pieces)) + chunk({}, "tool_calls") + DONE)
    assert calls_in(out) == [("x", "get_time", '{"a":1}')]


def test_calls_that_wait_go_out_in_their_order():
    def named(index, name, arguments, **more):
        return {"index": index, "function": {"name": name, "arguments": arguments}, **more}

    begun = {"tool_calls": [named(0, "", "", id="x", note=[1]), named(1, "", "", id="y")]}
    stream = chunk(begun) + chunk({"tool_calls": [named(1, "b", '{"k":1}')]})
    out = read_whole(
        make_reader(), stream + chunk({"tool_calls": [named(0, "a", "")]}) + chunk({}, "stop") + DONE
    )
    assert calls_in(out) == [("x", "a", "{}"), ("y", "b", '{"k":1}')]
    assert b'"note":[1]' in out


def test_a_call_whose_name_never_comes_ends_with_what_came():
    out = read_whole(make_reader(), chunk(function_piece("", "", id="x")) + chunk({}, "stop") + DONE)
    assert calls_in(out) == [("x", "", "{}")]


def test_pieces_without_an_index_belong_to_the_call_with_their_id():
    pieces = [
        function_piece("a", "{", id="x"),
        function_piece(None, "}", id="x"),
        function_piece("b", "", id="y"),
    ]
    for piece in pieces:
        del piece["tool_calls"][0]["index"]
    out = read_whole(make_reader(), b"".join(map(chunk, pieces)) + chunk({}, "tool_calls") + DONE)
    assert calls_in(out) == [("x", "a", "{}"), ("y", "b", "{}")]


def test_a_call_of_a_custom_tool_goes_out_as_it_came():
    first = chunk(
        {
            "role": "assistant",
            "tool_calls": [{"index": 0, "id": "x", "type": "custom", "custom": {"name": "run", "input": ""}}],
        }
    )
    stream = first + chunk({"tool_calls": [{"index": 0, "custom": {"input": "ls"}}]})
    stream += chunk({}, "tool_calls") + DONE
    assert read_whole(make_reader(), stream) == stream


@pytest.mark.parametrize("bare", [0, 1, 2])
@pytest.mark.parametrize("with_finish", [False, True])
def test_who_asked_by_functions_gets_one_call_and_its_own_arguments(bare, with_finish):
    said = ["" if place == bare else f'{{"k":{place}}}' for place in range(3)]
    calls = [
        {
            "index": place,
            "id": f"c{place}",
            "type": "function",
            "function": {"name": "abc"[place], "arguments": ""},
        }
        for place in range(3)
    ]
    rest = [{"index": place, "function": {"arguments": text}} for place, text in enumerate(said)]
    last = chunk({"tool_calls": rest}, "tool_calls")
    if not with_finish:
        last = chunk({"tool_calls": rest}) + chunk({}, "tool_calls")
    out = read_whole(make_reader(legacy=True), chunk({"tool_calls": calls}) + last + DONE)
    message = accumulate(out)[1].choices[0].message
    assert (message.function_call.name, message.function_call.arguments) == ("a", said[0] or "{}")
    assert message.tool_calls is None


def test_arguments_beside_a_null_of_calls_in_the_last_chunk_are_completed():
    stream = chunk(function_piece("a", "", id="x")) + chunk({"tool_calls": None}, "tool_calls") + DONE
    assert calls_in(read_whole(make_reader(), stream)) == [("x", "a", "{}")]
