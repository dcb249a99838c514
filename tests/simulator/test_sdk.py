"""The official SDK against the simulator, without the proxy between: it must not notice."""

import asyncio
import json
from enum import StrEnum

import openai
import pytest
from pydantic import BaseModel

from tests.simulator.playing import playing

BOTH = pytest.mark.parametrize("name", ["openai", "vllm"])
ASK = {"model": "any", "messages": [{"role": "user", "content": "Weather in Paris?"}]}


def tool(name, properties):
    parameters = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    return {"type": "function", "function": {"name": name, "strict": True, "parameters": parameters}}


TOOLS = [
    tool("weather", {"city": {"type": "string"}}),
    tool("clock", {"zone": {"enum": ["utc", "cet"]}, "hours": {"type": "integer"}}),
]


@pytest.fixture
async def client(tmp_path):
    """`client(name)`: the asynchronous SDK at the upstream `name`."""
    async with playing(tmp_path / "script.yaml") as post:
        opened = []

        def make(name):
            made = openai.AsyncOpenAI(base_url=f"{post.base}/{name}/v1", api_key="sk-any", max_retries=0)
            opened.append(made)
            return made

        yield make
        for each in opened:
            await each.close()


@BOTH
async def test_whole_and_streamed_answers_agree(client, name):
    sdk = client(name)
    whole = await sdk.chat.completions.create(**ASK)
    async with sdk.chat.completions.stream(**ASK, stream_options={"include_usage": True}) as stream:
        streamed = await stream.get_final_completion()
    assert whole.choices[0].message.content == streamed.choices[0].message.content
    assert whole.choices[0].finish_reason == streamed.choices[0].finish_reason == "stop"
    assert whole.usage == streamed.usage
    assert (await sdk.models.list()).data[0].id == f"{name}-model"


async def test_the_synchronous_sdk(client):
    base_url = str(client("openai").base_url)

    def ask():
        with openai.OpenAI(base_url=base_url, api_key="sk-any", max_retries=0) as sdk:
            whole = sdk.chat.completions.create(**ASK).choices[0].message.content
            pieces = [
                chunk.choices[0].delta.content or ""
                for chunk in sdk.chat.completions.create(**ASK, stream=True)
            ]
            return whole, "".join(pieces)

    whole, streamed = await asyncio.to_thread(ask)
    assert whole == streamed != ""


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("choice", "called"),
    [
        ("auto", ["weather", "clock"]),
        ("required", ["weather", "clock"]),
        ({"type": "function", "function": {"name": "clock"}}, ["clock"]),
        ("none", []),
    ],
    ids=str,
)
@BOTH
async def test_tools(client, name, choice, called, stream):
    sdk = client(name)
    request = ASK | {"tools": TOOLS, "tool_choice": choice}
    if stream:
        async with sdk.chat.completions.stream(**request) as events:
            answer = await events.get_final_completion()
    else:
        answer = await sdk.chat.completions.create(**request)
    found = answer.choices[0]
    assert found.finish_reason == ("tool_calls" if called else "stop")
    assert bool(found.message.content) is not bool(called)
    calls = [call.function for call in found.message.tool_calls or ()]
    assert [call.name for call in calls] == called
    arguments = {"weather": {"city": "x"}, "clock": {"zone": "utc", "hours": 1}}
    assert [json.loads(call.arguments) for call in calls] == [arguments[name] for name in called]
    assert len({call.id for call in found.message.tool_calls or ()}) == len(called)


@BOTH
async def test_one_call_at_a_time_where_more_are_not_wanted(client, name):
    answer = await client(name).chat.completions.create(**ASK, tools=TOOLS, parallel_tool_calls=False)
    assert [call.function.name for call in answer.choices[0].message.tool_calls] == ["weather"]


@pytest.mark.parametrize("stream", [False, True])
async def test_many_choices_call_with_ids_of_their_own(client, stream):
    request = ASK | {"tools": TOOLS, "tool_choice": "required", "n": 3}
    sdk = client("openai")
    if stream:
        async with sdk.chat.completions.stream(**request) as events:
            answer = await events.get_final_completion()
    else:
        answer = await sdk.chat.completions.create(**request)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert len({call.id for choice in answer.choices for call in choice.message.tool_calls}) == 6
    assert {choice.message.tool_calls[0].function.arguments for choice in answer.choices} == {'{"city":"x"}'}


async def test_a_tool_result_is_answered_with_words(client):
    sdk = client("vllm")
    first = await sdk.chat.completions.create(**ASK, tools=TOOLS)
    asked = first.choices[0].message
    result = {"role": "tool", "tool_call_id": asked.tool_calls[0].id, "content": "sunny"}
    messages = [*ASK["messages"], asked.model_dump(exclude_none=True), result]
    second = await sdk.chat.completions.create(model="any", messages=messages, tools=TOOLS)
    assert second.choices[0].message.content
    assert second.choices[0].message.tool_calls is None


class Sky(StrEnum):
    BLUE = "blue"
    GREY = "grey"


class Wind(BaseModel):
    knots: float
    gusts: list[int]


class Weather(BaseModel):
    sky: Sky
    wind: Wind
    before: Wind | None
    note: str | None
    sure: bool


@BOTH
async def test_parsed_answers(client, name):
    answer = await client(name).chat.completions.parse(**ASK, response_format=Weather)
    parsed = answer.choices[0].message.parsed
    assert isinstance(parsed, Weather)
    assert parsed.sky is Sky.BLUE
    assert isinstance(parsed.wind, Wind)


@BOTH
async def test_parsed_streams(client, name):
    async with client(name).chat.completions.stream(**ASK, response_format=Weather) as stream:
        answer = await stream.get_final_completion()
    assert isinstance(answer.choices[0].message.parsed, Weather)


async def test_parsed_tools(client):
    answer = await client("openai").chat.completions.parse(
        **ASK, tools=[openai.pydantic_function_tool(Weather)]
    )
    assert isinstance(answer.choices[0].message.tool_calls[0].function.parsed_arguments, Weather)


async def test_any_json(client):
    answer = await client("openai").chat.completions.create(**ASK, response_format={"type": "json_object"})
    assert json.loads(answer.choices[0].message.content)["upstream"] == "openai"


@BOTH
async def test_a_length_limit(client, name):
    answer = await client(name).chat.completions.create(**ASK, max_completion_tokens=2)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 2


@pytest.mark.parametrize(
    ("word", "error"),
    [
        ("auth", openai.AuthenticationError),
        ("money", openai.RateLimitError),
        ("model", openai.NotFoundError),
        ("context", openai.BadRequestError),
        ("server", openai.InternalServerError),
        ("overload", openai.InternalServerError),
    ],
)
@BOTH
async def test_errors_are_typed(tmp_path, name, word, error):
    async with playing(tmp_path / "script.yaml", f"{name}: [{{do: {{error: {word}}}}}]") as post:
        async with openai.AsyncOpenAI(
            base_url=f"{post.base}/{name}/v1", api_key="sk-any", max_retries=0
        ) as sdk:
            with pytest.raises(error):
                await sdk.chat.completions.create(**ASK)


async def test_an_error_within_a_stream_is_raised(tmp_path):
    async with playing(tmp_path / "script.yaml", "vllm: [{do: {error_event: 3}}]") as post:
        async with openai.AsyncOpenAI(
            base_url=f"{post.base}/vllm/v1", api_key="sk-any", max_retries=0
        ) as sdk:
            with pytest.raises(openai.APIError):
                async for _ in await sdk.chat.completions.create(**ASK, stream=True):
                    pass
