"""How amounts and attempts are written inside a row: small JSON lists, read by people and programs.

Used by the writer, the replay and the report, so that all three mean the same. Nothing here can
carry a prompt or an answer: an attempt's `detail` is our own few words, cut short all the same.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import orjson

from proxy.call import Attempt, Passed
from proxy.holds import Charge, Claim, Progress
from proxy.table import Unit
from proxy.usage import Source, Usage

DETAIL_MAX = 200


class Entry(NamedTuple):
    """So much of one counter in one window."""

    scope: str
    window: int
    unit: Unit
    amount: int

    @property
    def counter(self) -> tuple[str, int]:
        """Which balance it belongs to."""
        return (self.scope, self.window)


def of_claims(claims: Iterable[Claim]) -> list[Entry]:
    return [Entry(claim.scope, claim.window, claim.unit, claim.amount) for claim in claims]


def dump(entries: Iterable[Entry]) -> str:
    return orjson.dumps([list(each) for each in entries]).decode()


def load(text: str) -> list[Entry]:
    return [Entry(scope, window, Unit(unit), amount) for scope, window, unit, amount in orjson.loads(text)]


def dump_progress(progress: Progress) -> str:
    charges = [[charge.scope, charge.window, charge.amount] for charge in progress.charges]
    told = {
        "usage": _usage(progress.usage),
        "nano_usd": progress.nano_usd,
        "upstream": progress.upstream,
        "upstream_model": progress.upstream_model,
        "charges": charges,
    }
    return orjson.dumps(told).decode()


def load_progress(call_id: str, text: str) -> Progress:
    """As noted; its counts are what was observed, whoever said so at the time."""
    told = orjson.loads(text)
    usage = Usage(**{**told["usage"], "source": Source.OBSERVED})
    charges = tuple(Charge(scope, window, amount) for scope, window, amount in told["charges"])
    return Progress(call_id, usage, told["nano_usd"], told["upstream"], told["upstream_model"], charges)


def dump_attempts(attempts: Iterable[Attempt]) -> str:
    return orjson.dumps([_attempt(attempt) for attempt in attempts]).decode()


def _attempt(attempt: Attempt) -> dict[str, Any]:
    told: dict[str, Any] = {
        "upstream": attempt.upstream,
        "model": attempt.model,
        "result": attempt.result,
        "status": attempt.status,
        "phase": attempt.phase,
        "started_ms": attempt.started_ms,
        "first_ms": attempt.first_ms,
        "ended_ms": attempt.ended_ms,
        "billed": attempt.billed,
        "usage": None if attempt.usage is None else _usage(attempt.usage),
        "detail": attempt.detail[:DETAIL_MAX],
    }
    if attempt.passed:  # most calls get whom they ask first, and their rows stay as short as they were
        told["passed"] = [_passed(one) for one in attempt.passed]
    return told


def _passed(passed: Passed) -> dict[str, str]:
    return {"upstream": passed.upstream, "model": passed.model, "why": passed.why[:DETAIL_MAX]}


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "input": usage.input,
        "output": usage.output,
        "cached": usage.cached,
        "cache_write": usage.cache_write,
        "reasoning": usage.reasoning,
        "source": usage.source,
    }
