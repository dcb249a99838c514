"""Tool calls of a streamed answer: once each, whole, and in their order, as SDKs put pieces together."""

import json

import pytest

from proxy.call import Kind
from proxy.wire.counts import Tally
from proxy.wire.openai_calls import Calls
from proxy.wire.openai_reply import judge_reply
from proxy.wire.openai_stream import Expected, StreamReader
from tests.wire.samples import DONE, accumulate, chunk, read_whole


def make_reader(**expected):
    return StreamReader(Expected(40, **{"include_usage": False, **expected}))


def call_piece(index, name=None, **more):
    function = {"arguments": "{}"} if name is None else {"name": name, "arguments": ""}
    return {"index": index, "function": function, **more}


def calls_in(stream):
    """The caller's tool calls, as the official SDK puts them together."""
    _, answer = accumulate(stream)
    calls = answer.choices[0].message.tool_calls
    return [(call.id, call.function.name, call.function.arguments) for call in calls]


def test_calls_that_all_come_at_one_index_stay_apart():
    reader = make_reader()
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
    reader = make_reader()
    name = again.get("name")
    function = {"arguments": "{}"} if name is None else {"name": name, "arguments": "{}"}
    later = {"index": 0, "function": function, **({"id": again["id"]} if "id" in again else {})}
    stream = chunk({"tool_calls": [call_piece(0, "a", id="call_a")]}) + chunk({"tool_calls": [later]})
    got = read_whole(reader, stream + chunk({}, "tool_calls") + DONE)
    assert calls_in(got) == [("call_a", "a", "{}")]


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


@pytest.mark.parametrize(
    "rest",
    [[function_piece("weather", ""), function_piece(None, "{}")], [function_piece("weather", "{}")]],
)
def test_half_a_name_that_nobody_offered_is_added_up_as_sdks_do(rest):
    pieces = [function_piece("get_", "", id="x"), *rest]
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


@pytest.mark.parametrize(
    "nameless",
    [
        {"id": "x", "function": {"name": "", "arguments": ""}},
        {"id": "x", "function": {"name": "", "arguments": "{}"}},
        {"id": "x", "type": "custom", "custom": {"input": "ls"}},
    ],
)
def test_a_call_whose_name_never_comes_is_no_answer_whole_or_streamed(nameless):
    reader = make_reader()
    out = read_whole(reader, chunk({"tool_calls": [{"index": 0, **nameless}]}) + chunk({}, "stop") + DONE)
    assert not out.endswith(DONE)
    choice = {"index": 0, "message": {"tool_calls": [nameless]}, "finish_reason": "tool_calls"}
    body = json.dumps({"id": "c", "object": "chat.completion", "choices": [choice]}).encode()
    judged = judge_reply(Expected(40, include_usage=False), 200, body)
    assert reader.failure.kind is judged.kind is Kind.BAD_ANSWER


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


def test_white_space_is_no_arguments():
    pieces = [function_piece("a", "", id="x"), function_piece(None, " "), function_piece(None, "\n")]
    out = read_whole(make_reader(), b"".join(map(chunk, pieces)) + chunk({}, "tool_calls") + DONE)
    assert calls_in(out) == [("x", "a", " \n{}")]


def test_arguments_beside_a_null_of_calls_in_the_last_chunk_are_completed():
    stream = chunk(function_piece("a", "", id="x")) + chunk({"tool_calls": None}, "tool_calls") + DONE
    assert calls_in(read_whole(make_reader(), stream)) == [("x", "a", "{}")]


@pytest.mark.parametrize("known", [{}, {"id": "x"}])
@pytest.mark.parametrize("asked", [{}, WEATHER])
def test_a_name_that_never_ends_is_malformed(known, asked):
    reader = make_reader(asked=asked)
    reader.feed(chunk({"role": "assistant", "content": "hi"}))
    read = 0
    while reader.failure is None:
        reader.feed(chunk(function_piece(f"{read}{'x' * 100}", **known)))
        read += 1
        assert read < 20
    assert reader.failure.kind is Kind.BAD_ANSWER


