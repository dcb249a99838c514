"""A caller's own view: who may answer it, what is left to it, and nothing of anybody else."""

import threading

import pytest

from proxy.call import Attempt, Billed, Kind, Phase, Signal
from proxy.policy.classify import classify
from proxy.store import StoreRefused
from proxy.store.view import Crossed, Spend
from proxy.table import BreakerRules, Every, Limit, Per, Route, Secret, Table, Target, Unit, Upstream
from tests.server.running import KEY, FakeDice, House, http, opened

FIRST, SECOND = Target("first", "gpt-4o"), Target("second", "llama")
NOW_S = 1_800_000_000
DAY = NOW_S - NOW_S % 86_400


def upstream(name):
    return Upstream(
        name,
        "openai",
        "http://canary-host:1/v1",
        api_key=Secret("sk-canary"),
        headers=(("x-canary", "y"),),
        breaker=BreakerRules(failures=1, open_s=60.0),
    )


TABLE = Table(
    {name: upstream(name) for name in ("unused", "first", "second")},
    (
        Route("chat", (FIRST,), off=(Target("missing", "m"),)),
        Route("gpt-*", (SECOND, FIRST)),
    ),
    (
        Limit(Unit.TOKENS, 50_000, Every.DAY, Per.TENANT),
        Limit(Unit.NANO_USD, 20_000_000_000, Every.MONTH, tenant="acme"),
        Limit(Unit.REQUESTS, 60, Every.MINUTE, Per.KEY),
        Limit(Unit.STREAMS, 4, None, Per.TENANT),
        Limit(Unit.TOKENS, 1, Every.DAY, tenant="globex"),
        Limit(Unit.TOKENS, 9, Every.DAY, Per.USER),
    ),
    off={"missing": "CANARY_VARIABLE is not set", "also-missing": "X is not set"},
)


@pytest.fixture
async def served():
    async with opened(House(table=TABLE)) as running:
        yield running


async def upstreams(house):
    reply = await house.send(http("GET", "/v1/upstreams"))
    assert reply.status == 200
    assert reply.json["object"] == "list"
    return {each["name"]: each for each in reply.json["data"]}


def fails(house, target=FIRST, kind=Kind.OVERLOADED, retry_after_s=None):
    signal = Signal(kind, Phase.HEADERS, 503, retry_after_s)
    ticket = house.health.admit(target, house.clock.mono(), last=False)
    house.health.failed(ticket, classify(signal), signal, house.clock.mono(), FakeDice())


def attempted(house, result, took_ms=400, name="first"):
    house.recent.attempted(Attempt(name, "m", result, 200, "content", 0, 100, took_ms, Billed.YES))


async def test_upstreams_are_those_of_the_routes_in_their_order_and_off_ones_too(served):
    found = await upstreams(served)
    assert list(found) == ["first", "missing", "second"]
    assert [each["state"] for each in found.values()] == ["up", "off", "up"]
    nothing = {"p50": None, "p95": None}
    assert found["first"] == {
        "name": "first",
        "state": "up",
        "breaker": "closed",
        "open_until": None,
        "attempts": 0,
        "error_share": None,
        "first_token_ms": nothing,
        "total_ms": nothing,
    }
    assert set(found["missing"]) == set(found["first"])


async def test_nothing_is_shown_but_names_and_states(served):
    fails(served, kind=Kind.NO_CREDIT)
    reply = await served.send(http("GET", "/v1/upstreams"))
    told = reply.body.decode().lower()
    assert not any(
        word in told for word in ("canary", "http", "sk-", "money", "llama", "unused", "also-missing")
    )
    assert reply.headers["cache-control"] == "no-store"


async def test_one_whose_breaker_is_open_is_down_until_it_asks_again(served):
    fails(served)
    found = (await upstreams(served))["first"]
    assert (found["state"], found["breaker"]) == ("down", "open")
    assert found["open_until"] == "2027-01-15T08:01:06Z", "60 s and what chance adds, on the wall's clock"
    served.clock.now += 67
    found = (await upstreams(served))["first"]
    assert (found["state"], found["breaker"], found["open_until"]) == ("degraded", "half_open", None)


async def test_one_whose_account_was_refused_is_down_though_its_breaker_is_closed(served):
    fails(served, kind=Kind.NO_CREDIT)
    found = (await upstreams(served))["first"]
    assert (found["state"], found["breaker"]) == ("down", "closed")
    assert found["open_until"] is not None


async def test_one_that_asked_for_a_pause_is_degraded(served):
    fails(served, SECOND, Kind.RATE_LIMITED, retry_after_s=30.0)
    assert (await upstreams(served))["second"]["state"] == "degraded"
    served.clock.now += 60
    assert (await upstreams(served))["second"]["state"] == "up"


@pytest.mark.parametrize(("failed", "state"), [(0, "up"), (1, "degraded")])
async def test_one_that_fails_too_often_is_degraded_and_its_latency_is_told(served, failed, state):
    for _ in range(10 - failed):
        attempted(served, "ok")
    for _ in range(failed):
        attempted(served, "overload")
    found = (await upstreams(served))["first"]
    assert (found["state"], found["error_share"], found["attempts"]) == (state, failed / 10, 10)
    assert found["total_ms"]["p50"] == pytest.approx(400, rel=0.25)


