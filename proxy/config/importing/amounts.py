"""Amounts as other systems write them → as the table does.

Each function gives None for what is no such amount. None of them is told where a value came from, and
none quotes it, for a value in the wrong place may be a secret.
"""

import re
from decimal import Decimal, InvalidOperation
from math import ceil
from typing import Any

_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*(ms|s|m|h|d|sec|secs|second|seconds|min|minutes)?")
_UNITS = {"sec": "s", "secs": "s", "second": "s", "seconds": "s", "min": "m", "minutes": "m"}.items()
_COUNT = re.compile(r"([0-9][0-9_,]{0,18}(?:\.[0-9]{1,6})?)\s*([kKmM]?)")
MANY_SECONDS = 1000
"""A bare number from here on is read as milliseconds."""
_TIMES = {"": 1, "k": 1_000, "m": 1_000_000}.items()


def duration(value: Any, *, milliseconds: bool = False) -> str | None:
    """A span with its unit, such as `60s`; a bare number is in seconds, unless it must be otherwise."""
    if isinstance(value, bool):
        return None
    found = _DURATION.fullmatch(str(value).strip())
    if found is None or float(found[1]) == 0:
        return None
    unit = found[2] or ""
    if not unit:
        unit = "ms" if milliseconds or float(found[1]) >= MANY_SECONDS else "s"
    number, unit = Decimal(found[1]), dict(_UNITS).get(unit, unit)
    if unit == "ms" and number % 1000 == 0:
        number, unit = number / 1000, "s"
    return f"{number:f}{unit}"


def count(value: Any) -> int | None:
    """A whole number above 0: `50000`, `50_000`, `50,000`, `50k`, `1M`."""
    if isinstance(value, bool):
        return None
    found = _COUNT.fullmatch(str(value).strip())
    if found is None:
        return None
    number = Decimal(found[1].replace("_", "").replace(",", "")) * dict(_TIMES)[found[2].lower()]
    whole = number == number.to_integral_value() and number > 0
    return int(number) if whole else None


def dollars(value: Any) -> int | float | None:
    """An amount of money above 0."""
    try:
        amount = Decimal(str(value).strip().removeprefix("$"))
    except InvalidOperation:
        return None
    if isinstance(value, bool) or not amount.is_finite() or amount <= 0:
        return None
    return int(amount) if amount == amount.to_integral_value() else float(amount)


def per_million(value: Any) -> int | float | None:
    """Dollars per token → per million, no finer than a nano-dollar and never less than it was."""
    try:
        amount = Decimal(str(value)) * 1_000_000
    except InvalidOperation:
        return None
    if isinstance(value, bool) or not amount.is_finite() or amount < 0:
        return None
    amount = Decimal(ceil(amount * 1_000_000_000)).scaleb(-9)
    return int(amount) if amount == amount.to_integral_value() else float(amount)


def number(value: str) -> int | float | None:
    """Any plain number."""
    if re.fullmatch(r"-?[0-9]{1,12}", value.strip()):
        return int(value)
    return float(value) if re.fullmatch(r"-?[0-9]{0,12}\.[0-9]{1,12}", value.strip()) else None


def marks(value: str) -> list[int] | None:
    """Percentages: `80`, `0.8`, `75,90%`."""
    found: set[int] = set()
    for word in value.replace("%", "").split(","):
        amount = number(word)
        if amount is None or not 0 < amount <= 100:
            return None
        found.add(round(amount * 100) if amount <= 1 else round(amount))
    return sorted(found) or None


def truth(value: Any) -> bool | None:
    """Yes or no, in any of the usual words."""
    words = {
        "true": True,
        "1": True,
        "yes": True,
        "on": True,
        "false": False,
        "0": False,
        "no": False,
        "off": False,
    }
    return words.get(str(value).strip().lower())
