"""The official Python SDK over a real port: what people will do on their first day."""

import openai
import pydantic
import pytest
from openai import AsyncOpenAI, OpenAI

ASK = [{"role": "user", "content": "hello"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}


@pytest.fixture
def sdk(healthy):
    """A client as people make it: a base URL and a key. No retries, so that every failure is seen."""
    with OpenAI(base_url=healthy.base_url, api_key=healthy.key, max_retries=0) as client:
        yield client


class City(pydantic.BaseModel):
    name: str
    people: int


def test_a_chat_is_answered_with_usage_and_a_request_id(sdk):
    answer = sdk.chat.completions.create(model="chat", messages=ASK)
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer._request_id.startswith("req_")


def test_the_headers_tell_who_answered(sdk):
    raw = sdk.chat.completions.with_raw_response.create(model="chat", messages=ASK)
    assert raw.headers["x-fallthrough-upstream"] == "first"
    assert raw.headers["x-fallthrough-model"] == "gpt-4o-mini"
    assert raw.headers["x-fallthrough-attempts"] == "1"


def test_a_stream_gives_the_same_text_and_no_usage_unasked(sdk):
    said = sdk.chat.completions.create(model="chat", messages=ASK).choices[0].message.content
    chunks = list(sdk.chat.completions.create(model="chat", messages=ASK, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == said
    assert all(chunk.usage is None for chunk in chunks)
    assert len({chunk.id for chunk in chunks}) == 1


def test_usage_comes_last_when_asked(sdk):
    options = {"include_usage": True}
    *_, last = sdk.chat.completions.create(model="chat", messages=ASK, stream=True, stream_options=options)
    assert last.choices == []
    assert last.usage.total_tokens > 0


def test_the_stream_helper_puts_the_answer_together(sdk):
    with sdk.chat.completions.stream(model="chat", messages=ASK) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.content
    assert final.choices[0].message.role == "assistant"


def test_parse_gives_an_object_of_the_schema(sdk):
    parsed = sdk.chat.completions.parse(model="chat", messages=ASK, response_format=City)
    assert isinstance(parsed.choices[0].message.parsed, City)


@pytest.mark.parametrize("stream", [False, True])
def test_tools_come_back_as_calls(sdk, stream):
    if stream:
        with sdk.chat.completions.stream(model="chat", messages=ASK, tools=[WEATHER]) as events:
            choice = events.get_final_completion().choices[0]
    else:
        choice = sdk.chat.completions.create(model="chat", messages=ASK, tools=[WEATHER]).choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.tool_calls[0].function.name == "get_weather"
    assert "city" in choice.message.tool_calls[0].function.arguments


async def test_the_async_client_works_the_same(healthy):
    async with AsyncOpenAI(base_url=healthy.base_url, api_key=healthy.key, max_retries=0) as client:
        answer = await client.chat.completions.create(model="chat", messages=ASK)
        assert answer.choices[0].message.content
        stream = await client.chat.completions.create(model="chat", messages=ASK, stream=True)
        text = [chunk.choices[0].delta.content or "" async for chunk in stream]
    assert "".join(text) == answer.choices[0].message.content


def test_models_are_listed_and_found(sdk):
    listed = {model.id for model in sdk.models.list()}
    assert listed == {"chat", "only-vllm", "checked"}
    assert sdk.models.retrieve("chat").object == "model"
    with pytest.raises(openai.NotFoundError) as caught:
        sdk.models.retrieve("org/none:7b")
    assert caught.value.code == "model_not_found"
    assert caught.value.request_id.startswith("req_")


ERRORS = {
    "unknown model": ({"model": "nope"}, openai.NotFoundError, "model_not_found", "model"),
    "no messages": ({"messages": []}, openai.BadRequestError, None, "messages"),
    "n is not a number": ({"n": True}, openai.BadRequestError, None, "n"),
}


@pytest.mark.parametrize(("change", "kind", "code", "param"), ERRORS.values(), ids=ERRORS.keys())
def test_a_wrong_request_is_a_typed_error_with_its_id(sdk, change, kind, code, param):
    with pytest.raises(kind) as caught:
        sdk.chat.completions.create(**{"model": "chat", "messages": ASK, **change})
    assert caught.value.request_id.startswith("req_")
    assert caught.value.param == param
    assert code is None or caught.value.code == code


def test_a_wrong_key_is_an_authentication_error(healthy):
    with OpenAI(base_url=healthy.base_url, api_key="ft-wrong", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError) as caught:
            client.chat.completions.create(model="chat", messages=ASK)
    assert caught.value.code == "invalid_api_key"
    assert caught.value.request_id.startswith("req_")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [429, 500, 503, 529, 401, 402, 404])
def test_the_next_upstream_answers_when_the_first_fails(sdk, healthy, status, stream):
    healthy.script(f"first: [{{do: {{status: {status}}}}}]")
    raw = sdk.chat.completions.with_raw_response.create(model="chat", messages=ASK, stream=stream)
    assert raw.headers["x-fallthrough-upstream"] == "vllm"
    answer = raw.parse()
    if stream:
        text = "".join(chunk.choices[0].delta.content or "" for chunk in answer)
    else:
        text = answer.choices[0].message.content
    assert text


@pytest.mark.parametrize("how", ["cut: 4", "stall: 4", "error_event: 4, chunk_delay: 20ms"])
def test_a_stream_that_breaks_after_content_raises_and_never_ends_as_if_whole(sdk, healthy, how):
    healthy.script(f"vllm: [{{do: {{{how}}}}}]")
    text = ""
    with pytest.raises(openai.APIError) as caught:
        for chunk in sdk.chat.completions.create(model="only-vllm", messages=ASK, stream=True):
            text += chunk.choices[0].delta.content or ""
    assert text
    assert caught.value.code == "upstream_broken"


@pytest.mark.parametrize("stream", [False, True])
def test_when_all_fail_the_error_is_typed_and_tells_whether_to_retry(sdk, healthy, stream):
    healthy.script("{first: [{do: {status: 500}}], vllm: [{do: {status: 500}}]}")
    with pytest.raises(openai.InternalServerError) as caught:
        sdk.chat.completions.create(model="chat", messages=ASK, stream=stream)
    assert caught.value.status_code in {502, 503}
    assert caught.value.response.headers["x-should-retry"] in {"true", "false"}
    assert "first/gpt-4o-mini" in caught.value.message
