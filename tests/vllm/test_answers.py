"""Whole and streamed answers of a real vLLM, asked for as any program would: the SDK and a base URL."""

from typing import Literal

import pytest
from openai import BadRequestError, OpenAI
from pydantic import BaseModel

from tests.kit.processes import calls
from tests.vllm.engine.server import KEY, MISTRAL, MIXTRAL

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]

ASK = [{"role": "user", "content": "Count, please."}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "enum": ["Paris"]}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
NAMED = {"type": "function", "function": {"name": "get_weather"}}


class Weather(BaseModel):
    city: Literal["Paris", "London"]
    degrees: Literal[7, 8]


@pytest.fixture
def sdk(proxy):
    with OpenAI(base_url=proxy.base_url, api_key=proxy.key, max_retries=0) as client:
        yield client


@pytest.fixture
def direct(mistral):
    """The same SDK at the engine itself: what happens without the proxy."""
    with OpenAI(base_url=mistral.base_url, api_key=KEY, max_retries=0) as client:
        yield client


def counting(last):
    """What the rigged models say, as far as `last`."""
    return "".join(f" {number}" for number in range(1, last + 1))


@pytest.mark.parametrize("model", ["mistral", "mixtral"])
def test_a_chat_is_answered_whole(sdk, model):
    raw = sdk.chat.completions.with_raw_response.create(model=model, messages=ASK, max_tokens=20)
    answer = raw.parse()
    assert answer.choices[0].message.content == counting(20)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 20
    assert raw.headers["x-fallthrough-upstream"] == model
    assert raw.headers["x-fallthrough-model"] == {"mistral": MISTRAL, "mixtral": MIXTRAL}[model].name
    assert raw.headers["x-fallthrough-attempts"] == "1"


@pytest.mark.parametrize("model", ["mistral", "mixtral"])
def test_a_stream_loses_doubles_and_reorders_nothing(sdk, model):
    chunks = list(sdk.chat.completions.create(model=model, messages=ASK, max_tokens=150, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == counting(150)
    assert [chunk.choices[0].delta.role for chunk in chunks if chunk.choices[0].delta.role] == ["assistant"]
    assert chunks[-1].choices[0].finish_reason == "length"
    assert len({chunk.id for chunk in chunks}) == 1


@pytest.mark.parametrize("asked", [True, False])
def test_a_stream_shows_its_usage_exactly_when_asked(sdk, proxy, asked):
    options = {"stream_options": {"include_usage": asked}} if asked else {}
    chunks = list(
        sdk.chat.completions.create(model="mixtral", messages=ASK, max_tokens=9, stream=True, **options)
    )
    told = [chunk.usage for chunk in chunks if chunk.usage]
    assert len(told) == (1 if asked else 0)
    assert [chunk for chunk in chunks if not chunk.choices] == ([chunks[-1]] if asked else [])
    row = calls(proxy, 1)[0]
    assert (row["result"], row["source"], row["output_tokens"]) == ("ok", "reported", 9)
    assert all(usage.prompt_tokens == row["input_tokens"] for usage in told)
    assert all(usage.completion_tokens == 9 for usage in told)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("choice", ["auto", "required", NAMED], ids=["auto", "required", "named"])
def test_a_tool_is_called(sdk, choice, stream):
    asked = {"model": "mistral", "messages": ASK, "tools": [WEATHER], "tool_choice": choice, "max_tokens": 60}
    if stream:
        with sdk.chat.completions.stream(**asked) as events:
            answer = events.get_final_completion().choices[0]
    else:
        answer = sdk.chat.completions.create(**asked).choices[0]
    (call,) = answer.message.tool_calls
    assert call.id
    assert call.function.name == "get_weather"
    assert call.function.arguments.replace(" ", "") == '{"city":"Paris"}'
    # OpenAI itself ends with `stop` where the function was named.
    assert answer.finish_reason in {"tool_calls", "stop" if choice is NAMED else "tool_calls"}


def test_a_tools_result_is_answered(sdk):
    called = sdk.chat.completions.create(model="mistral", messages=ASK, tools=[WEATHER]).choices[0].message
    result = {"role": "tool", "tool_call_id": called.tool_calls[0].id, "content": "7 degrees"}
    history = [*ASK, called, result]
    answer = sdk.chat.completions.create(model="mistral", messages=history, tools=[WEATHER], max_tokens=5)
    assert answer.choices[0].message.content == counting(5)


@pytest.mark.parametrize("model", ["mistral", "mixtral"])
def test_an_answer_follows_a_schema(sdk, model):
    answer = sdk.chat.completions.parse(model=model, messages=ASK, response_format=Weather, max_tokens=100)
    assert isinstance(answer.choices[0].message.parsed, Weather)


def test_no_member_that_reaches_into_the_engine_gets_through(sdk, direct):
    inward = {"chat_template": "[AVAILABLE_TOOLS][/AVAILABLE_TOOLS]"}
    asked = {"messages": ASK, "max_tokens": 20, "temperature": 0}
    turned = direct.chat.completions.create(model=MISTRAL.name, **asked, extra_body=inward)
    assert "get_weather" in turned.choices[0].message.content  # so the engine does heed it
    inward |= {"prompt_embeds": "AAAA", "vllm_xargs": {"a": 1}, "chat_template_kwargs": {"a": 1}}
    answer = sdk.chat.completions.create(model="mistral", **asked, extra_body=inward)
    assert answer.choices[0].message.content == counting(20)


@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_beyond_the_context_is_the_callers_fault(sdk, proxy, stream):
    long = [{"role": "user", "content": counting(1000) * 3}]
    with pytest.raises(BadRequestError) as caught:
        sdk.chat.completions.create(model="mixtral", messages=long, stream=stream)
    assert caught.value.code == "context_length_exceeded"
    assert caught.value.type == "invalid_request_error"
    assert caught.value.request_id == calls(proxy, 1)[0]["call_id"]
