"""Holds, claims and settlements in few words, for every test of a store."""

from msgspec.structs import replace

from proxy.call import Attempt, Billed, Identity, Outcome
from proxy.holds import Charge, Claim, Hold, Settlement
from proxy.ports import Act
from proxy.table import Unit
from proxy.usage import Source, Usage

ACME = Identity("acme", "key_1", "pseudonym")
DAY = 1_767_225_600
WALL_US = DAY * 1_000_000


class StillClock:
    """A Clock that stands until it is set."""

    def __init__(self, wall_us: int = WALL_US) -> None:
        self.now_us = wall_us

    def mono(self) -> float:
        return self.now_us / 1e6

    def wall_us(self) -> int:
        return self.now_us


def claim(
    amount=10, ceiling=1000, *, scope="tenant=acme/tokens/day", unit=Unit.TOKENS, window=DAY, marks=(75, 90)
):
    return Claim(scope, window, window + 86_400, unit, amount, ceiling, marks)


def shadow(amount, ceiling, *, scope="tenant=acme/tokens/day/shadow", marks=()):
    return replace(claim(amount, ceiling, scope=scope, marks=marks), shadow=True)


def hold(call_id, *claims, input_tokens=4, output_tokens=6, nano_usd=1000):
    return Hold(call_id, WALL_US, ACME, "gpt-4o", input_tokens, output_tokens, nano_usd, claims)


def settlement(call_id, *charges, usage=None, result="ok", attempts=None, nano_usd=7):
    usage = usage or Usage(3, 5, source=Source.REPORTED)
    if attempts is None:
        attempts = (attempt("simulated-openai", "overload", 503), attempt("vllm", "ok", 200, usage))
    answered = attempts[-1] if attempts and result == "ok" else None
    outcome = Outcome(
        call_id=call_id,
        identity=ACME,
        model="gpt-4o",
        stream=True,
        status=200 if result == "ok" else 502,
        result=result,
        upstream=answered.upstream if answered else None,
        upstream_model=answered.model if answered else None,
        usage=usage,
        nano_usd=nano_usd,
        attempts=attempts,
        started_us=WALL_US,
        first_ms=20,
        total_ms=40,
    )
    return Settlement(outcome, WALL_US + 40_000, charges)


def attempt(upstream, result, status, usage=None):
    return Attempt(
        upstream, "model", result, status, "content", 0, 20, 40, Billed.UNKNOWN, usage, "a few words"
    )


def charge(amount, *, scope="tenant=acme/tokens/day", window=DAY):
    return Charge(scope, window, amount)


def act(name, at_us=WALL_US):
    return Act(name, at_us, "os:operator")
