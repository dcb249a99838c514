"""Which counters hold a call, how much, and what each is charged."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy.call import Identity
from proxy.holds import Claim
from proxy.policy import quota
from proxy.policy.estimate import Estimate
from proxy.policy.meters import Asker, Limits
from proxy.policy.periods import window
from proxy.policy.selection import Candidate, Selection
from proxy.table import Every, Limit, Per, Route, Table, Target, Timeouts, Unit, Upstream
from proxy.usage import FREE, Price, Usage

ACME = Identity("acme", "key_1", "p1")
CHAT = Asker(ACME, "chat", "chat")
USD = 1_000_000_000


def micros(text):
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1_000_000)


ESTIMATE = Estimate(1000, 500)
AT = micros("2026-11-21T10:15:30")


def limit(unit=Unit.TOKENS, ceiling=50_000, every=Every.DAY, **filters):
    return Limit(unit, ceiling, every, **filters)


UPSTREAMS = {name: Upstream(name, "openai", f"http://{name}") for name in ("openai", "vllm")}


def table(*limits):
    return Table(UPSTREAMS, (), limits)


def held(limits, asker=CHAT, price=FREE, most=ESTIMATE):
    """What the caller's limits must hold, at that price."""
    worst = price.worst(most.input_tokens, most.output_tokens)
    return quota.claims(Limits.of(limits).upon(asker.identity).callers, asker, most, worst, AT)


@pytest.mark.parametrize(
    ("one", "scope"),
    [
        (limit(), "all/tokens/day"),
        (limit(per=Per.TENANT), "tenant=acme/tokens/day"),
        (limit(per=Per.KEY, unit=Unit.REQUESTS, every=Every.MINUTE), "key=key_1/requests/minute"),
        (limit(per=Per.MODEL), "model=chat/tokens/day"),
        (limit(per=Per.ROUTE), "route=chat/tokens/day"),
        (limit(per=Per.USER), "tenant=acme/user=p1/tokens/day"),
        (limit(per=Per.USER, model="chat"), "tenant=acme/user=p1/model=chat/tokens/day"),
        (limit(user="p1"), "user=p1/tokens/day"),
        (limit(route="chat"), "route=chat/tokens/day"),
        (limit(Unit.STREAMS, 4, None, per=Per.USER), "tenant=acme/user=p1/streams"),
        (limit(Unit.STREAMS, 4, None), "all/streams"),
        (limit(tenant="acme"), "tenant=acme/tokens/day"),
        (limit(per=Per.KEY, tenant="acme", model="ch*"), "tenant=acme/key=key_1/model=ch*/tokens/day"),
        (limit(unit=Unit.NANO_USD, every=Every.MONTH), "all/nano_usd/month"),
        (limit(every=Every.WEEK, zone=ZoneInfo("Europe/Paris")), "all/tokens/week@Europe%2FParis"),
        (limit(tenant="globex"), None),
        (limit(key="key_2"), None),
        (limit(user="p2"), None),
        (limit(model="gpt-*"), None),
        (limit(route="ch*"), None),
        (limit(upstream="openai"), None),
        (limit(per=Per.UPSTREAM), None),
    ],
)
def test_scopes_of_the_callers_limits(one, scope):
    claims = held(table(one))
    assert [claim.scope for claim in claims] == ([scope] if scope else [])
    assert all(claim.upstream is None for claim in claims)


def test_calls_that_name_nobody_share_their_tenants_counter():
    """To leave the user out is no way around a limit, and no way into another tenant's counter."""

    def scope(tenant, user):
        asker = Asker(Identity(tenant, "k", user), "chat", "chat")
        (found,) = held(table(limit(per=Per.USER)), asker)
        return found.scope

    assert scope("acme", None) == "tenant=acme/user=/tokens/day"
    assert len({scope("acme", None), scope("globex", None), scope("acme", "p1"), scope("acme", "p2")}) == 4


def test_a_call_that_names_nobody_is_none_of_a_named_users():
    asker = Asker(Identity("acme", "k"), "chat", "chat")
    assert held(table(limit(user="p1")), asker) == ()


