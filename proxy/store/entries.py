"""How amounts and attempts are written inside a row: small JSON lists, read by people and programs.

Used by the writer, the replay and the report, so that all three mean the same. Nothing here can
carry a prompt or an answer: an attempt's `detail` is our own few words, cut short all the same.
"""

from collections.abc import Iterable, Mapping, Sequence

import orjson
from msgspec import Struct, json

from proxy.call import Attempt, Billed, Passed
from proxy.holds import Charge, Claim, Progress
from proxy.table import Unit
from proxy.usage import Source, Usage

DETAIL_MAX = 200

_written = json.Encoder().encode
"""Writes records by their fields: their names, in `Entry` their order, are the file's format."""


class Entry(Struct, frozen=True, array_like=True):
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


def dump(entries: Sequence[Entry]) -> str:
    return _written(entries).decode()


def load(text: str) -> list[Entry]:
    return [Entry(scope, window, Unit(unit), amount) for scope, window, unit, amount in orjson.loads(text)]


def dump_progress(progress: Progress) -> str:
    charges = [[charge.scope, charge.window, charge.amount] for charge in progress.charges]
    told = {
        "usage": progress.usage,
        "nano_usd": progress.nano_usd,
        "upstream": progress.upstream,
        "upstream_model": progress.upstream_model,
        "charges": charges,
    }
    return _written(told).decode()


def load_progress(call_id: str, text: str) -> Progress:
    """As noted; its counts are what was observed, whoever said so at the time."""
    told = orjson.loads(text)
    usage = Usage(**{**told["usage"], "source": Source.OBSERVED})
    charges = tuple(Charge(scope, window, amount) for scope, window, amount in told["charges"])
    return Progress(call_id, usage, told["nano_usd"], told["upstream"], told["upstream_model"], charges)


class _Try(Struct, frozen=True, omit_defaults=True):
    """An attempt as its row says it."""

    upstream: str
    model: str
    result: str
    status: int | None
    phase: str
    started_ms: int
    first_ms: int | None
    ended_ms: int
    billed: Billed
    usage: Usage | None
    detail: str
    passed: Sequence[Mapping[str, str]] = ()
    """Left out if empty: most calls get whom they ask first, and their rows stay as short as they were."""


def dump_attempts(attempts: Iterable[Attempt]) -> str:
    return _written([_tried(attempt) for attempt in attempts]).decode()


def _tried(attempt: Attempt) -> _Try:
    return _Try(
        attempt.upstream,
        attempt.model,
        attempt.result,
        attempt.status,
        attempt.phase,
        attempt.started_ms,
        attempt.first_ms,
        attempt.ended_ms,
        attempt.billed,
        attempt.usage,
        attempt.detail[:DETAIL_MAX],
        [_passed(one) for one in attempt.passed] if attempt.passed else (),
    )


def _passed(passed: Passed) -> dict[str, str]:
    return {"upstream": passed.upstream, "model": passed.model, "why": passed.why[:DETAIL_MAX]}
