"""Too many calls at once, or too late a loop: one more is turned away unread, and nothing else is."""

import asyncio

import pytest

from proxy.server.gate import Gate, Why
from proxy.server.visit import Listener
from proxy.wire import body as wire_body
from tests.server.running import CHAT, KEY, House, chat, http, opened
from tests.server.test_drain import Held
from tests.server.twins import until

MOST = 4


@pytest.fixture
async def full():
    """A server with as many calls as it takes, held by the test; `shed` counts who was turned away."""
    shed = []
    async with opened(House(gate=Gate(MOST, shed.append))) as house:
        house.shed = shed
        house.held = house.answer = Held()
        house.inside = []
        for _ in range(MOST):
            line = await house.connect()
            line.send(chat({"stream": True}))
            house.inside.append(line)
        await until(lambda: len(house.calls) == MOST)
        yield house
        house.held.go.set()


def unsent(length=10**6, *headers):
    """The head of a call whose body has not left its sender."""
    raw = http("POST", "/v1/chat/completions", key=KEY, headers=[("Content-Length", str(length)), *headers])
    assert raw.endswith(b"\r\n\r\n")
    return raw


@pytest.mark.fault("d13-overload")
async def test_one_too_many_is_told_so_before_any_of_its_body_has_come(full, monkeypatch):
    monkeypatch.setattr(wire_body, "parse", None)  # whoever parses a body now fails
    line = await full.connect()
    line.send(unsent())
    reply = await line.answer()
    assert (reply.status, reply.code) == (503, "overloaded")
    assert (reply.headers["retry-after"], reply.headers["x-should-retry"]) == ("1", "true")
    assert reply.headers["connection"] == "close", "a body is under way that nobody will read"
    assert await line.reader.read() == b""
    assert len(full.calls) == full.gate.live == MOST
    assert full.shed == [Why.CALLS]


async def test_who_asks_whether_to_go_on_is_told_no(full):
    line = await full.connect()
    line.send(unsent(10, ("Expect", "100-continue")))
    assert (await line.answer()).status == 503


async def test_a_small_body_that_has_come_already_costs_no_connection(full):
    line = await full.connect()
    for _ in range(3):
        line.send(chat())
        reply = await line.answer()
        assert (reply.status, reply.code) == (503, "overloaded")
        assert "connection" not in reply.headers
    full.held.go.set()
    await until(lambda: full.gate.live == 0)
    line.send(chat({"stream": True}))
    assert (await line.answer()).status == 200


@pytest.mark.fault("d13-overload")
async def test_those_inside_are_not_disturbed_and_each_that_leaves_makes_room_for_one(full):
    assert (await full.send(chat())).status == 503
    full.inside[0].close()
    await until(lambda: full.gate.live == MOST - 1)
    line = await full.connect()
    line.send(chat({"stream": True}))
    await until(lambda: len(full.calls) == MOST + 1)
    assert (await full.send(chat())).status == 503
    full.held.go.set()
    for each in (*full.inside[1:], line):
        await each.head()
        assert (await each.chunks()).endswith(b"data: [DONE]\n\n")


async def test_who_has_no_key_learns_nothing_and_probes_are_answered(full):
    assert (await full.send(chat(key="ft-nobody"))).status == 401
    for path in ("/healthz", "/readyz"):
        for listener in (Listener.PUBLIC, Listener.PROBES):
            assert (await full.send(http("GET", path, key=None), listener)).status == 200
    assert (await full.send(http("GET", "/metrics", key=None), Listener.PROBES)).status == 200
    assert (await full.send(http("GET", "/v1/models"))).status == 200


async def test_an_avalanche_is_turned_away_one_by_one(full):
    long = chat({"messages": CHAT["messages"] * 50})
    replies = await asyncio.gather(*(full.send(long) for _ in range(200)))
    assert {reply.code for reply in replies} == {"overloaded"}
    assert len(full.shed) == 200
    assert len(full.calls) == MOST


# ── a loop that is late ───────────────────────────────────────────────────────────────────────────────


class Late:
    """Whether the loop is late, as a test says."""

    def __init__(self):
        self.is_so = False

    def __call__(self):
        return self.is_so