def test_a_route_is_counted_by_its_own_name_whatever_was_asked_for():
    asker = Asker(ACME, "gpt-9", "gpt-*")
    limits = table(limit(per=Per.ROUTE), limit(route="gpt-*"), limit(route="gpt-9"))
    scopes = {claim.scope for claim in held(limits, asker)}
    assert scopes == {"route=gpt-*/tokens/day"}


def test_calls_at_once_hold_one_each_in_no_window():
    (claim,) = held(table(limit(Unit.STREAMS, 4, None)))
    assert (claim.amount, claim.ceiling, claim.window, claim.window_end) == (1, 4, 0, 0)


@pytest.mark.parametrize(
    ("one", "scope"),
    [
        (limit(upstream="openai"), "upstream=openai/tokens/day"),
        (limit(per=Per.UPSTREAM), "upstream=openai/tokens/day"),
        (limit(per=Per.TENANT, upstream="openai"), "tenant=acme/upstream=openai/tokens/day"),
        (limit(upstream="vllm"), None),
        (limit(per=Per.TENANT), None),
        (limit(per=Per.UPSTREAM, tenant="globex"), None),
    ],
)
def test_scopes_of_an_upstreams_limits(one, scope):
    meters = Limits.of(table(one)).upon(ACME).upstreams.get("openai", ())
    claims = quota.claims(meters, CHAT, ESTIMATE, 0, AT)
    assert [claim.scope for claim in claims] == ([scope] if scope else [])
    assert all(claim.upstream == "openai" for claim in claims)


def test_names_with_our_separators_share_no_counter():
    def scopes(tenant, model):
        limits = table(limit(tenant=tenant, model=model))
        return held(limits, Asker(Identity(tenant, "k"), model, model))[0].scope

    assert scopes("a/model=b", "c") != scopes("a", "b/model=c")
    assert scopes("a%2Fb", "c") != scopes("a/b", "c")


def test_claims_hold_the_worst_case_in_the_window_of_arrival():
    limits = table(
        limit(per=Per.TENANT, marks=(50,)),
        limit(Unit.REQUESTS, 60, Every.MINUTE, per=Per.KEY),
        limit(Unit.NANO_USD, 20 * USD, Every.MONTH),
    )
    price = Price(2_500_000_000, 10_000_000_000)
    claims = held(limits, CHAT, price, ESTIMATE)
    assert {claim.scope: claim.amount for claim in claims} == {
        "tenant=acme/tokens/day": 1500,
        "key=key_1/requests/minute": 1,
        "all/nano_usd/month": 2_500_000 + 5_000_000,
    }
    day = next(claim for claim in claims if claim.unit is Unit.TOKENS)
    assert (day.window, day.window_end) == window(Every.DAY, AT)
    assert (day.ceiling, day.marks) == (50_000, (50,))


def test_a_shadow_has_a_counter_of_its_own_and_cannot_overflow_a_ledger():
    limits = table(limit(Unit.NANO_USD), limit(Unit.NANO_USD, 5, shadow=True))
    claims = held(limits, CHAT, Price(10**15, 0), Estimate(10**12, 0))
    assert [(claim.scope, claim.shadow) for claim in claims] == [
        ("all/nano_usd/day/shadow", True),
        ("all/nano_usd/day", False),
    ]
    assert claims[0].amount * 1000 < 2**63


def test_a_limits_zone_decides_where_its_day_begins():
    limits = table(limit(zone=ZoneInfo("Asia/Tokyo")))
    (claim,) = held(limits)
    assert claim.window == micros("2026-11-20T15:00") // 1_000_000


def test_two_limits_on_one_counter_are_held_once_at_the_lower_ceiling():
    limits = table(limit(per=Per.TENANT, ceiling=9), limit(tenant="acme", ceiling=5))
    (claim,) = held(limits)
    assert claim.ceiling == 5


def test_money_is_rounded_up():
    limits = table(limit(Unit.NANO_USD, USD))
    (claim,) = held(limits, CHAT, Price(1, 0), Estimate(1, 0))
    assert claim.amount == 1


def test_absurd_amounts_stay_inside_64_bits():
    limits = table(limit(Unit.NANO_USD, USD))
    (claim,) = held(limits, CHAT, Price(10**15, 0), Estimate(10**12, 0))
    assert claim.amount == 2**60


