"""Twice as much asked as an upstream can give: what it gives is of use to those who get it."""

import asyncio
import random
from contextlib import asynccontextmanager

import pytest
from msgspec.structs import replace

from proxy.errors import Failure
from proxy.relay import answer
from tests.kit.scripted_ports import RecordingCaller, ScriptedUpstreams, call, stream, table, whole
from tests.kit.virtual import play
from tests.relay.test_places import limited

PLACES, TAKES_S, PATIENCE_S = 8, 0.16, 2.0
SECONDS = 10
CAPACITY = PLACES / TAKES_S
"""Answers a second."""


class Uneven(ScriptedUpstreams):
    """An upstream that takes now less and now more time, drawn from a seed."""

    def __init__(self, **scripts: list) -> None:
        super().__init__(**scripts)
        self._dice = random.Random(7)

    @asynccontextmanager
    async def send(self, upstream, request):
        says = self._scripts["a"][0]
        self._scripts["a"] = [replace(says, before=TAKES_S * self._dice.uniform(0.6, 1.4))]
        async with super().send(upstream, request) as reply:
            yield reply


@pytest.mark.fault("d13-overload")
@pytest.mark.parametrize("times", [1.0, 2.0, 4.0])
@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
def test_what_is_answered_in_time_does_not_fall_when_more_is_asked(times, streamed):
    upstreams = Uneven(a=[stream("fine") if streamed else whole("fine")])
    at = limited(table("a"), upstreams, a=PLACES)
    ends = []

    async def one(number):
        caller = RecordingCaller()
        try:
            await answer(at, caller, call(number, stream=streamed, patience_s=PATIENCE_S))
        except Failure as failure:
            ends.append(failure.told.status)
        else:
            ends.append(200 if not caller.errors else 0)

    async def story():
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            for number in range(int(CAPACITY * times * SECONDS)):
                group.create_task(one(number))
                await asyncio.sleep(max(0.0, (number + 1) / (CAPACITY * times) - loop.time()))

    play(story())
    good = ends.count(200)
    assert good >= 0.9 * CAPACITY * SECONDS
    assert set(ends) <= {200, 503}, "nobody is cut off in the middle, and who must go is told to come again"
    assert len(upstreams.asked) <= good + 1, "and nothing is asked in vain"
