"""What a changed file would do to calls that were made: `fallthrough check FILE --against LEDGER`.

A recorded call knows who called, for which model, who was asked and who was passed over first. Its route is
matched and its targets are put in order by the code that does it for every call; who was passed over then
(unable, open, spent …) is passed over again. What it does not know is not guessed: see `UNKNOWN`.
"""

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from msgspec import Struct, field
from rich.console import Console
from rich.table import Table as Grid

from proxy.cli.screen import cell
from proxy.policy import matching
from proxy.policy.terms import Terms
from proxy.store.report import PastCall
from proxy.table import Table

UNKNOWN = (
    "a row knows neither its call's body (tools, pictures, length) nor its headers (a preferred upstream): "
    "who could not serve it is known only where that was recorded, and is passed over as it was then"
)


class Change(Struct, frozen=True):
    """What would become of calls like this one."""

    tenant: str
    model: str
    what: str
    """`no route`, `first target`, or `target gone`."""
    was: str | None
    """The target; None: nobody was asked."""
    would_be: str | None
    """The target; None: there is none."""


class Same(StrEnum):
    """Why a call is not among the changes."""

    UNCHANGED = "unchanged"
    UNASKED = "nobody_asked"
    """Nobody was asked then: there is no target to compare."""
    UNSURE = "cannot_be_told"
    """All targets that it would have now were passed over then."""


class Found(Struct):
    """All that was looked at."""

    same: Counter[Same] = field(default_factory=Counter)
    changes: dict[Change, list[str]] = field(default_factory=dict)
    """With the ids of the calls, the newest first."""

    @property
    def moved(self) -> int:
        """Calls that would go elsewhere."""
        return sum(map(len, self.changes.values()))


def replayed(table: Table, calls: Iterable[PastCall]) -> Found:
    """Every call over `table`."""
    found, terms = Found(), Terms.of(table)
    for call in calls:
        change = _change(terms, call)
        if isinstance(change, Change):
            found.changes.setdefault(change, []).append(call.call_id)
        else:
            found.same[change] += 1
    return found


def _change(terms: Terms, call: PastCall) -> Change | Same:
    asked = [_name(attempt) for attempt in call.attempts]
    route = matching.match(terms.table, call.model)
    if route is None:
        return Change(call.tenant, call.model, "no route", asked[0] if asked else None, None)
    if not asked:
        return Same.UNASKED
    was = asked[0]
    targets = [str(one.target) for one in terms.lineups[route.model].plain.candidates]
    passed = {_name(one) for one in call.attempts[0].get("passed", ())}
    left = [target for target in targets if target not in passed]
    if not left:
        return Same.UNSURE
    if left[0] != was:
        return Change(call.tenant, call.model, "first target", was, left[0])
    gone = next((target for target in asked if target not in targets), None)
    return Same.UNCHANGED if gone is None else Change(call.tenant, call.model, "target gone", gone, None)


def _name(told: dict[str, Any]) -> str:
    return f"{told['upstream']}/{told['model']}"


def data_of(found: Found) -> dict[str, Any]:
    """For programs."""
    changes = [
        {
            "tenant": one.tenant,
            "model": one.model,
            "what": one.what,
            "was": one.was,
            "would_be": one.would_be,
            "calls": len(ids),
            "latest": ids[0],
        }
        for one, ids in found.changes.items()
    ]
    tally = {word.value: found.same[word] for word in Same}
    return {"calls": found.same.total() + found.moved, **tally, "changes": changes, "unknown": UNKNOWN}


def draw(found: Found, console: Console) -> None:
    """For people."""
    same = found.same
    told = [f"{same.total() + found.moved:,} recorded calls"]
    told.append(f"{same[Same.UNCHANGED]:,} would go where they went, {found.moved:,} would not")
    if same[Same.UNASKED]:
        told.append(f"of {same[Same.UNASKED]:,} nobody was asked")
    if same[Same.UNSURE]:
        told.append(
            f"of {same[Same.UNSURE]:,} it cannot be told: whom they could ask now was passed over then"
        )
    console.print("; ".join(told), soft_wrap=True)
    if found.changes:
        grid = Grid("tenant", "model", "what", "was", "would be", "latest call")
        grid.add_column("calls", justify="right")
        for one, ids in found.changes.items():
            words = (one.tenant, one.model, one.what, one.was or "-", one.would_be or "nobody", ids[0])
            grid.add_row(*map(cell, words), f"{len(ids):,}")
        console.print(grid)
    console.print(f"note: {UNKNOWN}", style="dim", soft_wrap=True)
