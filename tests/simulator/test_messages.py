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


async def test_a_turn_that_was_begun_is_gone_on_with(sim):
    """Where the vendor's models can: what they say is what comes after the words that are there."""
    begun = [*HELLO["messages"], {"role": "assistant", "content": "Simulated answer from"}]
    body = HELLO | {"model": "claude-sonnet-4-5", "messages": begun}
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{sim}/anthropic/v1/messages", json=body) as response:
            answer = await response.json()
    assert answer["content"][0]["text"].startswith(" anthropic: no model was asked")


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


LOOK = {"type": "tool_use", "id": "t", "name": "weather", "input": {}}
RESULT = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t"}]}


def loop(*blocks):
    return [*HELLO["messages"], {"role": "assistant", "content": [*blocks, LOOK]}, RESULT]


def budget(tokens):
    return {"type": "enabled", "budget_tokens": tokens}


PREFILL = [*HELLO["messages"], {"role": "assistant", "content": "{"}]
FOREIGN = {"type": "thinking", "thinking": "Hm.", "signature": "x"}
REFUSED = [
    ("claude-opus-4-8", {"temperature": 0.5}, "`temperature` is deprecated for this model."),
    ("claude-opus-4-8", {"messages": PREFILL}, "This model does not support assistant message prefill."),
    ("claude-opus-4-8", {"thinking": budget(1024)}, '"thinking.type.enabled" is not supported'),
    ("claude-sonnet-4-5", {"thinking": {"type": "adaptive"}}, '"thinking.type.adaptive" is not supported'),
    ("claude-sonnet-4-5", {"thinking": budget(1000)}, "thinking.enabled.budget_tokens"),
    ("claude-sonnet-4-5", {"thinking": budget(2000)}, "`max_tokens` must be greater"),
    ("claude-sonnet-4-5", {"thinking": budget(1024), "temperature": 0.5}, "`temperature` may only be set"),
    ("claude-sonnet-4-5", {"temperature": 0.5, "top_p": 0.5}, "`temperature` and `top_p` cannot both"),
    ("claude-opus-4-6", {"output_config": {"effort": "xhigh"}}, "This model does not support effort level"),
    ("claude-opus-5-5", {"tool_choice": {"type": "any"}}, 'tool_choice: type "tool" and "any"'),
    (
        "claude-sonnet-4-5",
        {"tool_choice": {"type": "any"}, "thinking": budget(1024)},
        "Thinking may not be enabled when tool_choice forces",
    ),
    ("claude-3-haiku-20240307", {"max_tokens": 5000}, "max_tokens: 5000 > 4096"),
    (
        "claude-sonnet-4-5",
        {"messages": [*HELLO["messages"], {"role": "system", "content": "x"}]},
        "messages.1.role: Input should be",
    ),
    (
        "claude-sonnet-4-5",
        {"messages": loop(), "thinking": budget(1024)},
        "messages.1.content.0.type: Expected",
    ),
    (
        "claude-opus-4-8",
        {"messages": loop(FOREIGN), "thinking": {"type": "adaptive"}},
        "messages.1.content.0: Invalid `signature`",
    ),
    (
        "claude-opus-4-8",
        {"messages": loop({"type": "redacted_thinking", "data": "x"})},
        "messages.1.content.0: Invalid `data`",
    ),
    (
        "claude-opus-4-8",
        {
            "system": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}] * 4,
            "cache_control": {"type": "ephemeral"},
        },
        "A maximum of 4 blocks with cache_control",
    ),
]


@pytest.mark.parametrize(("model", "wrong", "words"), REFUSED)
async def test_what_a_model_refuses_is_refused_in_the_vendors_words(sim, model, wrong, words):
    body = {**HELLO, "max_tokens": 2000, "tools": [TOOL], "model": model, **wrong}
    url = f"{sim}/anthropic/v1/messages"
    async with aiohttp.ClientSession() as http, http.post(url, json=body) as answer:
        assert answer.status == 400
        assert (await answer.json())["error"]["message"].startswith(words)


async def test_thoughts_are_signed_and_come_back(sim):
    asked = {**HELLO, "model": "claude-opus-4-5", "max_tokens": 2000, "tools": [TOOL]}
    asked["thinking"] = budget(1024)
    async with client(sim) as sdk:
        first = await sdk.messages.create(**asked)
        async with sdk.messages.stream(**asked) as stream:
            streamed = await stream.get_final_message()
        assert streamed.content[0].to_dict() == first.content[0].to_dict()
        thought, call = first.content
        results = [{"type": "tool_result", "tool_use_id": call.id, "content": "cold"}]
        asked["messages"] = [
            *HELLO["messages"],
            {"role": "assistant", "content": [thought.to_dict(), call.to_dict()]},
            {"role": "user", "content": results},
        ]
        second = await sdk.messages.create(**asked)
        assert thought.thinking == "Simulated thought 1."
        assert second.content[0].thinking == "Simulated thought 2."
        assert second.usage.output_tokens_details.thinking_tokens == 3
        for other in ({"model": "claude-opus-4-1"}, {"thinking": {"type": "disabled"}}):
            with pytest.raises(anthropic.BadRequestError):
                await sdk.messages.create(**{**asked, **other})


async def test_a_thought_that_is_not_asked_to_be_shown_is_empty_and_signed(sim):
    asked = {**HELLO, "model": "claude-opus-4-8", "thinking": {"type": "adaptive"}}
    async with client(sim) as sdk:
        thought = (await sdk.messages.create(**asked)).content[0]
    assert thought.thinking == ""
    assert thought.signature
