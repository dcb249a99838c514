"""The duty that asks upstreams how busy they are: scripted answers, virtual time."""

import asyncio
import logging

import pytest
from msgspec.structs import replace

from proxy.call import Kind, Load, Phase, Signal
from proxy.duties.load import watch_load
from proxy.duties.reload import fresh_snapshot
from proxy.table import LoadRules, Table, Target, Upstream
from tests.kit.scripted_ports import REFUSED, RESET, STALL, Says, ScriptedUpstreams
from tests.kit.virtual import VirtualClock, play

RULES = LoadRules(every_s=2.0, waiting=16)
TARGET = Target("a", "m")


def engine(name, rules=RULES):
    return Upstream(name, "vllm", f"http://{name}/v1", load=rules)


def table(*upstreams):
    return Table({one.name: one for one in upstreams}, ())


def says(waiting, running=4, cache=0.5):
    """What an engine tells in one answer."""
    return Says(
        headers={"content-type": "text/plain"},
        steps=[
            b"# TYPE vllm:num_requests_running gauge\n",
            f'vllm:num_requests_running{{engine="0"}} {running}.0\n'.encode(),
            f'vllm:num_requests_waiting{{engine="0"}} {waiting}.0\n'.encode(),
            f'vllm:kv_cache_usage_perc{{engine="0"}} {cache}\n'.encode(),
            b'vllm:prompt_tokens_total{engine="0"} 1.0\n',
        ],
    )


class Watched:
    """A house in which the duty runs, with a table that may be edited."""

    def __init__(self, first, **scripts):
        self.upstreams = ScriptedUpstreams(**scripts)
        self.snapshot = fresh_snapshot(first)
        self.counted = []
        self.asked_at = []

    def count(self, upstream, succeeded):
        self.asked_at.append((upstream, asyncio.get_running_loop().time()))
        self.counted.append((upstream, succeeded))

    def edit(self, new):
        self.snapshot = fresh_snapshot(new, self.snapshot)

    def loads(self):
        return self.snapshot.health.loads(VirtualClock().mono())

    async def watch(self, story):
        """Run `story` beside the duty, which falls if it has a defect."""
        clock = VirtualClock()
        async with asyncio.TaskGroup() as group:
            duty = watch_load(lambda: self.snapshot, self.upstreams, self.count, clock, asyncio.sleep)
            watch = group.create_task(duty)
            await story()
            watch.cancel()


def watched(first, story, **scripts):
    """The house after `story`, which is handed it."""
    house = Watched(first, **scripts)
    play(house.watch(lambda: story(house)))
    assert house.upstreams.open == 0
    return house


def for_so_long(seconds):
    async def story(_):
        await asyncio.sleep(seconds)

    return story


def test_an_engine_is_asked_as_often_as_its_table_says():
    house = watched(table(engine("a")), for_so_long(7.0), a=[says(0)])
    assert house.asked_at == [("a", 0.0), ("a", 2.0), ("a", 4.0), ("a", 6.0)]
    request = house.upstreams.requests[0]
    assert (request.method, request.path) == ("GET", "/metrics")


def test_who_cannot_tell_or_is_not_to_be_asked_is_not_asked():
    other = Upstream("b", "openai", "http://b/v1")
    house = watched(table(engine("a", None), other), for_so_long(60.0))
    assert house.upstreams.asked == []


def test_what_it_tells_is_in_the_health_of_the_house():
    async def story(house):
        await asyncio.sleep(1.0)
        assert house.loads() == {"a": (Load(4, 3, 0.5), False)}
        assert house.snapshot.health.saturated_until(TARGET, 1.0) is None
        await asyncio.sleep(2.0)
        assert house.loads() == {"a": (Load(4, 40, 0.5), True)}
        assert house.snapshot.health.saturated_until(TARGET, 3.0) == 4.0
        assert house.snapshot.health.troubles(3.0) == {"a": "saturated"}

    watched(table(engine("a")), story, a=[says(3), says(40)])


