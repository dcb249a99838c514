"""An upstream that bears so many calls at once: dialogues with those who come beside them."""

import asyncio

import pytest
from msgspec.structs import replace

from proxy.call import Identity
from proxy.errors import Failure
from proxy.policy.health import Health
from proxy.policy.terms import Terms
from proxy.relay import answer
from proxy.snapshot import Snapshot
from proxy.table import Timeouts
from tests.kit.scripted_ports import (
    STALL,
    Pause,
    RecordingCaller,
    Says,
    ScriptedUpstreams,
    call,
    desk,
    event,
    stream,
    table,
)
from tests.kit.virtual import play

SECOND = replace(stream("fine"), steps=[Pause(1), *stream("fine").steps])


class Counted(ScriptedUpstreams):
    """Notes how many bodies were open at once at most."""

    most = 0

    def send(self, upstream, request):
        self.most = max(self.most, self.open + 1)
        return super().send(upstream, request)


def limited(book, upstreams, **streams):
    """A desk where those upstreams have so many places."""
    at = desk(book, upstreams)
    rules = {name: one.breaker for name, one in book.upstreams.items()}
    return replace(at, snapshot=Snapshot(Terms.of(book), Health(rules, streams)))


async def told(at, asked, caller=None):
    try:
        await answer(at, caller or RecordingCaller(), asked)
    except Failure as failure:
        return failure.told
    return asyncio.get_running_loop().time()


def of(tenant, number, **members):
    return replace(call(number, **members), identity=Identity(tenant, "k"))


async def at_once(at, *asked):
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(told(at, one)) for one in asked]
    return [task.result() for task in tasks]


def test_a_full_upstream_is_passed_over_while_another_is_left():
    async def story():
        upstreams = Counted(a=[SECOND], b=[SECOND])
        at = limited(table("a", "b"), upstreams, a=2)
        ends = await at_once(at, *(call(number) for number in range(10)))
        assert ends == [1.0] * 10, "nobody waited"
        return upstreams

    asked = play(story()).asked
    assert (asked.count("a"), asked.count("b")) == (2, 8)


@pytest.mark.fault("a5-full")
def test_the_last_resort_is_waited_for_in_line_and_never_gets_more_than_it_bears():
    async def story():
        upstreams = Counted(a=[SECOND])
        at = limited(table("a"), upstreams, a=3)
        ends = await at_once(at, *(call(number) for number in range(12)))
        assert sorted(ends) == [1.0] * 3 + [2.0] * 3 + [3.0] * 3 + [4.0] * 3
        assert at.snapshot.health.outstanding == 0
        return upstreams

    upstreams = play(story())
    assert upstreams.most == 3
    assert upstreams.open == 0


@pytest.mark.fault("a5-full")
def test_a_loud_tenant_waits_behind_itself():
    async def story():
        at = limited(table("a"), ScriptedUpstreams(a=[SECOND]), a=1)
        loud = [of("loud", number) for number in range(20)]
        return await at_once(at, *loud, of("quiet", 99))

    assert play(story())[-1] == 3.0, "behind the one under way and the one that came first"


def test_nobody_waits_longer_than_a_first_token_may_take_or_than_the_caller_does():
    async def story():
        upstreams = ScriptedUpstreams(a=[Says(steps=[event({"content": "x"}), STALL])])
        at = limited(table("a", timeouts=Timeouts(first_token_s=20, idle_s=1e6, total_s=1e6)), upstreams, a=1)
        async with asyncio.TaskGroup() as group:
            busy = group.create_task(told(at, call(1)))
            await asyncio.sleep(0)
            waits = group.create_task(told(at, call(2)))
            hurried = group.create_task(told(at, call(3, patience_s=5.0)))
            late, slow = await hurried, await waits
            busy.cancel()
        return slow, late, upstreams

    slow, late, upstreams = play(story())
    assert (slow.status, slow.code, slow.should_retry) == (503, "upstream_unavailable", True)
    assert slow.retry_after_s == 1.0
    assert "a/m (full)" in slow.message
    assert late.status == 504
    assert upstreams.asked == ["a"]


@pytest.mark.fault("c11-line")
def test_whoever_hangs_up_in_line_or_under_way_gives_up_the_place():
    async def story():
        upstreams = ScriptedUpstreams(a=[SECOND])
        at = limited(table("a"), upstreams, a=1)
        async with asyncio.TaskGroup() as group:
            first, second, third = (group.create_task(told(at, call(number))) for number in range(3))
            await asyncio.sleep(0.5)
            second.cancel()
            first.cancel()
            end = await third
        return end, upstreams

    end, upstreams = play(story())
    assert end == 1.5
    assert upstreams.asked == ["a", "a"]


def test_in_line_for_the_last_resort_a_call_takes_whoever_opens_first():
    async def story():
        upstreams = ScriptedUpstreams(a=[SECOND], b=[replace(SECOND, steps=[Pause(30), *SECOND.steps])])
        at = limited(table("a", "b"), upstreams, a=1, b=1)
        ends = await at_once(at, *(call(number) for number in range(3)))
        assert sorted(ends)[:2] == [1.0, 2.0]
        return upstreams.asked

    assert play(story()) == ["a", "b", "a"]


def test_a_reload_keeps_who_is_under_way_and_brings_a_new_limit_into_force():
    async def story():
        upstreams = Counted(a=[SECOND])
        old = limited(table("a"), upstreams, a=1)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(told(old, call(number))) for number in range(3)]
            await asyncio.sleep(0.5)
            new = limited(table("a"), upstreams, a=2)
            new.snapshot.health.adopt(old.snapshot.health)
            tasks.append(group.create_task(told(new, call(9))))
        return [task.result() for task in tasks], upstreams.most

    assert play(story()) == ([1.0, 1.5, 2.0, 2.5], 2)