def candidate(price):
    upstream = Upstream("u", "openai", "http://u")
    return Candidate(Target("u", "m", price), upstream, Timeouts())


amounts = st.integers(0, 10**11)
rates = (amounts, amounts, st.none() | amounts, st.none() | amounts)
steps = st.dictionaries(st.integers(1, 10**6), st.builds(Price, *rates), max_size=3)
tiers = steps.map(lambda found: tuple((at, found[at]) for at in sorted(found)))
prices = st.none() | st.builds(Price, *rates, tiers)


@settings(deadline=None, derandomize=True)
@given(st.lists(prices, max_size=4), st.integers(0, 10**6), st.integers(0, 10**6), st.data())
def test_no_candidate_costs_more_than_the_dearest_whatever_the_usage(found, inputs, outputs, data):
    bound = Selection(tuple(candidate(price) for price in found)).dearest.worst(inputs, outputs)
    used = data.draw(st.integers(0, inputs))
    cached = data.draw(st.integers(0, used))
    usage = Usage(used, data.draw(st.integers(0, outputs)), cached, data.draw(st.integers(0, used - cached)))
    assert all(price.cost(usage) <= bound for price in found if price is not None)


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (limit(), True),
        (limit(Unit.NANO_USD), True),
        (limit(Unit.REQUESTS), False),
        (limit(Unit.STREAMS, 4, None), False),
        (limit(tenant="globex"), False),
        (limit(upstream="openai"), True),
    ],
)
def test_the_cap_is_sent_where_a_limit_counts_output(one, expected):
    assert Limits.of(table(one)).upon(ACME).caps_output(CHAT) is expected
    assert Limits.of(table()).upon(ACME).caps_output(CHAT) is False


def claim(scope, unit, upstream=None):
    return Claim(scope, 60, 120, unit, 1500, 50_000, (), upstream)


CLAIMS = (
    claim("t", Unit.TOKENS),
    claim("r", Unit.REQUESTS),
    claim("m", Unit.NANO_USD),
    claim("s", Unit.STREAMS),
    claim("ut", Unit.TOKENS, "openai"),
    claim("ur", Unit.REQUESTS, "openai"),
    claim("vt", Unit.TOKENS, "vllm"),
    claim("vr", Unit.REQUESTS, "vllm"),
)


def amounts(paid, nano_usd, by_upstream):
    return {one.scope: one.amount for one in quota.charges(CLAIMS, paid, nano_usd, by_upstream)}


def test_each_claim_is_charged_what_its_own_scope_used():
    by_upstream = {"openai": (Usage(10, 1), 5)}
    assert amounts(Usage(30, 4), 7, by_upstream) == {
        "t": 34, "r": 1, "m": 7, "s": 0, "ut": 11, "ur": 1, "vt": 0, "vr": 0,
    }  # fmt: skip


def test_nothing_used_charges_nothing_but_resolves_every_claim():
    assert amounts(Usage(), 0, {}) == dict.fromkeys(("t", "r", "m", "s", "ut", "ur", "vt", "vr"), 0)


def test_an_answer_without_tokens_is_still_a_request():
    found = amounts(Usage(), 0, {"vllm": (Usage(), 0)})
    assert (found["r"], found["vr"], found["ur"]) == (1, 1, 0)


@pytest.mark.fault("c10-count")
@settings(deadline=None, derandomize=True)
@given(st.integers(-9, 9), st.integers(-9, 9), st.integers(-9, 9))
def test_a_charge_is_never_negative(inputs, outputs, cost):
    usage = Usage(inputs, outputs)
    assert min(amounts(usage, cost, {"openai": (usage, cost)}).values()) >= 0


def test_names_made_up_under_a_glob_share_one_counter():
    """`per: model` counts what the table lists: a caller cannot invent allowances."""
    limits = table(Limit(Unit.REQUESTS, 5, Every.DAY, per=Per.MODEL))
    scopes = {
        held(limits, Asker(ACME, name, "gpt-*"))[0].scope for name in ("gpt-a", "gpt-b", "gpt-anything")
    }
    assert scopes == {"model=gpt-*/requests/day"}


