"""Single values of a script → what they mean: rates, shares, sizes, mixes, and bounds to be kept.

Pure readers for `grammar.py`, in the manner of `config/units.py`: each raises with what to write instead.
"""

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from proxy.config.units import duration, nano_usd, wrong

PER_S: Mapping[str, float] = {"s": 1.0, "m": 60.0, "h": 3600.0}
TENANTS_MAX = 10_000
WEIGHT_MAX = 1_000_000
TOKENS_MAX = 20_000

_RATE = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,6})?)/(s|m|h)")
_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?) ?%")
_SPAN = re.compile(r"([0-9_]{1,7})-([0-9_]{1,7})")
_BOUND = re.compile(r"(>=|<=|>|<) *(\S.*)")
_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}


class Span(Struct, frozen=True):
    """A whole number that is drawn anew each time, both ends included."""

    low: int
    high: int

    def at(self, roll: float) -> int:
        """The number that a roll in [0, 1) stands for."""
        return self.low + int(roll * (self.high - self.low + 1))


class Bound(Struct, frozen=True):
    """What a figure must keep to."""

    word: str
    limit: float
    written: str

    def kept(self, figure: float) -> bool:
        """Whether a figure is within it."""
        return _COMPARE[self.word](figure, self.limit)

    def __str__(self) -> str:
        return self.written


def rate(value: Any) -> float:
    """`2/s`, `90/m`: so many a second."""
    found = _RATE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise wrong("not a rate", "write a number and a unit, such as 2/s or 90/m")
    a_second = float(found[1]) / PER_S[found[2]]
    if not 0 < a_second <= 1000:
        raise wrong("a rate out of range", "write more than 0 and at most 1000/s")
    return a_second


def share(value: Any) -> float:
    """`80%` of one."""
    found = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    if found is None or float(found[1]) > 100:
        raise wrong("not a share", "write 0% to 100%")
    return float(found[1]) / 100


def moment(value: Any) -> float:
    """A duration from the beginning, `0s` included."""
    return 0.0 if value == "0s" else duration(value)


def span(value: Any) -> Span:
    """`400`, or `200-800`: tokens."""
    remedy = f"write 1 to {TOKENS_MAX}, or a span such as 200-800"
    found = _SPAN.fullmatch(value) if isinstance(value, str) else None
    if isinstance(value, bool) or not (found or isinstance(value, int)):
        raise wrong("not a number of tokens", remedy)
    low, high = (int(found[1]), int(found[2])) if found else (int(value), int(value))
    if not 1 <= low <= high <= TOKENS_MAX:
        raise wrong("a number of tokens out of range", remedy)
    return Span(low, high)


def mix(value: Any) -> Any:
    """One name, a list of names, or names with weights, as the last; what is none is left to the grammar."""
    if isinstance(value, str):
        return {value: 1}
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return dict.fromkeys(value, 1)
    return value


def tenants(value: Any) -> Any:
    """The same, or how many there are."""
    if isinstance(value, int) and not isinstance(value, bool):
        if not 1 <= value <= TENANTS_MAX:
            raise wrong("a number of tenants out of range", f"write 1 to {TENANTS_MAX}, or names")
        return {f"tenant-{number}": 1 for number in range(1, value + 1)}
    return mix(value)


def names(value: Any) -> Any:
    """One name stands for a list of it."""
    return [value] if isinstance(value, str) else value


def bound_of_share(value: Any) -> Bound:
    """`>= 99%`."""
    return _bound(value, share, ">= 99%")


def bound_of_seconds(value: Any) -> Bound:
    """`<= 5s`."""
    return _bound(value, moment, "<= 5s")


def bound_of_money(value: Any) -> Bound:
    """`<= 1.50`, US dollars; in nano-dollars."""
    return _bound(value, nano_usd, "<= 1.50")


def _bound(value: Any, read: Callable[[Any], float], example: str) -> Bound:
    found = _BOUND.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise wrong("not a bound", f'write a comparison in quotes, such as "{example}"')
    return Bound(found[1], read(found[2]), f"{found[1]} {found[2]}")
