"""The figures of a rehearsal against what was expected of it. Pure."""

from collections.abc import Iterator, Mapping

from msgspec import Struct

from proxy.rehearsal.figures import Figures
from proxy.rehearsal.forms import Bound
from proxy.rehearsal.grammar import ExpectPart, Percentile

NANO = 1_000_000_000


class Check(Struct, frozen=True):
    """One expectation, and what became of it."""

    what: str
    """As the script has it, such as `added.p95`."""
    wanted: str
    got: str
    met: bool


def verdict(expect: ExpectPart, came: Figures) -> tuple[Check, ...]:
    """Every expectation of a script; it was a success if all are met. Where nobody called none is."""
    return tuple(_checks(expect, came))


def _checks(expect: ExpectPart, came: Figures) -> Iterator[Check]:
    parts = {
        "whole": (expect.whole, came.whole),
        "failed": (expect.failed, came.failures),
        "broken": (expect.broken, came.broken),
        "left": (expect.left, came.left),
    }
    for what, (bound, number) in parts.items():
        if bound is not None:
            yield _part(what, bound, number, came.calls)
    for what, bound, seconds in (
        ("outage", expect.outage, came.outage_s),
        ("impaired", expect.impaired, came.impaired_s),
    ):
        if bound is not None:
            yield _check(what, bound, seconds, f"{seconds}s", came)
    if expect.cost is not None:
        yield _check("cost", expect.cost, came.nano_usd, usd(came.nano_usd), came)
    yield from _percentiles("first", expect.first, came.first_s)
    yield from _percentiles("added", expect.added, came.added_s)
    for upstream, bound in expect.answered.items():
        yield _part(f"answered.{upstream}", bound, came.answered.get(upstream, 0), came.whole)
    for code in expect.never:
        times = came.failed.get(code, 0)
        yield Check(f"never {code}", "0", str(times), met=not times and came.calls > 0)


def _part(what: str, bound: Bound, number: int, of: int) -> Check:
    """A part of a whole, exactly: of 3 in 4 three quarters, not what a float makes of it."""
    if not of:
        return Check(what, str(bound), "nobody", met=False)
    return Check(what, str(bound), percent(number / of), met=bound.kept(number / of))


def _check(what: str, bound: Bound, figure: float, shown: str, came: Figures) -> Check:
    return Check(what, str(bound), shown, met=came.calls > 0 and bound.kept(figure))


def _percentiles(what: str, bounds: Mapping[Percentile, Bound], came: Mapping[str, float]) -> Iterator[Check]:
    for name, bound in bounds.items():
        figure = came.get(name)
        shown = "nobody" if figure is None else seconds(figure)
        yield Check(f"{what}.{name}", str(bound), shown, met=figure is not None and bound.kept(figure))


def percent(part: float) -> str:
    """A share for people; what is not all is never shown as all, nor what is something as nothing."""
    shown = f"{100 * part:.2f}"
    if part < 1 and shown == "100.00":
        shown = "99.99"
    if part > 0 and shown == "0.00":
        shown = "0.01"
    return f"{shown}%"


def seconds(value: float) -> str:
    """Seconds for people."""
    return f"{value:.3f}s"


def usd(nano: int) -> str:
    """Nano-dollars as dollars, to a tenth of a cent's hundredth."""
    return f"{nano // NANO}.{nano % NANO:09d}"[:-5]
