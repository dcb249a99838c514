"""What the name of a counter says: whose it is, what it counts, in which window.

`meters.py` has these names made here, once for each limit but for what a call fills in; whoever shows
counters to people reads them here. A name must stay the same from one version to the next, or a limit would
start anew within its window.
"""

from collections.abc import Mapping
from urllib.parse import unquote

from msgspec import Struct

from proxy.holds import SHADOW
from proxy.table import Limit, Per

MASKED = "*"
"""Stands for an end person, whose pseudonym is nobody's to see."""
TENANT, USER, KEY, LISTED = range(4)
"""What a call fills in: where each stands among the names of who asks (`meters.Asker`)."""
_OPEN: Mapping[Per | None, Mapping[str, int]] = {
    None: {},
    Per.TENANT: {"tenant": TENANT},
    Per.USER: {"tenant": TENANT, "user": USER},
    Per.KEY: {"key": KEY},
    Per.MODEL: {"model": LISTED},
    Per.ROUTE: {"route": LISTED},
    Per.UPSTREAM: {},
}
"""What each kind of limit leaves for a call to fill in. Upstreams are known before: each has its own."""


class Pattern(Struct, frozen=True):
    """The name of a limit's counters, cut open where a call fills in whose it is."""

    head: str
    blanks: tuple[tuple[int, str], ...] = ()
    """What is filled in, and what follows it."""


def pattern(limit: Limit, upstream: str | None) -> Pattern:
    """Whom the counters of `limit` count for, the filters, the unit, the window."""
    words = {
        "tenant": limit.tenant,
        "user": limit.user,
        "key": limit.key,
        "model": limit.model,
        "route": limit.route,
        "upstream": upstream,
    }
    pieces, filled, unfilled = [""], [], _OPEN[limit.per]
    for word, known in words.items():
        if word in unfilled:
            pieces[-1] += f"/{word}="
            filled.append(unfilled[word])
            pieces.append("")
        elif known is not None:
            pieces[-1] += f"/{word}={escaped(known)}"
    pieces[0] = pieces[0][1:] or "all"
    pieces[-1] += _what(limit)
    return Pattern(pieces[0], tuple(zip(filled, pieces[1:], strict=True)))


def _what(limit: Limit) -> str:
    """What is counted, and in which window."""
    what = f"/{limit.unit}"
    if limit.every is not None:
        what += f"/{limit.every}"
    if limit.zone is not None:
        what += f"@{escaped(limit.zone.key)}"
    return what + SHADOW if limit.shadow else what


def escaped(name: str) -> str:
    """Names may hold our separators; escaped, no two counters can share a scope."""
    return name.replace("%", "%25").replace("/", "%2F").replace("=", "%3D")


class Named(Struct, frozen=True):
    """The name of a counter, read."""

    whose: Mapping[str, str]
    """`tenant`, `key`, `model` and so on → the name; empty: everybody's."""
    every: str | None
    """None: no window, calls at once."""
    zone: str | None
    shadow: bool


def read(scope: str) -> Named:
    """Read a counter's name."""
    parts = scope.removesuffix(SHADOW).split("/")
    whose = dict(part.split("=", 1) for part in parts if "=" in part)
    _, *rest = [part for part in parts if "=" not in part and part != "all"] or [""]
    every, _, zone = "".join(rest).partition("@")
    return Named(
        {name: MASKED if name == "user" and value else unquote(value) for name, value in whose.items()},
        every or None,
        unquote(zone) or None,
        scope.endswith(SHADOW),
    )


def masked(scope: str) -> str:
    """The same name without the person that it may be about."""
    parts = (f"user={MASKED}" if part.startswith("user=") else part for part in scope.split("/"))
    return "/".join(parts)


def is_own(scope: str, tenant: str, key_id: str) -> bool:
    """Whether a counter is of this tenant or of this key alone, and not of what the operator has upstream."""
    parts = scope.split("/")
    if scope.endswith(SHADOW) or any(part.startswith("upstream=") for part in parts):
        return False
    return f"tenant={escaped(tenant)}" in parts or f"key={escaped(key_id)}" in parts
