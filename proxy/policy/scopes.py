"""What the name of a counter says: whose it is, what it counts, in which window.

`quota.py` makes these names and keeps them stable; whoever shows counters to people reads them here.
"""

from collections.abc import Mapping
from urllib.parse import unquote

from msgspec import Struct

from proxy.holds import SHADOW
from proxy.policy.quota import escaped

MASKED = "*"
"""Stands for an end person, whose pseudonym is nobody's to see."""


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
