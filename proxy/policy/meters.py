"""The limits of a table, made ready to hold calls.

What hangs on the table alone is settled once, when its `Terms` are made: which limit comes first, and all of
its counters' names but what a call fills in. `judgement.py` asks which meters are upon a caller, `quota.py`
has each claim its part. Two things are remembered between calls: which limits are upon whom, as far as the
table names anybody, and the window that a limit is in, until it ends. Both are what would be found again.
"""

from collections.abc import Iterator, Mapping

from msgspec import Struct, field

from proxy.call import Identity
from proxy.holds import Claim
from proxy.policy.matching import fits
from proxy.policy.periods import MICRO, window
from proxy.policy.scopes import Pattern, escaped, pattern
from proxy.table import Limit, Table, Unit

OF_TOKENS = frozenset({Unit.TOKENS, Unit.NANO_USD})
"""Units whose amount depends on how much is said."""

Names = tuple[str, str, str, str]
"""Tenant, user, key and what is listed, as `scopes` counts them."""


class Asker(Struct, frozen=True):
    """Who asks for what, as limits see it."""

    identity: Identity
    model: str
    """The name asked for: what filters look at."""
    listed: str
    """The route's own name or glob: what `per: model` counts. Names that callers make up under a glob
    share one counter, or every new name would be a new allowance."""

    @property
    def names(self) -> Names:
        """What fills in the names of counters.

        The calls of a tenant that name nobody share one counter of a user, `user=`: leaving the name out
        is no way around the limit.
        """
        who = self.identity
        return who.tenant, who.user or "", who.key_id, self.listed


class Meter(Struct):
    """One limit, made ready."""

    limit: Limit
    upstream: str | None
    """Whose it is; None: it can refuse the caller."""
    narrow: bool
    """Whether it concerns only some calls of a caller, wherever they are answered."""
    name: Pattern
    span: tuple[int, int] = (0, 0)
    """The latest window, Unix seconds."""

    @classmethod
    def of(cls, limit: Limit, upstream: str | None) -> "Meter":
        filters = (limit.user, limit.route, limit.model)
        return cls(limit, upstream, any(one is not None for one in filters), pattern(limit, upstream))

    def upon(self, tenant: str | None, key: str | None) -> bool:
        """Whether it is upon that tenant's calls with that key."""
        return self.limit.tenant in (None, tenant) and self.limit.key in (None, key)

    def concerns(self, asker: Asker) -> bool:
        """Whether the limit's other filters let this call in, wherever it is answered."""
        limit = self.limit
        return (
            limit.user in (None, asker.identity.user)
            and limit.route in (None, asker.listed)
            and (limit.model is None or fits(limit.model, asker.model))
        )

    def claim(self, names: Names, amount: int, second: int) -> Claim:
        """So much of the counter that a call with these `names` has, in the window of that Unix second."""
        limit, name = self.limit, self.name
        scope = name.head
        for which, after in name.blanks:
            scope += escaped(names[which]) + after
        start, end = self.span
        if not start <= second < end and limit.every is not None:
            start, end = self.span = window(limit.every, second * MICRO, limit.zone)
        return Claim(
            scope,
            start,
            end,
            limit.unit,
            amount,
            limit.ceiling,
            limit.marks,
            self.upstream,
            shadow=limit.shadow,
        )


class Meters(Struct, frozen=True):
    """Those that are upon one caller, the lowest ceiling first."""

    callers: tuple[Meter, ...]
    """Those that can refuse it."""
    upstreams: Mapping[str, tuple[Meter, ...]]
    """Those of each upstream that has any: spent, they make a target be skipped."""
    caps: bool
    """Whether one that concerns all its calls counts output."""
    capping: tuple[Meter, ...]
    """Where none does: those that count the output of some."""

    @classmethod
    def of(cls, found: tuple[Meter, ...]) -> "Meters":
        """All these, sorted by whose they are."""
        upstreams: dict[str, tuple[Meter, ...]] = {}
        for one in found:
            if one.upstream is not None:
                upstreams[one.upstream] = (*upstreams.get(one.upstream, ()), one)
        sized = tuple(one for one in found if one.limit.unit in OF_TOKENS)
        caps = not all(one.narrow for one in sized)
        return cls(
            tuple(one for one in found if one.upstream is None), upstreams, caps, () if caps else sized
        )

    def caps_output(self, asker: Asker) -> bool:
        """Whether a limit counts output, so that a maximum must go upstream where the caller names none."""
        return self.caps or any(meter.concerns(asker) for meter in self.capping)


class Limits(Struct, frozen=True):
    """All limits of a table, by whom they are upon."""

    every: tuple[Meter, ...]
    """The lowest ceiling first."""
    tenants: frozenset[str]
    """Those that a limit names. All others, and all other keys, have the same limits."""
    keys: frozenset[str]
    known: dict[tuple[str | None, str | None], Meters] = field(default_factory=dict)
    """By tenant and key where limits name them, so that no caller makes it grow: a call costs the same with
    a thousand tenants' limits as with ten."""

    @classmethod
    def of(cls, table: Table) -> "Limits":
        """Those of `table`."""
        tenants = frozenset(limit.tenant for limit in table.limits if limit.tenant is not None)
        keys = frozenset(limit.key for limit in table.limits if limit.key is not None)
        return cls(tuple(_made(table)), tenants, keys)

    def upon(self, identity: Identity) -> Meters:
        """The meters that may have to hold a call of this caller."""
        tenant = identity.tenant if identity.tenant in self.tenants else None
        key = identity.key_id if identity.key_id in self.keys else None
        found = self.known.get((tenant, key))
        if found is None:
            found = Meters.of(tuple(one for one in self.every if one.upon(tenant, key)))
            self.known[tenant, key] = found
        return found


def _made(table: Table) -> Iterator[Meter]:
    """One for each limit; for one that each upstream has of its own, one for each of those."""
    for limit in sorted(table.limits, key=lambda limit: limit.ceiling):
        if not limit.of_upstream:
            yield Meter.of(limit, None)
        elif limit.upstream is not None:
            yield Meter.of(limit, limit.upstream)
        else:
            for name in table.upstreams:
                yield Meter.of(limit, name)