async def test_a_few_failures_say_nothing_yet(served):
    attempted(served, "overload")
    assert (await upstreams(served))["first"]["state"] == "up"


async def test_limits_are_the_table_s_and_what_is_used_of_them_is_the_ledger_s(served):
    served.view.at = {("tenant=acme/tokens/day", DAY): (12_000, 400), ("tenant=acme/streams", 0): (0, 2)}
    usage = (await served.send(http("GET", "/v1/usage"))).json
    assert (usage["object"], usage["tenant"]) == ("usage", "acme")
    limits = {each["scope"]: each for each in usage["limits"]}
    assert set(limits) == {
        "key=key_1/requests/minute",
        "tenant=acme/nano_usd/month",
        "tenant=acme/streams",
        "tenant=acme/tokens/day",
    }
    assert limits["tenant=acme/tokens/day"] == {
        "scope": "tenant=acme/tokens/day",
        "whose": {"tenant": "acme"},
        "unit": "tokens",
        "every": "day",
        "tz": None,
        "shadow": False,
        "used": 12_000,
        "held": 400,
        "ceiling": 50_000,
        "remaining": 37_600,
        "marks": [75, 90, 100],
        "resets_at": "2027-01-16T00:00:00Z",
    }
    at_once = limits["tenant=acme/streams"]
    assert (at_once["held"], at_once["remaining"], at_once["resets_at"]) == (2, 2, None)
    assert limits["key=key_1/requests/minute"]["used"] == 0


async def test_spending_is_of_the_day_and_the_month_and_of_the_own_tenant(served):
    served.view.sums = {"acme": Spend(3, 300, 60, 7_500_000), "globex": Spend(999, 9, 9, 9)}
    spend = (await served.send(http("GET", "/v1/usage"))).json["spend"]
    amounts = {"calls": 3, "input_tokens": 300, "output_tokens": 60, "nano_usd": 7_500_000}
    assert spend == {
        "day": {"since": "2027-01-15T00:00:00Z", **amounts},
        "month": {"since": "2027-01-01T00:00:00Z", **amounts},
    }


async def test_alerts_are_the_caller_s_own_and_name_no_person(served):
    scopes = (
        "tenant=acme/tokens/day",
        "tenant=acme/user=p_canary/tokens/day",
        "key=key_1/requests/minute",
        "tenant=globex/tokens/day",
        "key=key_2/requests/minute",
        "tenant=acme/upstream=first/tokens/day",
        "tenant=acme/tokens/day/shadow",
        "all/tokens/day",
    )
    served.view.crossed = tuple(
        Crossed(NOW_S * 1_000_000, scope, DAY, "tokens", 40_000, 75, 50_000) for scope in scopes
    )
    reply = await served.send(http("GET", "/v1/usage"))
    assert [each["scope"] for each in reply.json["alerts"]] == [
        "tenant=acme/tokens/day",
        "tenant=acme/user=*/tokens/day",
        "key=key_1/requests/minute",
    ]
    assert reply.json["alerts"][0] == {
        "at": "2027-01-15T08:00:00Z",
        "scope": "tenant=acme/tokens/day",
        "unit": "tokens",
        "mark": 75,
        "used": 40_000,
        "ceiling": 50_000,
        "window_start": "2027-01-15T00:00:00Z",
    }
    assert "p_canary" not in reply.body.decode()


async def test_a_ledger_that_cannot_be_read_is_503_and_says_nothing_of_where_it_is(served):
    served.view.trouble = StoreRefused("/canary/ledger.db", "it is gone", "find it")
    reply = await served.send(http("GET", "/v1/usage"))
    assert (reply.status, reply.code) == (503, "ledger_unavailable")
    assert "canary" not in reply.body.decode()
    served.view.trouble = None
    assert (await served.send(http("GET", "/v1/usage"))).status == 200


async def test_nobody_waits_while_the_ledger_is_read(served):
    """However long that takes: it happens in a thread of its own, and callers are answered meanwhile."""
    let_go = threading.Event()
    look = served.view.look
    served.view.look = lambda since_us: (let_go.wait(30), look(since_us))
    waiting = await served.connect()
    waiting.send(http("GET", "/v1/usage"))
    for path in ("/v1/models", "/v1/upstreams", "/healthz"):
        assert (await served.send(http("GET", path))).status == 200
    assert served.view.looks == 0
    let_go.set()
    assert (await waiting.answer()).status == 200


async def test_a_caller_who_asks_again_and_again_does_not_have_the_ledger_added_up_each_time(served):
    for _ in range(20):
        assert (await served.send(http("GET", "/v1/usage"))).status == 200
    assert served.view.looks == 1
    served.clock.now += 1
    assert (await served.send(http("GET", "/v1/usage"))).status == 200
    assert served.view.looks == 2


async def test_who_is_nobody_sees_nothing(served):
    for path in ("/v1/upstreams", "/v1/usage"):
        for key in (None, KEY[:-1]):
            reply = await served.send(http("GET", path, key=key))
            assert (reply.status, set(reply.json)) == (401, {"error"})
