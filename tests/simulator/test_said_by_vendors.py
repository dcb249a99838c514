"""What a simulated upstream thinks, calls and refuses, as each vendor's own SDK reads it."""

import json

import pytest

from proxy.simulator.answers import REFUSAL, THOUGHT
from tests.simulator.playing import playing, write
from tests.wire.vendors import anthropic, google, openai

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream_options": None}
CLAUDE = {"model": "m", "max_tokens": 99, "messages": CHAT["messages"]}
GEMINI = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}
TOOLS = [{"type": "function", "function": {"name": name, "parameters": SCHEMA}} for name in ("one", "two")]

VENDORS = {
    "openai": (openai, "v1/chat/completions", CHAT),
    "vllm": (openai, "v1/chat/completions", CHAT),
    "anthropic": (anthropic, "v1/messages", CLAUDE),
    "gemini": (google, "v1/models/m:generateContent", GEMINI),
}
THINKING = {
    "openai": {"reasoning_effort": "high"},
    "vllm": {"reasoning_effort": "high"},
    "anthropic": {"thinking": {"type": "adaptive", "display": "summarized"}},
    "gemini": {"generationConfig": {"thinkingConfig": {"thinkingLevel": "HIGH", "includeThoughts": True}}},
}
CALLING = {
    "openai": {"tools": TOOLS},
    "vllm": {"tools": TOOLS},
    "anthropic": {"tools": [{"name": name, "input_schema": SCHEMA} for name in ("one", "two")]},
    "gemini": {
        "tools": [
            {"functionDeclarations": [{"name": n, "parametersJsonSchema": SCHEMA} for n in ("one", "two")]}
        ]
    },
}
QUIRKS = {"vllm": ("reasoning_renamed",)}
every = pytest.mark.parametrize("name", VENDORS)
both = pytest.mark.parametrize("stream", [False, True])


@pytest.fixture
async def hear(tmp_path):
    """`hear(name, members, stream)`: the answer of the upstream `name`, under any script."""
    async with playing(tmp_path / "script.yaml") as post:

        async def _hear(name, members, stream, *, script="{}"):
            write(tmp_path / "script.yaml", script)
            sdk, path, body = VENDORS[name]
            if name == "gemini":
                path = path.replace(":g", ":streamG") if stream else path
            else:
                body = {**body, "stream": stream}
                if stream and "stream_options" in body:
                    body["stream_options"] = {"include_usage": True}
            async with post.session.post(f"{post.base}/{name}/{path}", json={**body, **members}) as answer:
                assert answer.status == 200, await answer.text()
                return sdk(await answer.read(), QUIRKS.get(name, ()))

        yield _hear


@both
@every
async def test_it_thinks_when_asked_to_and_counts_it(hear, name, stream):
    quiet, loud = await hear(name, {}, stream), await hear(name, THINKING[name], stream)
    assert quiet.choices[0].reasoning == ""
    assert loud.choices[0].text == quiet.choices[0].text != ""
    shown = loud.choices[0].reasoning
    assert bool(shown) is (name != "openai")  # which counts what it does not show
    thought = len((shown or THOUGHT).split(" "))
    assert loud.counts.output == quiet.counts.output + thought
    assert name == "anthropic" or loud.counts.reasoning == thought


@both
@every
async def test_it_calls_every_tool_at_once(hear, name, stream):
    calls = (await hear(name, CALLING[name], stream)).choices[0].calls
    assert [(call.name, call.arguments) for call in calls] == [("one", {"city": "x"}), ("two", {"city": "x"})]
    assert name == "gemini" or len({call.id for call in calls}) == 2


@both
@every
async def test_it_refuses_as_the_vendor_does_when_a_script_says_so(hear, name, stream):
    (seen,) = (await hear(name, {}, stream, script=f"{name}: [{{do: {{refuse: true}}}}]")).choices
    told = {
        "openai": ("stop", "", REFUSAL),
        "vllm": ("stop", REFUSAL, ""),
        "anthropic": ("content_filter", "", REFUSAL),
        "gemini": ("content_filter", "", "The prompt was blocked: PROHIBITED_CONTENT."),
    }
    assert (seen.finish, seen.text, seen.refusal) == told[name]


@both
@pytest.mark.parametrize("name", ["deepseek", "mistral", "ollama"])
async def test_a_refusal_is_but_words_where_there_is_no_other_place_for_it(tmp_path, name, stream):
    body = {"model": "m", "messages": CHAT["messages"], "stream": stream}
    async with playing(tmp_path / "script.yaml") as post:
        write(tmp_path / "script.yaml", f"{name}: [{{do: {{refuse: true}}}}]")
        async with post.session.post(f"{post.base}/{name}/v1/chat/completions", json=body) as answer:
            data = await answer.read()
    parts = [part.partition(b"data: ")[2] for part in data.split(b"\n\n")] if stream else [data]
    said = [json.loads(part)["choices"][0] for part in parts if part.startswith(b"{")]
    deltas = [one["delta" if stream else "message"] for one in said]
    assert "".join(delta.get("content") or "" for delta in deltas) == REFUSAL
    assert not any(delta.get("refusal") for delta in deltas)
    assert said[-1]["finish_reason"] == "stop"


@pytest.mark.parametrize("name", ["openai", "vllm", "gemini"])
async def test_a_maximum_is_spent_on_thoughts_first(hear, name):
    most = {"gemini": {"generationConfig": {"maxOutputTokens": 12, **THINKING["gemini"]["generationConfig"]}}}
    read = await hear(name, {**THINKING[name], **most.get(name, {"max_tokens": 12})}, stream=False)
    assert (read.choices[0].finish, read.choices[0].text) == ("length", "Simulated answer")
    assert read.counts.output == 12
