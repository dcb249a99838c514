"""Windows, upper bounds, counters, charges, and the refusal that names them."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.call import Call, Identity
from proxy.policy import quota
from proxy.policy.selection import Candidate
from proxy.ports import Claim, Spent
from proxy.table import Every, Limit, Per, Route, Table, Target, Timeouts, Unit, Upstream
from proxy.usage import Price, Usage

ACME = Identity("acme", "key_1")
CHAT = quota.Asker(ACME, "chat", "chat")
ROUTE = Route("chat", (), max_output_tokens=4096)
USD = 1_000_000_000


def micros(text):
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1_000_000)


@pytest.mark.parametrize(
    ("every", "at", "start", "end"),
    [
        ("minute", "2026-11-21T10:15:59.999999", "2026-11-21T10:15", "2026-11-21T10:16"),
        ("minute", "2026-11-21T10:16", "2026-11-21T10:16", "2026-11-21T10:17"),
        ("day", "2026-11-21T23:59:59.999999", "2026-11-21", "2026-11-22"),
        ("day", "2026-11-22", "2026-11-22", "2026-11-23"),
        ("day", "2028-02-29T12:00", "2028-02-29", "2028-03-01"),
        ("month", "2026-12-31T23:59:59.999999", "2026-12-01", "2027-01-01"),
        ("month", "2027-01-01", "2027-01-01", "2027-02-01"),
        ("month", "2028-02-29T23:59", "2028-02-01", "2028-03-01"),
        ("month", "2027-02-28T23:59", "2027-02-01", "2027-03-01"),
        ("month", "2026-01-31T12:00", "2026-01-01", "2026-02-01"),
        ("month", "2100-02-28T23:59", "2100-02-01", "2100-03-01"),
        ("month", "2038-01-19T03:14:08", "2038-01-01", "2038-02-01"),
    ],
)
def test_windows_are_utc_calendar_windows(every, at, start, end):
    found = quota.window(Every(every), micros(at))
    assert found == (micros(start) // 1_000_000, micros(end) // 1_000_000)


@settings(deadline=None, derandomize=True)
@given(st.sampled_from(Every), st.integers(0, 4_000_000_000_000_000))
def test_every_moment_is_in_its_window_and_windows_meet(every, wall_us):
    start, end = quota.window(every, wall_us)
    assert start * 1_000_000 <= wall_us < end * 1_000_000
    assert quota.window(every, end * 1_000_000)[0] == end


def call(body, size=100):
    return Call("req_1", 0, ACME, "chat", body, size, stream=False, include_usage=False)


@pytest.mark.parametrize(
    ("body", "output"),
    [
        ({}, 4096),
        ({"max_tokens": 10}, 10),
        ({"max_completion_tokens": 20}, 20),
        ({"max_tokens": 10, "max_completion_tokens": 20}, 20),
        ({"max_tokens": 10, "n": 3}, 30),
        ({"n": 3}, 3 * 4096),
        ({"n": None, "max_tokens": None}, 4096),
        ({"n": 0, "max_tokens": 0}, 4096),
        ({"n": -2, "max_tokens": -5}, 4096),
        ({"n": [2], "max_tokens": True}, 4096),
        ({"max_tokens": 1e5}, 100_000),
        ({"max_tokens": 10.5}, 11),
        ({"n": "2", "max_tokens": "100_000"}, 200_000),
        ({"max_tokens": "lots"}, 4096),
        ({"max_tokens": float("nan")}, 4096),
        ({"max_tokens": float("inf")}, 4096),
        ({"n": 2**62, "max_tokens": 2**62}, 10**12),
    ],
)
def test_output_is_bound_by_the_caller_or_the_route_for_each_choice(body, output):
    assert quota.estimate(call(body), ROUTE).output_tokens == output


def test_a_routes_default_maximum_counts():
    route = replace(ROUTE, defaults={"max_tokens": 7, "n": 2})
    assert quota.estimate(call({}), route).output_tokens == 14
    assert quota.estimate(call({"max_tokens": 9, "n": 1}), route).output_tokens == 9


@settings(deadline=None, derandomize=True)
@given(st.lists(st.text(max_size=200), max_size=20))
def test_input_is_bound_by_the_bytes_and_what_templates_add(texts):
    messages = [{"role": "user", "content": text} for text in texts]
    size = sum(len(text.encode()) for text in texts)
    found = quota.estimate(call({"messages": messages}, size), ROUTE)
    assert found.input_tokens >= size + 8 * len(messages)
    assert found.total == found.input_tokens + found.output_tokens


def test_what_bytes_do_not_show_is_added():
    bare = quota.estimate(call({}), ROUTE).input_tokens
    url = {"url": "https://x/y.png"}
    for part in (
        {"type": "image_url", "image_url": url},
        {"image_url": url},
        {"type": "video_url", "video_url": url},
    ):
        image = quota.estimate(call({"messages": [{"role": "user", "content": [part]}]}), ROUTE)
        assert image.input_tokens >= bare + 48_169
    text = {"role": "user", "content": [{"type": "text", "text": "x"}]}
    assert quota.estimate(call({"messages": [text]}), ROUTE).input_tokens < bare + 100
    function = {"name": "f" * 500}
    assert (
        quota.estimate(call({"tools": [{"type": "function", "function": function}]}), ROUTE).input_tokens
        >= bare + 500
    )
    assert quota.estimate(call({"functions": [function]}), ROUTE).input_tokens >= bare + 500


@pytest.mark.parametrize("body", [{"messages": "no"}, {"messages": [1, None, "x"]}, {"tools": {}}])
def test_odd_bodies_are_still_estimated(body):
    assert quota.estimate(call(body), ROUTE).input_tokens >= 100


ESTIMATE = quota.Estimate(1000, 500)
AT = micros("2026-11-21T10:15:30")


def limit(unit=Unit.TOKENS, ceiling=50_000, every=Every.DAY, **filters):
    return Limit(unit, ceiling, every, **filters)


def table(*limits):
    return Table({}, (), limits)


@pytest.mark.parametrize(
    ("one", "scope"),
    [
        (limit(), "all/tokens/day"),
        (limit(per=Per.TENANT), "tenant=acme/tokens/day"),
        (limit(per=Per.KEY, unit=Unit.REQUESTS, every=Every.MINUTE), "key=key_1/requests/minute"),
        (limit(per=Per.MODEL), "model=chat/tokens/day"),
        (limit(tenant="acme"), "tenant=acme/tokens/day"),
        (limit(per=Per.KEY, tenant="acme", model="ch*"), "tenant=acme/key=key_1/model=ch*/tokens/day"),
        (limit(unit=Unit.NANO_USD, every=Every.MONTH), "all/nano_usd/month"),
        (limit(tenant="globex"), None),
        (limit(key="key_2"), None),
        (limit(model="gpt-*"), None),
        (limit(upstream="openai"), None),
        (limit(per=Per.UPSTREAM), None),
    ],
)
def test_scopes_of_the_callers_limits(one, scope):
    claims = quota.caller_claims(table(one), CHAT, Price(0, 0), ESTIMATE, AT)
    assert [claim.scope for claim in claims] == ([scope] if scope else [])
    assert all(claim.upstream is None for claim in claims)


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
    target = Target("openai", "gpt-4o")
    claims = quota.target_claims(table(one), CHAT, target, ESTIMATE, AT)
    assert [claim.scope for claim in claims] == ([scope] if scope else [])
    assert all(claim.upstream == "openai" for claim in claims)


def test_names_with_our_separators_share_no_counter():
    def scopes(tenant, model):
        limits = table(limit(tenant=tenant, model=model))
        found = quota.caller_claims(
            limits, quota.Asker(Identity(tenant, "k"), model, model), None, ESTIMATE, AT
        )
        return found[0].scope

    assert scopes("a/model=b", "c") != scopes("a", "b/model=c")
    assert scopes("a%2Fb", "c") != scopes("a/b", "c")


def test_claims_hold_the_worst_case_in_the_window_of_arrival():
    limits = table(
        limit(per=Per.TENANT, marks=(50,)),
        limit(Unit.REQUESTS, 60, Every.MINUTE, per=Per.KEY),
        limit(Unit.NANO_USD, 20 * USD, Every.MONTH),
    )
    price = Price(2_500_000_000, 10_000_000_000)
    claims = quota.caller_claims(limits, CHAT, price, ESTIMATE, AT)
    assert {claim.scope: claim.amount for claim in claims} == {
        "tenant=acme/tokens/day": 1500,
        "key=key_1/requests/minute": 1,
        "all/nano_usd/month": 2_500_000 + 5_000_000,
    }
    day = next(claim for claim in claims if claim.unit is Unit.TOKENS)
    assert (day.window, day.window_end) == quota.window(Every.DAY, AT)
    assert (day.ceiling, day.marks) == (50_000, (50,))


def test_two_limits_on_one_counter_are_held_once_at_the_lower_ceiling():
    limits = table(limit(per=Per.TENANT, ceiling=9), limit(tenant="acme", ceiling=5))
    (claim,) = quota.caller_claims(limits, CHAT, None, ESTIMATE, AT)
    assert claim.ceiling == 5


def test_money_is_rounded_up():
    limits = table(limit(Unit.NANO_USD, USD))
    (claim,) = quota.caller_claims(limits, CHAT, Price(1, 0), quota.Estimate(1, 0), AT)
    assert claim.amount == 1


def test_absurd_amounts_stay_inside_64_bits():
    limits = table(limit(Unit.NANO_USD, USD))
    (claim,) = quota.caller_claims(limits, CHAT, Price(10**15, 0), quota.Estimate(10**12, 0), AT)
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
    bound = quota.dearest(tuple(candidate(price) for price in found)).worst(inputs, outputs)
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
        (limit(tenant="globex"), False),
        (limit(upstream="openai"), True),
    ],
)
def test_the_cap_is_sent_where_a_limit_counts_output(one, expected):
    assert quota.caps_output(table(one), CHAT) is expected
    assert quota.caps_output(table(), CHAT) is False


def claim(scope, unit, upstream=None):
    return Claim(scope, 60, 120, unit, 1500, 50_000, (), upstream)


CLAIMS = (
    claim("t", Unit.TOKENS),
    claim("r", Unit.REQUESTS),
    claim("m", Unit.NANO_USD),
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
        "t": 34, "r": 1, "m": 7, "ut": 11, "ur": 1, "vt": 0, "vr": 0,
    }  # fmt: skip


def test_nothing_used_charges_nothing_but_resolves_every_claim():
    assert amounts(Usage(), 0, {}) == dict.fromkeys(("t", "r", "m", "ut", "ur", "vt", "vr"), 0)


def test_an_answer_without_tokens_is_still_a_request():
    found = amounts(Usage(), 0, {"vllm": (Usage(), 0)})
    assert (found["r"], found["vr"], found["ur"]) == (1, 1, 0)


@settings(deadline=None, derandomize=True)
@given(st.integers(-9, 9), st.integers(-9, 9), st.integers(-9, 9))
def test_a_charge_is_never_negative(inputs, outputs, cost):
    usage = Usage(inputs, outputs)
    assert min(amounts(usage, cost, {"openai": (usage, cost)}).values()) >= 0


def test_a_minutes_refusal_gives_the_numbers_and_invites_a_retry():
    one = Claim("key=key_1/requests/minute", 600, 660, Unit.REQUESTS, 1, 60, ())
    told = quota.refusal(Spent(one, 58, 2), 629_500_000).told
    assert (told.status, told.type, told.code) == (429, "requests", "rate_limit_exceeded")
    assert told.message == (
        "Limit key=key_1/requests/minute reached: limit 60, used 58, held by calls in progress 2, "
        "remaining 0; this call may need 1. The limit resets at 1970-01-01T00:11:00Z (in 30.5s)."
    )
    assert (told.retry_after_s, told.should_retry) == (30.5, True)
    assert told.headers == (
        ("x-ratelimit-limit-requests", "60"),
        ("x-ratelimit-remaining-requests", "0"),
        ("x-ratelimit-reset-requests", "30.5s"),
    )


def test_a_days_refusal_is_insufficient_quota_and_stops_retries():
    one = Claim("tenant=acme/tokens/day", 0, 86_400, Unit.TOKENS, 1500, 50_000, ())
    told = quota.refusal(Spent(one, 49_000, 100), 3_600_000_000).told
    assert (told.type, told.code, told.should_retry) == ("insufficient_quota", "insufficient_quota", False)
    assert told.retry_after_s == 82_800.0
    assert "remaining 900; this call may need 1500." in told.message
    assert told.headers[1:] == (
        ("x-ratelimit-remaining-tokens", "900"),
        ("x-ratelimit-reset-tokens", "23h0m0s"),
    )


def test_the_last_two_minutes_of_a_day_may_be_waited_out():
    one = Claim("tenant=acme/tokens/day", 0, 86_400, Unit.TOKENS, 1500, 50_000, ())
    assert quota.refusal(Spent(one, 50_000, 0), (86_400 - 120) * 1_000_000).told.should_retry is True
    assert quota.refusal(Spent(one, 50_000, 0), 90_000_000_000).told.retry_after_s == 0.0


def test_a_call_that_no_window_can_hold_is_told_so_and_not_invited_back():
    one = Claim("tenant=acme/tokens/minute", 0, 60, Unit.TOKENS, 1500, 1000, ())
    told = quota.refusal(Spent(one, 0, 0), 0).told
    assert "more than the limit ever allows" in told.message
    assert told.should_retry is False


def test_money_is_shown_in_dollars_and_has_no_header():
    one = Claim("tenant=acme/nano_usd/month", 0, 86_400, Unit.NANO_USD, 7_500_000, 20 * USD, ())
    told = quota.refusal(Spent(one, 19_999_999_999, 0), 0).told
    assert "limit USD 20.000000, used USD 19.999999," in told.message
    assert told.headers == ()


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-1, "0ms"), (0, "0ms"), (0.012, "12ms"), (0.9996, "1s"), (6, "6s"), (90.5, "1m30.5s"),
        (3600, "1h0m0s"), (86_399.9, "23h59m59.9s"), (59.9999, "1m0s"),
    ],
)  # fmt: skip
def test_durations_are_written_as_openai_writes_them(seconds, shown):
    assert quota.duration(seconds) == shown


def test_names_made_up_under_a_glob_share_one_counter():
    """`per: model` counts what the table lists: a caller cannot invent allowances."""
    limits = table(Limit(Unit.REQUESTS, 5, Every.DAY, per=Per.MODEL))
    scopes = {
        quota.caller_claims(limits, quota.Asker(ACME, name, "gpt-*"), None, ESTIMATE, AT)[0].scope
        for name in ("gpt-a", "gpt-b", "gpt-anything")
    }
    assert scopes == {"model=gpt-*/requests/day"}
