"""The refusal that names a limit."""

import pytest

from proxy.holds import Balance, Claim, Spent
from proxy.policy import ratelimit
from proxy.table import Unit

USD = 1_000_000_000


def test_a_minutes_refusal_gives_the_numbers_and_invites_a_retry():
    one = Claim("key=key_1/requests/minute", 600, 660, Unit.REQUESTS, 1, 60, ())
    told = ratelimit.refusal(Spent(one, 58, 2), 629_500_000).told
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


@pytest.mark.parametrize(
    ("unit", "soon"), [(Unit.TOKENS, True), (Unit.NANO_USD, True), (Unit.REQUESTS, False)]
)
def test_who_is_refused_for_what_others_hold_is_told_to_come_back_soon(unit, soon):
    """A month's limit that calls in progress hold is not spent; of requests what is held will be."""
    one = Claim("tenant=acme", 0, 2_592_000, unit, 100, 1000, ())
    told = ratelimit.refusal(Spent(one, 400, 550), 3_600_000_000).told
    assert told.code == ("rate_limit_exceeded" if soon else "insufficient_quota")
    assert (told.retry_after_s, told.should_retry) == ((5.0, True) if soon else (2_588_400.0, False))
    assert ("when calls in progress have ended" in told.message) is soon


def test_a_days_refusal_is_insufficient_quota_and_stops_retries():
    one = Claim("tenant=acme/tokens/day", 0, 86_400, Unit.TOKENS, 1500, 50_000, ())
    told = ratelimit.refusal(Spent(one, 49_000, 100), 3_600_000_000).told
    assert (told.type, told.code, told.should_retry) == ("insufficient_quota", "insufficient_quota", False)
    assert told.retry_after_s == 82_800.0
    assert "remaining 900; this call may need 1500." in told.message
    assert told.headers[1:] == (
        ("x-ratelimit-remaining-tokens", "900"),
        ("x-ratelimit-reset-tokens", "23h0m0s"),
    )


def test_an_hours_refusal_is_a_rate_and_no_lack_of_credit():
    one = Claim("tenant=acme/tokens/hour", 0, 3600, Unit.TOKENS, 1500, 50_000, ())
    told = ratelimit.refusal(Spent(one, 50_000, 0), 0).told
    assert (told.type, told.code, told.should_retry) == ("tokens", "rate_limit_exceeded", False)


def test_the_last_two_minutes_of_a_day_may_be_waited_out():
    one = Claim("tenant=acme/tokens/day", 0, 86_400, Unit.TOKENS, 1500, 50_000, ())
    assert ratelimit.refusal(Spent(one, 50_000, 0), (86_400 - 120) * 1_000_000).told.should_retry is True
    assert ratelimit.refusal(Spent(one, 50_000, 0), 90_000_000_000).told.retry_after_s == 0.0


def test_a_call_that_no_window_can_hold_is_told_so_and_not_invited_back():
    one = Claim("tenant=acme/tokens/minute", 0, 60, Unit.TOKENS, 1500, 1000, ())
    told = ratelimit.refusal(Spent(one, 0, 0), 0).told
    assert "more than the limit ever allows" in told.message
    assert told.should_retry is False


def test_too_many_calls_at_once_may_come_back_soon():
    one = Claim("tenant=acme/user=p1/streams", 0, 0, Unit.STREAMS, 1, 4, ())
    told = ratelimit.refusal(Spent(one, 0, 4), 3_600_000_000).told
    assert (told.status, told.type, told.code) == (429, "requests", "rate_limit_exceeded")
    assert told.message == (
        "Limit tenant=acme/user=p1/streams reached: at most 4 calls at once, 4 are in progress. "
        "One may start when another has ended."
    )
    assert (told.retry_after_s, told.should_retry, told.headers) == (1.0, True, ())


def test_money_is_shown_in_dollars_and_has_no_header():
    one = Claim("tenant=acme/nano_usd/month", 0, 86_400, Unit.NANO_USD, 7_500_000, 20 * USD, ())
    told = ratelimit.refusal(Spent(one, 19_999_999_999, 0), 0).told
    assert "limit USD 20.000000, used USD 19.999999," in told.message
    assert told.headers == ()


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-1, "0ms"), (0, "0ms"), (0.012, "12ms"), (0.999, "999ms"), (0.9996, "1s"), (6, "6s"),
        (90.5, "1m30.5s"), (3600, "1h0m0s"), (86_399.9, "23h59m59.9s"), (59.9999, "1m0s"),
    ],
)  # fmt: skip
def test_durations_are_written_as_openai_writes_them(seconds, shown):
    assert ratelimit.duration(seconds) == shown


def balance(unit, left, ceiling=60, end=660, scope="s", upstream=None):
    claim = Claim(scope, end - 60, end, unit, 1, ceiling, (), upstream)
    return Balance(claim, ceiling - left - 1, 1)


def test_an_answer_says_how_much_is_left_of_requests_and_tokens():
    found = ratelimit.standing((balance(Unit.REQUESTS, 12), balance(Unit.TOKENS, 900, 1000)), 629_500_000)
    assert found == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "12",
        "x-ratelimit-reset-requests": "30.5s",
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": "900",
        "x-ratelimit-reset-tokens": "30.5s",
    }


def test_of_several_limits_the_one_with_the_least_left_is_told():
    minute, day = balance(Unit.REQUESTS, 12), balance(Unit.REQUESTS, 3, 1000, end=86_400)
    for balances in ((minute, day), (day, minute)):
        found = ratelimit.standing(balances, 0)
        assert found["x-ratelimit-limit-requests"] == "1000"
        assert found["x-ratelimit-remaining-requests"] == "3"
        assert found["x-ratelimit-reset-requests"] == "24h0m0s"


def test_what_is_not_the_callers_own_or_has_no_header_is_not_told():
    others = (
        balance(Unit.TOKENS, 1, upstream="openai"),
        balance(Unit.NANO_USD, 1),
        Balance(Claim("s", 0, 0, Unit.STREAMS, 1, 4, ()), 0, 1),
        Balance(Claim("s", 0, 60, Unit.TOKENS, 1, 4, (), shadow=True), 0, 1),
    )
    assert ratelimit.standing(others, 0) == {}
    assert ratelimit.standing((), 0) == {}