def test_the_beginning_and_the_end_of_passing_over_are_a_line_each(caplog):
    with caplog.at_level(logging.INFO):
        watched(table(engine("a")), for_so_long(20.0), a=[says(3), says(40), says(20), says(9), says(8)])
    told = [
        (record.levelname, record.upstream, getattr(record, "waiting", None)) for record in caplog.records
    ]
    assert told == [("WARNING", "a", 40), ("INFO", "a", None)]


UNTOLD = {
    "refused": (REFUSED, "unreachable"),
    "reset": (RESET, "reset"),
    "reset within": (Says(steps=[b"vllm:", Signal(Kind.RESET, Phase.HEADERS)]), "reset"),
    "slow to begin": (Says(before=5.0), "too slow"),
    "slow to end": (Says(steps=[STALL]), "too slow"),
    "not there": (Says(404), "status 404"),
    "not allowed": (Says(401), "status 401"),
    "moved": (Says(302), "status 302"),
    "empty": (Says(), "it has no such figures"),
    "something else": (Says(steps=[b"<html>\xff</html>"]), "it has no such figures"),
    "half of it": (Says(steps=[b"vllm:num_requests_running 4.0\n"]), "it has no such figures"),
    "no number": (Says(steps=[b"vllm:num_requests_waiting a lot\n"]), "garbage"),
    "a label without an end": (Says(steps=[b'vllm:num_requests_waiting{engine="0\n']), "garbage"),
}


@pytest.mark.parametrize("name", UNTOLD)
def test_who_does_not_tell_is_believed_to_be_well_and_asked_ever_less_often(name, caplog):
    answer, why = UNTOLD[name]
    with caplog.at_level(logging.INFO):
        house = watched(table(engine("a")), for_so_long(250.0), a=[answer])
    assert house.snapshot.health.loads(0.0) == {}
    # 2 s after the first, then twice as long each time, at last a minute and four seconds
    began = [at for _, at in house.asked_at]
    late = began[0]
    assert [round(at - late) for at in began] == [0, 2, 6, 14, 30, 62, 126, 190]
    assert [(record.levelname, record.why) for record in caplog.records] == [("WARNING", why)]
    assert {succeeded for _, succeeded in house.counted} == {False}


def test_what_was_told_before_it_fell_silent_is_forgotten_and_holds_nobody_back(caplog):
    async def story(house):
        await asyncio.sleep(5.9)
        assert house.snapshot.health.saturated_until(TARGET, 5.9) is not None, "not yet"
        await asyncio.sleep(0.2)
        assert house.snapshot.health.saturated_until(TARGET, 6.1) is None
        await asyncio.sleep(30.0)

    with caplog.at_level(logging.INFO):
        watched(table(engine("a")), story, a=[says(40), RESET, RESET, RESET, says(0)])
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        "too many wait at an upstream, and it is passed over",
        "an upstream does not say how busy it is, and is believed to be well",
        "an upstream is passed over no more",
        "an upstream says again how busy it is",
    ]


def test_one_that_hangs_keeps_no_other_from_being_asked():
    rules = LoadRules(1.0, 16)
    house = watched(
        table(engine("a"), engine("b", rules)), for_so_long(10.5), a=[Says(before=1e6)], b=[says(0)]
    )
    asked = [at for name, at in house.asked_at if name == "b"]
    assert asked[:2] == [0.0, 1.0]
    assert len(asked) >= 8


def test_an_edited_table_is_heeded_within_a_moment_and_keeps_what_is_known():
    async def story(house):
        await asyncio.sleep(1.0)
        house.edit(table(engine("a", replace(RULES, waiting=50)), engine("b")))
        assert house.loads() == {"a": (Load(4, 40, 0.5), True)}, "until it tells again"
        await asyncio.sleep(0.6)
        assert house.loads()["b"] == (Load(4, 2, 0.5), False)
        await asyncio.sleep(1.0)
        assert house.loads()["a"] == (Load(4, 40, 0.5), True), "half of the new mark are waiting still"
        house.edit(table(engine("b")))
        await asyncio.sleep(10.0)
        assert set(house.loads()) == {"b"}

    house = watched(table(engine("a")), story, a=[says(40)], b=[says(2)])
    assert house.upstreams.asked.count("a") == 2