@pytest.fixture
async def lagging():
    """A server with one call inside, held by the test; `late.is_so` says how it is with the loop."""
    shed, late = [], Late()
    async with opened(House(gate=Gate(None, shed.append, late))) as house:
        house.shed, house.late = shed, late
        house.held = house.answer = Held()
        house.inside = await house.connect()
        house.inside.send(chat({"stream": True}))
        await until(lambda: len(house.calls) == 1)
        yield house
        house.held.go.set()


async def test_while_the_loop_is_late_newcomers_are_turned_away_unread(lagging, monkeypatch):
    monkeypatch.setattr(wire_body, "parse", None)  # whoever parses a body now fails
    lagging.late.is_so = True
    line = await lagging.connect()
    line.send(unsent())
    reply = await line.answer()
    assert (reply.status, reply.code) == (503, "overloaded")
    assert (reply.headers["retry-after"], reply.headers["x-should-retry"]) == ("1", "true")
    assert await line.reader.read() == b""
    assert lagging.shed == [Why.LAG]


async def test_a_late_loop_is_no_reason_to_disturb_a_call_or_to_leave_a_probe_without_answer(lagging):
    lagging.late.is_so = True
    for path in ("/healthz", "/readyz"):
        for listener in (Listener.PUBLIC, Listener.PROBES):
            assert (await lagging.send(http("GET", path, key=None), listener)).status == 200
    for listener in (Listener.PROBES, Listener.ADMIN):
        assert (await lagging.send(http("GET", "/metrics", key=None), listener)).status == 200
    assert (await lagging.send(http("GET", "/v1/models"))).status == 200
    lagging.held.go.set()
    await lagging.inside.head()
    assert (await lagging.inside.chunks()).endswith(b"data: [DONE]\n\n")
    assert lagging.shed == []


async def test_once_the_loop_is_in_time_again_callers_are_taken(lagging):
    lagging.late.is_so = True
    assert (await lagging.send(chat())).status == 503
    lagging.late.is_so = False
    lagging.held.go.set()
    assert (await lagging.send(chat({"stream": True}))).status == 200


async def test_whoever_finds_nobody_inside_is_let_in_however_late_the_loop_is(lagging):
    """Where the machine is to blame and not the calls, one at a time is served instead of none."""
    lagging.late.is_so = True
    lagging.held.go.set()
    await until(lambda: lagging.gate.live == 0)
    assert (await lagging.send(chat({"stream": True}))).status == 200
    assert lagging.shed == []


# ── the gate alone ────────────────────────────────────────────────────────────────────────────────────


async def crowd(gate, tenants):
    """Who of these is let in, one after another; all of them stay."""
    stay = asyncio.Event()

    async def come(tenant):
        try:
            task = gate.enter(tenant)
        except Exception:  # noqa: BLE001 - turned away; what it is told is shown above
            return False
        came.append(tenant)
        await stay.wait()
        gate.leave(task)
        return True

    came, tasks = [], []
    for tenant in tenants:
        tasks.append(asyncio.create_task(come(tenant)))
        await asyncio.sleep(0)
    stay.set()
    await asyncio.gather(*tasks)
    return "".join(came)


@pytest.mark.fault("d13-overload")
@pytest.mark.parametrize(
    ("most", "tenants", "inside"),
    [
        (8, "a" * 10, "a" * 8),
        (8, "a" * 10 + "b" * 3, "a" * 8),
        (8, "a" * 7 + "ba", "a" * 7 + "b"),
        (8, "a" * 5 + "b" + "a" * 4 + "b" * 5, "a" * 5 + "bb" + "b"),
        (8, "aabbccdd", "aabbccdd"),
        (1, "ab", "a"),
        (None, "a" * 50, "a" * 50),
    ],
)
async def test_in_a_crowd_nobody_gets_more_than_an_equal_share_while_others_are_there(most, tenants, inside):
    gate = Gate(most)
    assert await crowd(gate, tenants) == inside
    assert gate.live == 0
    both = "ab"[: most or 2]
    assert await crowd(gate, both) == both, "nothing is left of those who were there"
