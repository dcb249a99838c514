"""A body that is poured is handed on the moment it comes, in no task, and nothing of it is lost."""

import asyncio

import pytest

from proxy.call import Kind, Phase, Signal, UpstreamLost
from proxy.flow import Later
from proxy.upstream.answer import BUFFER_BYTES, Answer
from proxy.upstream.head import Head
from tests.upstream.sending import Glass, poured, started


class Line:
    """The connection below an answer."""

    def __init__(self):
        self.held = False

    def hold(self):
        self.held = True

    def go_on(self):
        self.held = False

    def part(self, *, whole):
        raise AssertionError("nobody left")


class Slow(Glass):
    """A sink whose every piece has to be waited for."""

    def __init__(self):
        super().__init__()
        self.room = asyncio.Event()

    def take(self, data):
        super().take(data)
        return Later(self._wait)

    async def _wait(self):
        await self.room.wait()


class Broken(Glass):
    """A sink that cannot bear its second piece."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def take(self, data):
        super().take(data)
        if len(self.taken) == 2:
            raise self.error


@pytest.fixture
def line():
    return Line()


@pytest.fixture
async def answer(line):
    made = Answer(line, asyncio.get_running_loop())
    made.begin(200, Head())
    return made


def comes(answer, *pieces):
    """So much arrives together."""
    answer.came(b"".join(pieces))


async def pouring(answer, sink):
    """A story that waits for its body."""
    task = started(answer.pour(sink))
    await asyncio.sleep(0)
    return task


async def test_a_piece_is_there_before_the_loop_turns(answer):
    sink = Glass()
    task = await pouring(answer, sink)
    comes(answer, b"one")
    comes(answer, b"two", b"three")
    assert sink.taken == [b"one", b"twothree"]
    answer.ended = True
    answer.came(b"")
    await task


async def test_what_came_before_is_poured_first(answer):
    comes(answer, b"early")
    answer.ended = True
    assert await poured(answer) == b"early"


async def test_who_has_enough_leaves_the_rest(answer):
    sink = Glass(3)
    task = await pouring(answer, sink)
    comes(answer, b"one")
    await task
    comes(answer, b"two")
    assert sink.taken == [b"one"]
    assert await answer.start(3) == b"two"


async def test_nothing_is_pushed_while_a_piece_is_waited_for(answer):
    sink = Slow()
    task = await pouring(answer, sink)
    comes(answer, b"one")
    comes(answer, b"two")
    await asyncio.sleep(0)
    comes(answer, b"three")
    assert sink.taken == [b"one"]
    sink.room.set()
    answer.ended = True
    answer.came(b"")
    await task
    assert b"".join(sink.taken) == b"onetwothree"


async def test_much_that_is_waited_for_holds_the_upstream_back(answer, line):
    sink = Slow()
    task = await pouring(answer, sink)
    comes(answer, b"one")
    comes(answer, b"x" * (BUFFER_BYTES + 1))
    assert line.held
    sink.room.set()
    answer.ended = True
    await task
    assert not line.held


async def test_an_end_behind_the_last_piece_ends_the_pouring(answer):
    sink = Glass()
    task = await pouring(answer, sink)
    answer.ended = True
    answer.came(b"all")
    await task
    assert sink.taken == [b"all"]


async def test_a_loss_is_raised_behind_what_came(answer):
    sink = Glass()
    task = await pouring(answer, sink)
    answer.lose(Signal(Kind.RESET, Phase.HEADERS))
    answer.came(b"some")
    with pytest.raises(UpstreamLost):
        await task
    assert sink.taken == [b"some"]


async def test_a_defect_is_raised_to_the_story_and_not_to_the_connection(answer):
    sink = Broken(ZeroDivisionError("a defect"))
    task = await pouring(answer, sink)
    comes(answer, b"one")
    comes(answer, b"two")
    with pytest.raises(ZeroDivisionError):
        await task


async def test_a_caller_who_is_gone_is_a_cancellation_of_the_story(answer):
    sink = Broken(asyncio.CancelledError())
    task = await pouring(answer, sink)
    comes(answer, b"one")
    comes(answer, b"two")
    await asyncio.wait([task])
    assert task.cancelled()


@pytest.mark.parametrize("pending", [False, True], ids=["asleep", "with something to wait for"])
async def test_a_story_that_was_called_off_is_given_nothing_more(answer, pending):
    sink = Slow() if pending else Glass()
    task = await pouring(answer, sink)
    if pending:
        comes(answer, b"one")
    task.cancel()
    comes(answer, b"two")
    await asyncio.wait([task])
    comes(answer, b"three")
    assert sink.taken == ([b"one"] if pending else [])
