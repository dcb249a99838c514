"""The simulated upstream that speaks Messages: the vendor's SDK reads it, the vendor's rules hold."""

import aiohttp
import anthropic
import pytest

from proxy.simulator import serve

HELLO = {"model": "claude-sim", "max_tokens": 50, "messages": [{"role": "user", "content": "Hello"}]}
TOOL = {
    "name": "weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


@pytest.fixture
async def sim(tmp_path):
    script = tmp_path / "script.yaml"
    script.write_text("down: [{do: {error: overload, retry_after: 3s}}]\nbroke: [{do: {error_event: 2}}]\n")
    async with serve(script, "127.0.0.1", 0) as base:
        yield base


def client(base, name="anthropic"):
    return anthropic.AsyncAnthropic(base_url=f"{base}/{name}", api_key="sk-sim", max_retries=0)


async def test_the_vendors_sdk_reads_a_whole_answer(sim):
    async with client(sim) as sdk:
        answer = await sdk.messages.create(**HELLO)
    assert answer.content[0].text.startswith("Simulated answer from anthropic")
    assert answer.stop_reason == "end_turn"
    assert answer.usage.output_tokens == len(answer.content[0].text.split(" "))


async def test_the_vendors_sdk_reads_a_stream_with_a_tool_call(sim):
    async with client(sim) as sdk, sdk.messages.stream(**HELLO, tools=[TOOL]) as stream:
        answer = await stream.get_final_message()
    assert (answer.stop_reason, answer.content[0].name, answer.content[0].input) == (
        "tool_use",
        "weather",
        {"city": "x"},
    )


async def test_a_script_speaks_in_the_vendors_errors(sim):
    async with client(sim, "down") as sdk:
        with pytest.raises(anthropic.APIStatusError) as caught:
            await sdk.messages.create(**HELLO)
    assert (caught.value.status_code, caught.value.body["error"]["type"]) == (529, "overloaded_error")
    assert caught.value.response.headers["retry-after"] == "3"
    async with client(sim, "broke") as sdk:
        with pytest.raises(anthropic.APIStatusError):
            async with sdk.messages.stream(**HELLO) as stream:
                await stream.get_final_message()


@pytest.mark.parametrize(
    "wrong",
    [
        {"n": 2},
        {"max_tokens": None},
        {"messages": []},
        {"messages": [{"role": "assistant", "content": "x"}]},
        {"messages": [{"role": "user", "content": ""}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": " "}]}]},
        {
            "messages": [
                {"role": "user", "content": "a"},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "n", "input": {}}]},
                {"role": "user", "content": "b"},
            ]
        },
        {"tools": [{"name": "x", "input_schema": {"type": "string"}}]},
    ],
)
async def test_what_the_vendor_refuses_is_refused(sim, wrong):
    url = f"{sim}/anthropic/v1/messages"
    async with aiohttp.ClientSession() as http, http.post(url, json={**HELLO, **wrong}) as answer:
        assert answer.status == 400
        assert (await answer.json())["error"]["type"] == "invalid_request_error"
