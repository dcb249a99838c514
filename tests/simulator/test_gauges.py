"""What a simulated engine tells of its load, read as our own duty reads it."""

import asyncio

import pytest

from proxy.call import Load
from proxy.wire.load import GAUGES, lines_of, load_of, samples_of
from tests.simulator.playing import playing, write


@pytest.fixture
def script(tmp_path):
    return tmp_path / "script.yaml"


async def told(post, name):
    """Status and load, as far as there is one."""
    async with post.session.get(f"{post.base}/{name}/metrics") as response:
        text = await response.read()
        if response.status != 200:
            return response.status, None
    return 200, load_of(GAUGES["vllm"], samples_of(lines_of(GAUGES["vllm"], text)))


@pytest.mark.parametrize(
    ("part", "answer"),
    [
        ("[]", (200, Load(0, 0, 0.0))),
        ("{load: {running: 8, waiting: 20, cache: 0.75}}", (200, Load(8, 20, 0.75))),
        ("{load: {waiting: 20}, rules: [{do: {status: 500}}]}", (200, Load(0, 20, 0.0))),
        ("{load: {status: 404}}", (404, None)),
        ("{dialect: openai, load: {waiting: 3}}", (404, None)),
    ],
)
async def test_an_engine_tells_what_its_script_says(script, part, answer):
    async with playing(script, f"vllm: {part}") as post:
        assert await told(post, "vllm") == answer


async def test_only_an_engine_tells_anything(script):
    async with playing(script) as post:
        assert await told(post, "my-vllm") == (200, Load(0, 0, 0.0))
        for name in ("openai", "mistral", "ollama"):
            assert await told(post, name) == (404, None)


async def test_left_to_itself_it_runs_what_is_being_played(script):
    async with playing(script, "vllm: [{do: {stall: 0}}]") as post:
        async with asyncio.TaskGroup() as group:
            held = [group.create_task(post("vllm", stream=True)) for _ in range(3)]
            while await told(post, "vllm") != (200, Load(3, 0, 0.0)):
                pass
            for each in held:
                each.cancel()
        while await told(post, "vllm") != (200, Load(0, 0, 0.0)):
            pass


async def test_a_changed_script_is_told_at_once(script):
    async with playing(script) as post:
        assert await told(post, "vllm") == (200, Load(0, 0, 0.0))
        write(script, "vllm: {load: {waiting: 7}}")
        assert await told(post, "vllm") == (200, Load(0, 7, 0.0))