def test_a_name_that_waits_is_charged_though_nobody_sees_it():
    reader = make_reader()
    for word in ("a" * 200, "b" * 200):
        assert word.encode() not in reader.feed(chunk(function_piece(word)))
    assert (reader.content, reader.usage.output) == (False, 100)
    reader.feed(chunk(function_piece(None, "{}", id="x")))
    assert (reader.content, reader.usage.output) == (True, 101)


def test_a_call_waits_for_its_id_only_so_long():
    reader, out = make_reader(), b""
    said = [chunk({"tool_calls": [{"index": 0, f"x{number}": "y" * 5000}]}) for number in range(20)]
    for piece in said:
        out += reader.feed(piece)
    assert all(b'"x%d":' % number in out for number in range(20))
    out += read_whole(reader, chunk(function_piece("a", "{}", id="x")) + chunk({}, "stop") + DONE)
    assert calls_in(out) == [("x", "a", "{}")]


@pytest.mark.parametrize("place", [lambda _: {}, lambda number: {"index": number}])
def test_as_many_calls_as_a_model_makes_are_read_and_calls_without_end_are_malformed(place):
    pieces = [
        {**place(number), "id": f"x{number}", "function": {"name": "f", "arguments": "{}"[number % 2 * 2 :]}}
        for number in range(3000)
    ]
    reader = make_reader()
    out = reader.feed(chunk({"role": "assistant", "tool_calls": pieces[:1000]}))
    assert calls_in(out + reader.feed(chunk({}, "tool_calls"))) == [(f"x{n}", "f", "{}") for n in range(1000)]
    reader.feed(chunk({"tool_calls": pieces[1000:]}))
    assert reader.failure.kind is Kind.BAD_ANSWER


def test_the_call_of_a_piece_is_found_without_asking_all():
    class Id(str):
        __slots__ = ()
        compared = 0
        __hash__ = str.__hash__

        def __eq__(self, other):
            Id.compared += 1
            return str(self) == str(other)

    calls = Calls(Tally(), {}, legacy=False)
    begun = [{"id": Id(f"x{n}"), "function": {"name": "f", "arguments": "{"}} for n in range(500)]
    calls.take({"tool_calls": begun})
    rest = [{"id": Id(f"x{n}"), "function": {"arguments": "}"}} for n in range(500)]
    calls.take({"tool_calls": rest})
    assert [piece["index"] for piece in rest] == list(range(500))
    assert Id.compared < 5 * 500


def without_index(*pieces):
    """Those pieces in an event each."""
    return b"".join(chunk({"tool_calls": [piece]}) for piece in pieces) + chunk({}, "tool_calls") + DONE


@pytest.mark.parametrize("known", [{"id": "0"}, {}])
@pytest.mark.parametrize("asked", [{}, WEATHER])
@pytest.mark.parametrize(
    "calls",
    [
        [("f", '{"a":1}'), ("g", '{"b":2}')],
        [("get_time", '{"a":1}'), ("get_weather", '{"b":2}'), ("get_time", '{"a":1}')],
        [("get_weather", '{"city":"Rome"}'), ("get_weather", '{"city":"Oslo"}')],
        [("get", '{"a":1}'), ("get_time", {"b": 2})],
    ],
)
def test_calls_of_one_id_or_none_are_told_apart_by_their_names_and_whole_arguments(calls, asked, known):
    pieces = [{**known, "function": {"name": name, "arguments": said}} for name, said in calls]
    out = read_whole(make_reader(asked=asked), without_index(*pieces))
    texts = [said if isinstance(said, str) else '{"b":2}' for _, said in calls]
    expected = [(known.get("id"), name, text) for (name, _), text in zip(calls, texts, strict=True)]
    assert calls_in(out) == expected


@pytest.mark.parametrize("known", [{"id": "0"}, {}])
@pytest.mark.parametrize("again", [{}, {"name": "get_weather"}, {"name": "get_"}, {"name": ""}])
def test_a_call_without_an_index_goes_on_while_it_is_named_alike(again, known):
    texts = ['{"a":{"b":1}', ',"c":', '{"d":2}', "}"]
    pieces = [{**known, "function": {**again, "arguments": text}} for text in texts]
    pieces[0]["function"]["name"] = "get_weather"
    out = read_whole(make_reader(asked=WEATHER), without_index(*pieces))
    assert calls_in(out) == [(known.get("id"), "get_weather", "".join(texts))]


