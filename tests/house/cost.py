"""Counts what a call and a chunk cost in `proxy/`, without a clock: function calls and memory.

Only frames of the package are counted, so that neither the test kit nor the event loop disturbs the
figures, and the machine does not matter. A resumed coroutine or generator counts like a call, since
it costs like one. `python -m tests.house.cost` prints a budget with headroom over what it measures.
"""

import gc
import json
import sys
import tracemalloc
from array import array
from collections.abc import Iterator
from pathlib import Path

import proxy
from proxy.call import Call
from proxy.holds import Balance, Granted
from proxy.relay import Desk, answer
from proxy.table import Every, Limit, Per, Unit
from tests.kit.scripted_ports import (
    DONE,
    Says,
    ScriptedUpstreams,
    call,
    desk,
    event,
    table,
    usage_event,
    whole,
)
from tests.kit.virtual import play

HEADROOM = 1.1
SHORT, LONG = 100, 600
"""Chunks of two streams; a chunk's cost is the difference between them, shared out."""

PACKAGE = str(Path(proxy.__file__).parent)


class QuietCaller:
    """The Caller port that keeps nothing."""

    gone = False

    async def start(self, status, headers) -> None:
        self.status = status

    def write(self, data) -> None:
        return None

    async def finish(self) -> None:
        return None

    def abort(self) -> None:
        raise AssertionError("a healthy call was aborted")


class QuietLedger:
    """The Ledger port that grants everything and keeps nothing."""

    async def reserve(self, hold) -> Granted:
        return Granted(tuple(Balance(claim, 0, claim.amount) for claim in hold.claims))

    async def move(self, call_id, claims) -> Granted:
        return Granted(tuple(Balance(claim, 0, claim.amount) for claim in claims))

    def commit(self, settlement):
        return None

    release = commit

    def note(self, progress) -> None:
        return None


class Tally:
    """A profiler that counts what the package calls."""

    def __init__(self) -> None:
        self.calls = 0
        self.builtins = 0

    def __call__(self, frame, kind, _) -> None:
        if frame.f_code.co_filename.startswith(PACKAGE):
            self.calls += kind == "call"
            self.builtins += kind == "c_call"


def at(says: Says) -> Desk:
    """A desk whose table has what an operator's has: two upstreams, a price, limits of two kinds."""
    limits = (
        Limit(Unit.TOKENS, 10**9, Every.DAY, Per.TENANT),
        Limit(Unit.NANO_USD, 10**12, Every.MONTH, Per.TENANT),
        Limit(Unit.TOKENS, 10**9, Every.DAY, upstream="a"),
    )
    made = desk(table("a", "b", limits=limits), ScriptedUpstreams(a=[says], b=[says]))
    return Desk(made.snapshot, made.upstreams, QuietLedger(), made.recall, made.clock, made.dice)


def streamed(chunks: int, steps: Iterator[bytes] | None = None) -> tuple[Desk, Call]:
    """A stream of so many words, each arriving alone."""
    return at(Says(steps=list(words(chunks)) if steps is None else steps)), call()


def words(chunks: int) -> Iterator[bytes]:
    """A healthy stream."""
    said = event({"content": "a word "})
    yield event({"role": "assistant", "content": ""})
    for _ in range(chunks):
        yield said
    yield from (event(finish="stop"), usage_event(), DONE)


def not_streamed() -> tuple[Desk, Call]:
    """A whole answer of an ordinary size."""
    return at(whole("a word " * 80)), call(stream=False)


def counted(made: tuple[Desk, Call]) -> Tally:
    """Calls of one answer, after another of the same desk: what is made once is not a call's cost."""
    tally = Tally()

    async def story() -> None:
        await answer(made[0], QuietCaller(), made[1])
        sys.setprofile(tally)
        try:
            await answer(made[0], QuietCaller(), made[1])
        finally:
            sys.setprofile(None)

    play(story())
    return tally


def peak(made: tuple[Desk, Call]) -> int:
    """Bytes that one answer needs at most, at once, after another of the same desk."""
    found = 0

    async def story() -> None:
        nonlocal found
        await answer(made[0], QuietCaller(), made[1])
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        await answer(made[0], QuietCaller(), made[1])
        found = tracemalloc.get_traced_memory()[1] - before

    traced(story())
    return found


def chunk_memory() -> tuple[int, float]:
    """(bytes that one chunk needs at most, bytes that each chunk leaves behind while the stream lasts)."""
    now, most = array("q", bytes(8 * (LONG + 4))), array("q", bytes(8 * (LONG + 4)))

    def steps() -> Iterator[bytes]:
        for index, said in enumerate(list(words(LONG))):
            now[index], most[index] = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            yield said

    made = streamed(LONG, steps())

    async def story() -> None:
        await answer(made[0], QuietCaller(), made[1])

    traced(story())
    needed = sorted(most[i + 1] - now[i] for i in range(SHORT, LONG))
    return needed[len(needed) // 2], (now[LONG] - now[SHORT]) / (LONG - SHORT)


def traced(story) -> None:
    """Play a story while memory is traced and nothing is collected behind its back."""
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        play(story)
    finally:
        tracemalloc.stop()
        gc.enable()


def measure() -> dict[str, dict[str, float]]:
    """Every figure the budget has."""
    short, long, unstreamed = counted(streamed(SHORT)), counted(streamed(LONG)), counted(not_streamed())
    needed, _ = chunk_memory()
    apart = LONG - SHORT
    calls, builtins = (long.calls - short.calls) / apart, (long.builtins - short.builtins) / apart
    return {
        "whole call": {
            "calls": unstreamed.calls,
            "builtins": unstreamed.builtins,
            "bytes": peak(not_streamed()),
        },
        "streamed call, without its chunks": {
            "calls": short.calls - SHORT * calls,
            "builtins": short.builtins - SHORT * builtins,
        },
        "chunk": {"calls": calls, "builtins": builtins, "bytes": needed},
    }


def budget() -> dict[str, dict[str, float]]:
    """What is measured now, with headroom."""
    return {
        what: {figure: round(value * HEADROOM, 1) for figure, value in figures.items()}
        for what, figures in measure().items()
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(budget(), indent=2) + "\n")
