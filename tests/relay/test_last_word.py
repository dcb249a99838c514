"""A call that is told to stop while its caller is slow to take the last word, or has had none at all yet."""

import asyncio

import pytest
from msgspec.structs import replace

from proxy.relay import answer
from tests.kit.scripted_ports import (
    DONE,
    RESET,
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


class NeverWritten(MemoryLedger):
    """Grants at once, and never gets a row to the disk."""

    async def reserve(self, hold):
        return replace(await super().reserve(hold), durable=asyncio.get_running_loop().create_future())


def stopped(script, after_s, *, streamed=True, ledger=None, slow_s=10.0):
    """Stop the process so long after a slow reader called: (caller, outcome)."""

    async def story():
        at = desk(table("a"), ScriptedUpstreams(a=[script]))
        at = replace(at, ledger=ledger or at.ledger)
        caller = RecordingCaller(slow_s=slow_s)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(answer(at, caller, call(stream=streamed)))
            await asyncio.sleep(after_s)
            task.cancel()
        return caller, at.ledger.outcome

    return play(story())


def test_nothing_follows_the_done_that_a_slow_reader_has_not_taken_yet():
    script = stream(steps=[b"".join(stream("all").steps)])
    caller, outcome = stopped(script, 1.0)
    assert caller.body.endswith(DONE)
    assert caller.errors == []
    assert caller.aborted
    assert outcome.result == "shutdown"


def test_nothing_follows_the_error_that_a_slow_reader_has_not_taken_yet():
    caller, _ = stopped(stream("some", steps=[RESET]), 11.0)
    assert [error["code"] for error in caller.errors] == ["upstream_broken"]
    assert caller.aborted


def test_no_error_event_is_put_behind_an_answer_that_is_not_a_stream():
    caller, _ = stopped(whole("all"), 1.0, streamed=False)
    assert caller.body == whole("all").steps[0]
    assert caller.aborted


@pytest.mark.parametrize(("script", "streamed"), [(stream("all"), True), (whole("all"), False)])
def test_a_caller_without_a_status_line_is_written_nothing_and_can_still_be_refused(script, streamed):
    caller, outcome = stopped(script, 1.0, streamed=streamed, ledger=NeverWritten())
    assert caller.status is None
    assert caller.body == b""
    assert not caller.aborted, "the door answers 503"
    assert (outcome.status, outcome.result) == (503, "shutdown")
