"""What the name of an environment variable says, before anybody looks at its value.

Pure spelling over the data of `proxy/facts/variables.py` and `vendors.py`; `variables.py` calls it for
every variable there is, and most are nobody's business: of those it says None.
"""

from msgspec import Struct

from proxy.facts.variables import (
    FILLERS,
    PLACES,
    PREFIXES,
    REASONS,
    SAYS,
    SCOPES,
    SHORT,
    UNITS,
    UNSERVED,
    WINDOWS,
    WITHOUT_PREFIX,
    Says,
)
from proxy.facts.vendors import UNSPOKEN, VENDORS, Vendor


class Reading(Struct, frozen=True):
    """A variable that is understood."""

    says: Says
    vendor: Vendor | None = None
    """Of whom."""
    place: int | None = None
    """Of who comes first (0), second (1) …"""
    what: str = ""
    """The purpose of a model, or the member that a default is for."""


class LimitReading(Struct, frozen=True):
    """A variable that is a ceiling."""

    unit: str
    every: str
    per: str | None = None
    vendor: Vendor | None = None


class Unread(Struct, frozen=True):
    """A variable that is about AI, but nothing here."""

    why: str


SURELY_OURS = "CIRCUIT_BREAKER_"
"""Read without a prefix."""

Found = Reading | LimitReading | Unread | None


def read(name: str) -> Found:
    """What a variable of this name is about; None: another program's."""
    if name in WITHOUT_PREFIX:
        return Reading(WITHOUT_PREFIX[name])
    prefix = next(each for each in PREFIXES if name.startswith(each))
    rest = name.removeprefix(prefix)
    unspoken = next((why for word, why in UNSPOKEN.items() if _begins(rest, word.upper())), None)
    if unspoken is not None:
        return Unread(unspoken)
    vendor, what = _vendor(rest)
    if not prefix and vendor is None and not what.startswith(SURELY_OURS):
        return _bare(what)
    return _placed(what, vendor)


def _vendor(rest: str) -> tuple[Vendor | None, str]:
    """Whose it is, by the longest beginning, and what remains."""
    stems = [(stem, each) for each in VENDORS for stem in (each.name.upper(), *each.stems)]
    stem, vendor = max(
        ((stem, each) for stem, each in stems if _begins(rest, stem)),
        key=lambda found: len(found[0]),
        default=("", None),
    )
    return vendor, rest[len(stem) + 1 :] if stem else rest


def _begins(name: str, stem: str) -> bool:
    return name.startswith(f"{stem}_")


def _bare(name: str) -> Found:
    """A name without prefix or vendor: read only where it cannot be anything else."""
    found = _limit(name, None)
    if found is not None:
        return found if found.unit == "tokens" and found.per is not None else None
    first, _, rest = name.partition("_")
    if SAYS.get(name) is Says.ORDER or (first in PLACES and SAYS.get(rest) is Says.PROVIDER):
        return _placed(name, None)
    return None


def _placed(what: str, vendor: Vendor | None) -> Found:
    """The rest of a name, whose it is being known."""
    if what in REASONS:
        return Unread(REASONS[what])
    if what in SAYS:
        return Reading(SAYS[what], vendor, what=what.lower())
    limit = _limit(what, vendor)
    if limit is not None:
        return limit
    first, _, rest = what.partition("_")
    if vendor is None and first in PLACES and rest in SAYS:
        return Reading(SAYS[rest], place=PLACES[first], what=rest.lower())
    purpose = what.removesuffix("_MODEL")
    if purpose == what or not purpose:
        return Unread("nothing here is known by this name")
    unserved = next((UNSERVED[word] for word in purpose.split("_") if word in UNSERVED), None)
    if unserved is not None:
        return Unread(unserved)
    return Reading(Says.MODEL, vendor, what=purpose.lower().replace("_", "-"))


def _limit(name: str, vendor: Vendor | None) -> LimitReading | None:
    """A ceiling, if every word is one that ceilings are named by."""
    words = name.split("_")
    known = {*SCOPES, *WINDOWS, *UNITS, *SHORT, *FILLERS}
    if not known.issuperset(words):
        return None
    units = {UNITS[word] for word in words if word in UNITS} | {
        SHORT[word][0] for word in words if word in SHORT
    }
    windows = {WINDOWS[word] for word in words if word in WINDOWS}
    windows |= {SHORT[word][1] for word in words if word in SHORT}
    if not units and "RATE" in words:
        units = {"requests"}
    scopes = {SCOPES[word] for word in words if word in SCOPES}
    if len(units) != 1 or len(windows) != 1 or len(scopes) > 1:
        return None
    return LimitReading(units.pop(), windows.pop(), next(iter(scopes), None), vendor)
