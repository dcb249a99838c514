"""The official SDK takes the simulator for real; scripts make it fail as they say."""

from pathlib import Path

import openai
import pytest
from pydantic import BaseModel

from proxy.config import ConfigError
from proxy.simulator import serve
from proxy.simulator.script import load, parse

HELLO = [{"role": "user", "content": "hello there"}]
TOOL = {"type": "function", "function": {"name": "look", "parameters": {
    "type": "object", "properties": {"town": {"type": "string"}}, "required": ["town"]}}}  # fmt: skip


class Town(BaseModel):
    name: str
    people: int


@pytest.fixture(params=["openai", "vllm"])
async def client(request):
    async with serve(None, "127.0.0.1", 0) as base:
        async with openai.AsyncOpenAI(
            base_url=f"{base}/{request.param}/v1", api_key="x", max_retries=0
        ) as one:
            yield one


async def test_whole_and_streamed_say_the_same(client):
    answer = await client.chat.completions.create(model="m", messages=HELLO)
    text, usage = "", None
    options = {"include_usage": True}
    stream = await client.chat.completions.create(
        model="m", messages=HELLO, stream=True, stream_options=options
    )
    async for chunk in stream:
        usage = chunk.usage or usage
        text += "".join(choice.delta.content or "" for choice in chunk.choices)
    assert answer.choices[0].message.content == text
    assert text.startswith("Simulated answer from ")
    assert usage == answer.usage


async def test_tools_and_schemas(client):
    called = await client.chat.completions.create(model="m", messages=HELLO, tools=[TOOL])
    assert called.choices[0].finish_reason == "tool_calls"
    assert called.choices[0].message.tool_calls[0].function.arguments == '{"town": "x"}'
    parsed = await client.chat.completions.parse(model="m", messages=HELLO, response_format=Town)
    assert parsed.choices[0].message.parsed == Town(name="x", people=0)


async def test_a_cap_ends_with_length_and_n_gives_choices(client):
    answer = await client.chat.completions.create(model="m", messages=HELLO, max_tokens=2, n=2)
    assert [choice.finish_reason for choice in answer.choices] == ["length", "length"]
    assert answer.usage.completion_tokens == 4


async def test_missing_messages_are_refused(client):
    with pytest.raises(openai.BadRequestError):
        await client.chat.completions.create(model="m", messages=[])


@pytest.mark.parametrize(
    ("do", "stream"),
    [
        ("refuse: true", False),
        ("reset: true", False),
        ("cut: 2", True),
        ("cut_bytes: 40", False),
        ("cut_bytes: 400", True),
    ],
)
async def test_a_break_is_a_break(tmp_path, do, stream):
    script = tmp_path / "s.yaml"
    script.write_text(f"openai: [{{do: {{{do}}}}}]")
    async with serve(script, "127.0.0.1", 0) as base:
        async with openai.AsyncOpenAI(base_url=f"{base}/openai/v1", api_key="x", max_retries=0) as one:
            with pytest.raises(Exception, match=r"(?i)connection|peer|error"):
                answer = await one.chat.completions.create(model="m", messages=HELLO, stream=stream)
                if stream:
                    [_ async for _ in answer]


async def test_the_script_is_read_anew(tmp_path):
    script = tmp_path / "s.yaml"
    script.write_text("openai: [{do: {error: money, retry_after: 2s}}]")
    async with serve(script, "127.0.0.1", 0) as base:
        async with openai.AsyncOpenAI(base_url=f"{base}/openai/v1", api_key="x", max_retries=0) as one:
            with pytest.raises(openai.RateLimitError) as caught:
                await one.chat.completions.create(model="m", messages=HELLO)
            assert caught.value.code == "insufficient_quota"
            assert caught.value.response.headers["retry-after"] == "2"
            script.write_text("openai: []")
            assert await one.chat.completions.create(model="m", messages=HELLO)


def test_every_fault_of_a_script_is_said():
    with pytest.raises(ConfigError) as caught:
        parse("a: [{do: {cutt: 1, status: 9}}]\nb: {dialect: klingon}", "s.yaml")
    assert [fault.path for fault in caught.value.faults] == ["a[0].do.cutt", "a[0].do.status", "b.dialect"]


@pytest.mark.parametrize("path", sorted(Path("config/scripts").glob("*.yaml")), ids=str)
def test_the_examples_are_right(path):
    assert load(path)
