"""Nothing of an answer is shown before the call's own row is written, whoever granted it."""

import asyncio

import pytest
from msgspec.structs import replace

from proxy.errors import Refused, unavailable
from proxy.relay import answer
from tests.kit.scripted_ports import (
    MemoryLedger,
    RecordingCaller,
    ScriptedUpstreams,
    call,
    desk,
    stream,
    table,
    whole,
)
from tests.kit.virtual import play


class LateLedger(MemoryLedger):
    """Grants at once, and writes when told."""

    def __init__(self):
        super().__init__()
        self.written = asyncio.get_running_loop().create_future()

    async def reserve(self, hold):
        return replace(await super().reserve(hold), durable=self.written)


@pytest.mark.parametrize(("script", "streamed"), [(stream("hello"), True), (whole("hello"), False)])
def test_an_answer_waits_for_its_row(script, streamed):
    async def story():
        at = replace(desk(table("a"), ScriptedUpstreams(a=[script])), ledger=LateLedger())
        caller = RecordingCaller()
        async with asyncio.TaskGroup() as group:
            group.create_task(answer(at, caller, call(stream=streamed)))
            await asyncio.sleep(1)
            assert caller.status is None
            at.ledger.written.set_result(None)
        assert caller.finished
        return caller

    assert "hello" in play(story()).body.decode()


class SlowLedger(MemoryLedger):
    """Takes settlements, and never gets to write them."""

    def commit(self, settlement):
        super().commit(settlement)
        return asyncio.get_running_loop().create_future()


@pytest.mark.parametrize(("script", "streamed"), [(stream("hello"), True), (whole("hello"), False)])
def test_a_call_ends_with_its_answer_and_does_not_wait_for_its_settlement_on_disk(script, streamed):
    async def story():
        at = replace(desk(table("a"), ScriptedUpstreams(a=[script])), ledger=SlowLedger())
        caller = RecordingCaller()
        await asyncio.wait_for(answer(at, caller, call(stream=streamed)), timeout=60)
        return caller, at

    caller, at = play(story())
    assert caller.finished
    assert [kind for kind, _ in at.ledger.settled] == ["commit"]


def test_a_row_that_cannot_be_written_is_a_503_and_nothing_else_is_shown():
    async def story():
        at = replace(desk(table("a"), ScriptedUpstreams(a=[stream("hello")])), ledger=LateLedger())
        caller = RecordingCaller()
        at.ledger.written.set_exception(unavailable("no", "ledger_unavailable", retry_after_s=1.0))
        with pytest.raises(type(unavailable("no", "x"))) as refused:
            await answer(at, caller, call())
        assert refused.value.told.status == 503
        assert caller.status is None
        assert len(at.ledger.settled) == 1

    play(story())


class ClosedLedger(MemoryLedger):
    """Its disk takes nothing."""

    async def reserve(self, hold):
        raise unavailable("no", "ledger_unavailable", retry_after_s=1.0)


def test_a_call_that_the_ledger_refused_leaves_nothing_in_its_queue():
    """It would lie there for as long as the disk is full, and one of every call that is refused meanwhile."""

    async def story():
        at = replace(desk(table("a"), ScriptedUpstreams()), ledger=ClosedLedger())
        with pytest.raises(Refused):
            await answer(at, RecordingCaller(), call())
        assert at.ledger.settled == []

    play(story())