@pytest.mark.parametrize("parts", [["get_", "weather"], ["get", "_weather"], ["get_", "get_weather"]])
def test_a_name_in_parts_without_an_index_is_of_one_call(parts):
    asked = {"tools": [*WEATHER["tools"], {"type": "function", "function": {"name": "get"}}]}
    pieces = [{"id": "0", "function": {"name": part}} for part in parts]
    out = read_whole(make_reader(asked=asked), without_index(*pieces, {"function": {"arguments": "{}"}}))
    assert calls_in(out) == [("0", "get_weather", "{}")]


@pytest.mark.parametrize("beside", [None, {}, "", []])
def test_a_member_for_custom_tools_beside_a_function_changes_nothing(beside):
    function = [function_piece("get_weather", "{", id="x", custom=beside)]
    function += [function_piece("get_weather", text, id="x", custom=beside) for text in ('"a":', "1}")]
    reader = make_reader(asked=WEATHER)
    out = read_whole(reader, b"".join(map(chunk, function)) + chunk({}, "tool_calls") + DONE)
    assert calls_in(out) == [("x", "get_weather", '{"a":1}')]
    assert heads_in(out) == [("x", "get_weather"), (None, None), (None, None)]
    assert (reader.content, reader.usage.output) == (True, 5)


def test_a_piece_of_both_kinds_is_charged_for_both():
    both = function_piece("f" * 40, "a" * 40, id="x", custom={"name": "n" * 40, "input": "i" * 40})
    reader = make_reader()
    reader.feed(chunk(both))
    assert (reader.content, reader.usage.output) == (True, 40)


def test_a_null_for_a_function_beside_a_custom_tool_changes_nothing():
    custom = {"id": "x", "type": "custom", "custom": {"name": "run", "input": "ls"}, "function": None}
    first = chunk({"role": "assistant", "tool_calls": [{"index": 0, **custom}]})
    stream = first + chunk({}, "tool_calls") + DONE
    assert read_whole(make_reader(), stream) == stream
    message = {"role": "assistant", "content": None, "tool_calls": [custom]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    body = json.dumps({"id": "c", "object": "chat.completion", "choices": [choice]}).encode()
    assert judge_reply(Expected(40, include_usage=False), 200, body).body == body
    assert read_whole(make_reader(legacy=True), stream).endswith(DONE)


@pytest.mark.parametrize("piece", [None, "x", {"function": None}, {"function": "x"}, {"function": []}])
def test_a_piece_of_a_call_that_no_client_could_read_is_malformed(piece):
    reader = make_reader()
    reader.feed(chunk({"tool_calls": [piece]}))
    assert reader.failure.kind is Kind.BAD_ANSWER


def test_who_asked_by_functions_gets_all_the_pieces_of_one_event_as_one():
    texts = [f"{number}," for number in range(10_000)]
    pieces = [
        {"index": 0, "function": {"arguments": text, f"x{number}": 1}} for number, text in enumerate(texts)
    ]
    pieces[0] |= {"id": "x", "function": {"name": "a", **pieces[0]["function"]}}
    delta = {"tool_calls": pieces}
    Calls(Tally(), {}, legacy=True).take(delta)
    said = delta["function_call"]
    assert (said["name"], said["arguments"], said["x0"], said["x9999"]) == ("a", "".join(texts), 1, 1)


def test_empty_members_of_both_kinds_leave_it_a_call_of_a_function():
    begun = {"index": 0, "id": "x", "type": "function", "custom": {}, "function": {}}
    out = read_whole(
        make_reader(),
        chunk({"tool_calls": [begun]}) + chunk(function_piece("a", "{}")) + chunk({}, "stop") + DONE,
    )
    assert calls_in(out) == [("x", "a", "{}")]
