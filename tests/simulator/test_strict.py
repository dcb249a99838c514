"""What Mistral, DeepSeek and Ollama refuse, and in which words; a healthy call of each passes."""

import copy
import json

import pytest

from proxy.simulator.strict import judge_deepseek, judge_mistral, judge_ollama
from tests.simulator.playing import events, playing

JUDGES = {"deepseek": judge_deepseek, "mistral": judge_mistral, "ollama": judge_ollama}
CALL = {"id": "abcDEF123", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
HEALTHY = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "Be brief"},
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "abcDEF123", "content": "mild"},
    ],
    "tools": [WEATHER],
}
PICTURE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}


def healthy(name):
    body = copy.deepcopy(HEALTHY)
    if name == "deepseek":
        body["messages"][2]["reasoning_content"] = ""
    return body


def put(body, path, value):
    """`body` with `value` at a path such as `messages.1.content`."""
    *steps, last = path.split(".")
    for step in steps:
        body = body[int(step) if step.isdigit() else step]
    body[int(last) if last.isdigit() else last] = value


@pytest.mark.parametrize("name", JUDGES)
def test_a_healthy_call_is_taken(name):
    assert JUDGES[name](healthy(name)) is None


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("max_completion_tokens", 5),
        ("stream_options", {}),
        ("user", "jane"),
        ("messages.1.name", "jane"),
        ("messages.1.content", [{"type": "text", "text": "x", "cache_control": {}}]),
        ("messages.1.content", [{"type": "file", "file": {"file_id": "1"}}]),
        ("messages.2.refusal", None),
        ("messages.2.reasoning_content", "hm"),
        ("messages.2.tool_calls.0.extra_content", {}),
        ("messages.2.tool_calls.0.function.strict", True),
        ("tools.0.cache_control", {}),
        ("tools.0.function.x", 1),
    ],
)
def test_mistral_forbids_what_it_does_not_know_at_every_level(path, value):
    body = healthy("mistral")
    put(body, path, value)
    refusal = judge_mistral(body)
    assert (refusal.status, refusal.code) == (422, "extra_forbidden")
    assert path.rpartition(".")[2] in refusal.param or "content" in path


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("top_p", None),
        ("temperature", 1.6),
        ("reasoning_effort", "max"),
        ("messages.0.role", "developer"),
        ("messages.1.content", [{"type": "input_audio", "input_audio": {"data": "AAAA"}}]),
        ("messages.2.tool_calls.0.id", "call_1"),
        ("messages.2.tool_calls", None),
        ("messages.3.tool_call_id", "call_1"),
        ("tools.0.function", {"name": "weather"}),
        ("messages", []),
    ],
)
def test_mistral_refuses_a_value_out_of_place(path, value):
    body = healthy("mistral")
    put(body, path, value)
    refusal = judge_mistral(body)
    assert refusal.status == 422
    assert refusal.code == "value_error"


def test_mistral_wants_zero_to_stand_alone():
    assert judge_mistral(healthy("mistral") | {"temperature": 0, "top_p": 1}) is None
    assert judge_mistral(healthy("mistral") | {"temperature": 0, "top_p": 0.9}).status == 422


USER, SAID = {"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}
CALLED, RESULT = HEALTHY["messages"][2:]


@pytest.mark.parametrize(
    "messages",
    [
        [USER, USER],
        [USER, SAID],
        [USER, {"role": "assistant", "content": ""}, USER],
        [{"role": "system", "content": "x"}],
        [USER, RESULT],
        [USER, CALLED],
        [USER, CALLED, USER],
        [USER, CALLED, RESULT, RESULT],
        [USER, CALLED, RESULT, USER],
    ],
)
def test_mistral_keeps_the_order_of_the_roles(messages):
    assert judge_mistral({"model": "m", "messages": messages}).code == "3230"


def test_mistral_continues_what_says_that_it_is_a_beginning():
    assert judge_mistral({"model": "m", "messages": [USER, {**SAID, "prefix": True}]}) is None


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("messages.0.role", "developer"),
        ("messages.1.content", [{"type": "text", "text": "x"}]),
        ("messages.1", {"role": "user"}),
        ("messages.2.reasoning_content", None),
        ("messages.2.tool_calls.0.type", "custom"),
        ("tools.0.type", "custom"),
        ("thinking", {"type": "adaptive"}),
        ("reasoning_effort", "none"),
        ("response_format", {"type": "json_schema", "json_schema": {}}),
    ],
)
def test_deepseek_refuses(path, value):
    body = healthy("deepseek")
    put(body, path, value)
    assert judge_deepseek(body).status == 400


