"""Ids of tool calls: clients send them back with the results, so no call goes out without one."""

import json

import pytest
from openai.types.chat import ChatCompletion

from proxy.call import Kind
from proxy.wire import DIALECTS
from tests.wire.samples import DONE, accumulate, chunk, make_call, make_upstream, read_whole

SHAPED = ["openai", "vllm"]
NONE = [{}, {"id": None}, {"id": ""}]


def one(name, **more):
    return {"type": "function", "function": {"name": name, "arguments": "{}"}, **more}


def whole(*calls):
    message = {"role": "assistant", "content": None, "tool_calls": list(calls)}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    head = {"id": "c", "object": "chat.completion", "created": 1, "model": "m"}
    return json.dumps({**head, "choices": [choice]}).encode()


def reply(dialect, *calls, body=None):
    return DIALECTS[dialect].reply(make_call(body), make_upstream(dialect), 200, {}, whole(*calls))


def ids_of(answer):
    return [call.id for call in answer.choices[0].message.tool_calls]


def ids_in_stream(dialect, *calls):
    said = [chunk({"role": "assistant"})]
    said += [chunk({"tool_calls": [{"index": place, **call}]}) for place, call in enumerate(calls)]
    reader = DIALECTS[dialect].reader(make_call(), make_upstream(dialect))
    out = read_whole(reader, b"".join([*said, chunk({}, "tool_calls"), DONE]))
    assert reader.ended
    return ids_of(accumulate(out)[1])


@pytest.mark.parametrize("dialect", SHAPED)
@pytest.mark.parametrize("none", NONE)
def test_calls_without_ids_get_ids_of_their_own_and_always_the_same(dialect, none):
    calls = [one("f", **none), one("g", id="call_g"), one("f", **none)]
    answer = ChatCompletion.model_validate_json(reply(dialect, *calls).body)
    first, second, third = ids_of(answer)
    assert (len({first, second, third}), second) == (3, "call_g")
    assert ids_in_stream(dialect, *calls) == [first, second, third]
    assert all(made.startswith("call_") and len(made) <= 40 for made in (first, third))


@pytest.mark.parametrize("dialect", SHAPED)
def test_an_id_that_is_a_number_is_the_text_of_it(dialect):
    calls = [one("f", id=0), one("g", id=1)]
    answer = ChatCompletion.model_validate_json(reply(dialect, *calls).body)
    assert ids_of(answer) == ids_in_stream(dialect, *calls) == ["0", "1"]


@pytest.mark.parametrize("same", ["call_1", 0])
def test_whole_calls_of_one_id_are_told_apart(same):
    calls = [one("f", id=same), one("g", id=same), one("h", id="call_h")]
    first, second, third = ids_of(ChatCompletion.model_validate_json(reply("vllm", *calls).body))
    assert (first, third) == (str(same), "call_h")
    assert len({first, second, third}) == 3


def test_a_call_without_id_or_arguments_is_completed_in_one():
    bare = {"function": {"name": "f"}}
    assert ids_in_stream("vllm", bare) == ids_of(ChatCompletion.model_validate_json(reply("vllm", bare).body))


def test_one_function_call_of_old_needs_no_id():
    body = {**make_call().body, "functions": [{"name": "f"}]}
    answer = json.loads(reply("vllm", one("f"), body=body).body)["choices"][0]["message"]
    assert answer["function_call"] == {"name": "f", "arguments": "{}"}
    assert "tool_calls" not in answer


@pytest.mark.parametrize("call", [one(None, id="a"), one("", id="a"), {"id": "a", "type": "function"}])
def test_a_whole_answer_that_calls_nothing_by_name_is_no_answer(call):
    assert reply("openai", call).kind is Kind.BAD_ANSWER


@pytest.mark.parametrize("beside", [{}, {"function": None}])
@pytest.mark.parametrize("together", [True, False], ids=["with the finish", "before it"])
def test_a_call_of_a_custom_tool_without_an_id_gets_one_and_nothing_else(beside, together):
    custom = {"index": 0, "type": "custom", "custom": {"name": "run", "input": "ls"}, **beside}
    said = {"role": "assistant", "tool_calls": [custom]}
    stream = chunk(said, "tool_calls") if together else chunk(said) + chunk({}, "tool_calls")
    reader = DIALECTS["openai"].reader(make_call(), make_upstream())
    out = read_whole(reader, stream + DONE)
    assert reader.ended
    pieces = [json.loads(event[6:])["choices"][0]["delta"] for event in out.split(b"\n\n") if b"{" in event]
    calls = [call for delta in pieces for call in delta.get("tool_calls", ())]
    made = calls[-1]["id"]
    assert made.startswith("call_")
    assert calls == ([{**custom, "id": made}] if together else [custom, {"index": 0, "id": made}])


def test_a_call_that_began_as_one_of_a_function_stays_one_whatever_comes_beside_it():
    begun = {"index": 0, "type": "function", "function": {"name": "pay", "arguments": "{}"}}
    beside = {"index": 0, "custom": {"input": "ls"}, "function": None}
    said = chunk({"role": "assistant", "tool_calls": [begun]}) + chunk({"tool_calls": [beside]})
    reader = DIALECTS["openai"].reader(make_call(), make_upstream())
    out = read_whole(reader, said + chunk({}, "tool_calls") + DONE)
    assert reader.ended
    *_, last = [event for event in out.split(b"\n\n") if b"tool_calls" in event and b'"id":"call_' in event]
    assert json.loads(last[6:])["choices"][0]["delta"]["tool_calls"][0]["function"] == {}