def own(*limits, routes=()):
    found = quota.own_claims(Table({}, tuple(Route(name, ()) for name in routes), limits), ACME, AT)
    return [claim.scope for claim in found]


def test_a_caller_s_own_counters_are_those_of_its_tenant_and_its_key():
    limits = (
        limit(per=Per.TENANT),
        limit(tenant="acme", every=Every.MONTH),
        limit(Unit.REQUESTS, 60, Every.MINUTE, per=Per.KEY),
        limit(Unit.STREAMS, 4, None, per=Per.TENANT),
        limit(per=Per.TENANT, model="gpt-*", unit=Unit.NANO_USD),
    )
    assert sorted(own(*limits)) == [
        "key=key_1/requests/minute",
        "tenant=acme/model=gpt-*/nano_usd/day",
        "tenant=acme/streams",
        "tenant=acme/tokens/day",
        "tenant=acme/tokens/month",
    ]


@pytest.mark.parametrize(
    "other",
    [
        limit(),
        limit(per=Per.MODEL),
        limit(tenant="globex", per=Per.KEY),
        limit(key="key_2"),
        limit(per=Per.USER),
        limit(tenant="acme", user="p1"),
        limit(per=Per.TENANT, shadow=True),
        limit(per=Per.TENANT, upstream="openai"),
    ],
)
def test_what_others_share_or_have_is_not_a_caller_s_own(other):
    assert own(other, routes=("chat",)) == []


def test_a_counter_for_each_model_is_named_by_the_routes_there_are():
    assert own(limit(per=Per.MODEL, tenant="acme"), routes=("chat", "gpt-*")) == [
        "tenant=acme/model=chat/tokens/day",
        "tenant=acme/model=gpt-*/tokens/day",
    ]
    assert own(limit(per=Per.ROUTE, key="key_1", route="chat"), routes=("chat", "gpt-*")) == [
        "key=key_1/route=chat/tokens/day"
    ]


def test_a_caller_s_own_counters_are_those_that_its_calls_are_held_in():
    limits = (limit(per=Per.TENANT), limit(per=Per.TENANT, ceiling=9), limit(per=Per.MODEL, tenant="acme"))
    made = Table({}, (Route("chat", ()),), limits)
    seen = quota.own_claims(made, ACME, AT)
    assert seen == tuple(replace(claim, amount=0) for claim in held(made))


def test_a_limit_is_in_the_window_of_the_moment_wherever_the_clock_was_before():
    """A clock may be set back: what a limit remembers of its window is never older or newer than the call."""
    meters = Limits.of(table(limit(per=Per.TENANT), limit(Unit.STREAMS, 4, None))).upon(ACME).callers
    noons = [micros(f"2026-11-{day}T12:00") for day in (21, 21, 22, 21, 30, 22)]
    ends = [micros("2026-11-22T00:00") - 1, micros("2026-11-22T00:00")]
    for moment in noons + ends:
        at_once, day = quota.claims(meters, CHAT, ESTIMATE, 0, moment)
        assert (day.window, day.window_end) == window(Every.DAY, moment)
        assert (at_once.window, at_once.window_end) == (0, 0)


def test_the_limits_of_other_tenants_and_keys_are_not_looked_through():
    own = limit(tenant="acme", per=Per.KEY), limit(key="key_1", every=Every.MONTH), limit(Unit.REQUESTS, 9)
    others = [limit(tenant=f"t{at}") for at in range(9)] + [limit(key=f"k{at}") for at in range(9)]
    limits = Limits.of(table(*own, *others))

    def upon(tenant, key):
        return {meter.limit for meter in limits.upon(Identity(tenant, key)).callers}

    assert upon("acme", "key_1") == set(own)
    assert upon("acme", "k0") == {own[0], own[2], others[9]}
    assert upon("globex", "key_2") == {own[2]}


def test_nobody_but_the_table_makes_its_memory_grow():
    limits = Limits.of(table(limit(tenant="acme"), limit(per=Per.USER), limit(model="ch*")))
    known = [limits.upon(Identity(f"t{at}", f"k{at}", f"p{at}")) for at in range(99)]
    assert all(one is known[0] for one in known)
    limits.upon(ACME)
    assert len(limits.known) == 2