def test_deepseek_wants_no_reasoning_where_it_does_not_think():
    assert judge_deepseek(healthy("mistral")).message.endswith("must be passed back to the API.")
    assert judge_deepseek(healthy("mistral") | {"thinking": {"type": "disabled"}}) is None


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("messages.1.content", [PICTURE]),
        ("messages.1.content", [{"type": "input_audio", "input_audio": {}}]),
        ("messages.2.tool_calls.0.function.arguments", "{"),
        ("messages.2.tool_calls.0.function.arguments", "[]"),
    ],
)
def test_ollama_refuses(path, value):
    body = healthy("ollama")
    put(body, path, value)
    assert judge_ollama(body).status == 400


@pytest.mark.parametrize("name", JUDGES)
def test_what_is_no_object_is_refused(name):
    assert JUDGES[name]([]).status in (400, 422)
    assert JUDGES[name]({"model": "m"}).status in (400, 422)


async def test_refusals_have_the_shape_that_each_vendor_gives_them(tmp_path):
    async with playing(tmp_path / "s.yaml") as post:
        status, _, body = await post("mistral", user="jane")
        told = json.loads(body)
        assert (status, told["object"], told["code"]) == (422, "error", None)
        assert told["message"]["detail"][0]["type"] == "extra_forbidden"
        status, _, body = await post("deepseek", reasoning_effort="none")
        told = json.loads(body)["error"]
        assert (status, told["code"], told["param"]) == (400, "invalid_request_error", None)


@pytest.mark.parametrize("name", JUDGES)
async def test_a_stream_of_theirs_ends_in_a_count(tmp_path, name):
    async with playing(tmp_path / "s.yaml") as post:
        asked = {} if name == "mistral" else {"stream_options": {"include_usage": True}}
        status, _, body = await post(name, stream=True, reasoning_effort="high", **asked)
        assert status == 200
        *chunks, done = events(body)
        assert done == "[DONE]"
        said = [json.loads(chunk) for chunk in chunks]
        assert said[-1]["usage"]["total_tokens"] > 0
        assert all(chunk["id"] == said[0]["id"] for chunk in said)


async def test_a_script_breaks_them_like_any_other(tmp_path):
    script = "mistral: [{do: {error: overload}}]\ndeepseek: [{do: {error_event: 1}}]"
    async with playing(tmp_path / "s.yaml", script) as post:
        status, _, body = await post("mistral")
        assert (status, json.loads(body)["object"]) == (503, "error")
        status, _, body = await post("deepseek", stream=True)
        assert (status, "error" in json.loads(events(body)[-1])) == (200, True)


MISSHAPEN = ["x", 7, [1], {"a": 1}, True]
PLACES = [
    *("response_format", "thinking", "reasoning_effort", "tools", "tools.0", "tools.0.function", "stop"),
    *("messages", "messages.1", "messages.1.content", "messages.2.tool_calls", "messages.2.tool_calls.0"),
    *("messages.2.tool_calls.0.function", "messages.2.tool_calls.0.function.arguments", "temperature", "n"),
]


@pytest.mark.parametrize("value", MISSHAPEN, ids=repr)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", JUDGES)
def test_whatever_stands_where_is_judged_and_breaks_nothing(name, place, value):
    body = healthy(name)
    put(body, place, value)
    JUDGES[name](body)
