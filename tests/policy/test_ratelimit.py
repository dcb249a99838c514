"""The refusal that names a limit."""

import pytest

from proxy.policy import ratelimit
from proxy.ports import Claim, Spent
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
        (-1, "0ms"), (0, "0ms"), (0.012, "12ms"), (0.9996, "1s"), (6, "6s"), (90.5, "1m30.5s"),
        (3600, "1h0m0s"), (86_399.9, "23h59m59.9s"), (59.9999, "1m0s"),
    ],
)  # fmt: skip
def test_durations_are_written_as_openai_writes_them(seconds, shown):
    assert ratelimit.duration(seconds) == shown
