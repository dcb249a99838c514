"""The proxy of these tests, as its users would configure it, and what they ask of it.

Each scenario has a route and upstreams of its own, so that what one of them breaks is no other's.
"""

import pytest

from tests.kit.processes import TABLE, free_ports
from tests.kit.stage import PROMPT_TOKENS, TEXT, TOKENS, events, stream, whole

HEAD, _, _ = TABLE.partition("upstreams:")
FIRST, SECOND, THIRD = "primary", "fallback", "spare"
"""The models' names at the three upstreams."""
ASK = [{"role": "user", "content": "Count to sixty."}]
SHORT = "{{first_token: 500ms, idle: 500ms}}"
SILENT = ("s06", "s07", "s09")
"""Scenarios in which the first upstream is waited for until its time is over."""
PLACES = ("first", "second", "third")
NAMES = (*(f"s{number:02}" for number in range(1, 17)), "hard")


def upstream(name: str, port: int | str) -> str:
    quick = f", timeouts: {SHORT}" if name.startswith(SILENT) and name.endswith("first") else ""
    quick += ", breaker: {{failures: 3, open: 50ms, open_max: 50ms}}" if name == "s15-first" else ""
    quick += ", breaker: {{failures: 1000}}" if name.startswith("hard") else ""
    where = f"base_url: 'http://127.0.0.1:{port}/{name}/v1', api_key: sk-x, capabilities: openai"
    return f"  {name}: {{{{{where}{quick}}}}}\n"


def route(name: str, *targets: str) -> str:
    listed = ", ".join(targets)
    return (
        f"  - model: {name}\n    targets: [{listed}]\n"
        "    retry: {{attempts: 2, in_place: 3s}}\n    on_midstream: restart\n"
    )


def table(port: int) -> str:
    (dead,) = free_ports(1)
    lines = [HEAD, "upstreams:\n"]
    lines += [upstream(f"{name}-{place}", port) for name in NAMES for place in ("first", "second")]
    lines += [upstream(f"three-{place}", dead if place == "first" else port) for place in PLACES]
    lines += ["routes:\n"]
    lines += [route(name, f"{name}-first/{FIRST}", f"{name}-second/{SECOND}") for name in NAMES]
    lines += [route("three", f"three-first/{FIRST}", f"three-second/{SECOND}", f"three-third/{THIRD}")]
    lines += ["prices:\n", "  '*/primary': {{input: 1, output: 2}}\n", "  '*': {{input: 3, output: 4}}\n"]
    return "".join(lines)


on_one_loop = pytest.mark.asyncio(loop_scope="module")


async def streamed(sdk, model):
    """One answer through the SDK's own accumulator."""
    options = {"include_usage": True}
    asked = sdk.chat.completions.stream(model=model, messages=ASK, stream_options=options)
    async with asked as chunks:
        return await chunks.get_final_completion()


async def answered(sdk, model, by=None):
    """The whole answer, said once, ended as it was, counted, and under the name of the model `by`.

    Where a stream breaks, either name is right: what breaks together with its first content begins nothing.
    """
    completion = await streamed(sdk, model)
    (choice,) = completion.choices
    assert (choice.message.role, choice.message.content) == ("assistant", TEXT)
    assert choice.finish_reason == "stop"
    assert completion.model in ({FIRST, SECOND} if by is None else {by})
    assert completion.usage.prompt_tokens >= PROMPT_TOKENS
    assert completion.usage.completion_tokens >= len(TOKENS)
    return completion


def well(model, **more):
    return stream(events(model, **more))


async def alive(sdk, stage):
    """A healthy call after the trouble."""
    stage.plays("hard-first", well(FIRST))
    await answered(sdk, "hard", FIRST)


async def mended(sdk, stage, first, *, streams=True):
    """Who was asked, where the first upstream plays so and the second is well, and the answer is whole."""
    stage.plays("hard-first", first)
    stage.plays("hard-second", well(SECOND) if streams else whole(SECOND))
    assert await text(sdk, "hard", streams=streams) == TEXT
    return stage.order


async def text(sdk, model, *, streams):
    if streams:
        return (await streamed(sdk, model)).choices[0].message.content
    return (await sdk.chat.completions.create(model=model, messages=ASK)).choices[0].message.content
