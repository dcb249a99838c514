"""The sixteen faults of `tests/sdk/faults/test_sixteen.py` where they are told in seconds: on virtual time.

The upstreams note when they were asked; what the methodology bounds is asserted in those times.
"""

import pytest
from msgspec.structs import replace

from proxy.errors import Failure
from proxy.relay import answer
from proxy.table import BreakerRules, OnMidstream, Timeouts
from proxy.watch import moment_comes
from tests.kit.mending import ROLE, check_whole
from tests.kit.scripted_ports import (
    STALL,
    Pause,
    RecordingCaller,
    Says,
    ScriptedUpstreams,
    call,
    desk,
    fails,
    stream,
    table,
)
from tests.kit.virtual import HastyLoop, VirtualClock, VirtualLoop, play

WORDS = tuple(f" {number}" for number in range(1, 61))
HEALTHY = stream(*WORDS)
TIMES = Timeouts(first_token_s=10.0, idle_s=20.0)
"""What a careful user writes; half a minute is the methodology's own for both."""
OUTAGE_S = 60.0


class Logging(ScriptedUpstreams):
    """Scripted upstreams that note when they were asked."""

    def __init__(self, **scripts: list) -> None:
        super().__init__(**scripts)
        self.log: list[tuple[str, float]] = []

    def send(self, upstream, request):
        self.log.append((upstream.name, VirtualClock().mono()))
        return super().send(upstream, request)

    def times(self, name: str) -> list[float]:
        """When `name` was asked."""
        return [at for asked, at in self.log if asked == name]


def route(*names: str, **more):
    """Two upstreams as in the scenarios over the real port, with the timeouts in question."""
    rules = {"attempts": 2, "in_place_s": 3.0, "on_midstream": OnMidstream.RESTART}
    return table(*(names or ("a", "b")), timeouts=TIMES, **rules | more)


def one(upstreams, seed=0, book=None, loop=VirtualLoop):
    """Play one call: its caller, and the time at which it was over."""
    at, caller = desk(book or route(), upstreams, seed), RecordingCaller()

    async def story():
        try:
            await answer(at, caller, call())
        except Failure as failure:
            return failure
        return VirtualClock().mono()

    ended = play(story(), loop=loop)
    assert not isinstance(ended, Failure), ended
    assert at.snapshot.health.outstanding == 0
    return caller, ended


@pytest.mark.parametrize("loop", [VirtualLoop, HastyLoop])
def test_s01_between_a_429_and_the_second_try_lies_the_time_that_it_named(loop):
    for seed in range(50):
        upstreams = Logging(a=[fails(429, retry_after="2"), HEALTHY], b=[HEALTHY])
        caller, ended = one(upstreams, seed, loop=loop)
        check_whole(caller, "".join(WORDS))
        first, second = upstreams.times("a")
        assert 2.0 <= second - first <= 3.0
        assert ended <= 20.0
        assert upstreams.times("b") == []


@pytest.mark.parametrize("loop", [VirtualLoop, HastyLoop])
def test_s02_a_429_without_a_time_is_tried_at_most_twice_and_not_in_a_tight_loop(loop):
    for seed in range(50):
        upstreams = Logging(a=[fails(429)], b=[HEALTHY])
        caller, ended = one(upstreams, seed, loop=loop)
        check_whole(caller, "".join(WORDS))
        assert 1 <= len(upstreams.times("a")) <= 2
        assert ended <= 40.0


@pytest.mark.parametrize("loop", [VirtualLoop, HastyLoop])
def test_s03_a_500_is_tried_again_in_place_after_a_moment(loop):
    for seed in range(50):
        upstreams = Logging(a=[fails(500), HEALTHY], b=[HEALTHY])
        caller, ended = one(upstreams, seed, loop=loop)
        check_whole(caller, "".join(WORDS))
        assert [name for name, _ in upstreams.log] == ["a", "a"]
        assert ended <= 1.0


@pytest.mark.fault("a9-slow-head")
def test_s06_silence_ends_with_its_timeout_and_the_silent_one_is_not_asked_again():
    upstreams = Logging(a=[Says(before=120.0)], b=[HEALTHY])
    caller, ended = one(upstreams)
    check_whole(caller, "".join(WORDS))
    assert upstreams.log == [("a", 0.0), ("b", TIMES.first_token_s)]
    assert ended <= 100.0


@pytest.mark.fault("a10-slow-token")
def test_s07_a_first_token_after_twenty_seconds_is_overtaken_within_fifteen():
    slow = Says(steps=[ROLE, Pause(20.0), *HEALTHY.steps[1:]])
    upstreams = Logging(a=[slow], b=[HEALTHY])
    caller, ended = one(upstreams)
    check_whole(caller, "".join(WORDS))
    assert ended <= 15.0


@pytest.mark.fault("c1-stall")
def test_s09_a_stall_of_half_a_minute_is_bounded_and_mended():
    stalled = Says(steps=[*HEALTHY.steps[:21], STALL])
    upstreams = Logging(a=[stalled], b=[HEALTHY])
    caller, ended = one(upstreams)
    check_whole(caller, "".join(WORDS))
    assert ended <= 45.0


def test_s11_an_answer_without_its_done_is_over_when_its_body_is():
    caller, ended = one(Logging(a=[replace(HEALTHY, steps=HEALTHY.steps[:-1])], b=[HEALTHY]))
    check_whole(caller, "".join(WORDS))
    assert ended <= 8.0


def test_s15_after_an_outage_of_a_minute_the_primary_is_back_within_thirty_seconds():
    """Twenty calls, one every four seconds; all are answered, and the breaker makes the attempts few."""
    for seed in range(50):
        upstreams = Flapping()
        book = route()
        rules = BreakerRules(failures=3, open_s=5.0, open_max_s=15.0)
        book = replace(
            book, upstreams={name: replace(one, breaker=rules) for name, one in book.upstreams.items()}
        )
        at = desk(book, upstreams, seed)

        async def story(at=at, upstreams=upstreams):
            for number in range(24):
                await moment_comes(4.0 * number)
                caller = RecordingCaller()
                await answer(at, caller, call(number + 1))
                check_whole(caller, "".join(WORDS))
                assert VirtualClock().mono() - 4.0 * number <= 3.0

        play(story())
        down = [when for when in upstreams.times("a") if when < OUTAGE_S]
        assert len(down) <= 12, "fifteen calls came in the outage"
        back = [when for when in upstreams.served if when >= OUTAGE_S]
        assert back[0] <= OUTAGE_S + 30.0


class Flapping(Logging):
    """`a` is down for a minute, then well; `b` is well."""

    def __init__(self) -> None:
        super().__init__(a=[fails(503)], b=[HEALTHY])
        self.served: list[float] = []

    def send(self, upstream, request):
        now = VirtualClock().mono()
        if upstream.name == "a" and now >= OUTAGE_S:
            self.served.append(now)
            self._scripts["a"] = [HEALTHY]
        return super().send(upstream, request)
