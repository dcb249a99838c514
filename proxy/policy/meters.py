"""The limits of a table, made ready to hold calls.

What hangs on the table alone is settled once, when its `Terms` are made: which limit comes first, whose it
is, and all of its counters' names but what a call fills in. `quota.py` asks for a call's claims. A meter
remembers one thing between calls, the window that it is in, and that only until it ends.
"""

from collections.abc import Iterator, Mapping

from msgspec import Struct

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
    """Whether it concerns only some calls, wherever they are answered."""
    name: Pattern
    span: tuple[int, int] = (0, 0)
    """The latest window, Unix seconds."""

    @classmethod
    def of(cls, limit: Limit, upstream: str | None) -> "Meter":
        filters = (limit.tenant, limit.user, limit.key, limit.route, limit.model)
        return cls(limit, upstream, any(one is not None for one in filters), pattern(limit, upstream))

    def concerns(self, asker: Asker) -> bool:
        """Whether the limit's filters let this call in, wherever it is answered."""
        limit, who = self.limit, asker.identity
        return (
            limit.tenant in (None, who.tenant)
            and limit.user in (None, who.user)
            and limit.key in (None, who.key_id)
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
    """Those of one table, the lowest ceiling first."""

    callers: tuple[Meter, ...]
    """Those that can refuse a caller."""
    upstreams: Mapping[str, tuple[Meter, ...]]
    """Those of each upstream that has any: spent, they make a target be skipped."""
    caps: bool
    """Whether a limit that concerns every call counts output."""
    capping: tuple[Meter, ...]
    """Where there is none: those that count the output of some calls."""

    @classmethod
    def of(cls, table: Table) -> "Meters":
        """The limits of `table`, sorted."""
        made = tuple(_made(table))
        upstreams: dict[str, tuple[Meter, ...]] = {}
        for one in made:
            if one.upstream is not None:
                upstreams[one.upstream] = (*upstreams.get(one.upstream, ()), one)
        sized = tuple(one for one in made if one.limit.unit in OF_TOKENS)
        caps = not all(one.narrow for one in sized)
        return cls(tuple(one for one in made if one.upstream is None), upstreams, caps, () if caps else sized)

    def caps_output(self, asker: Asker) -> bool:
        """Whether a limit counts output, so that a maximum must go upstream where the caller names none."""
        return self.caps or any(meter.concerns(asker) for meter in self.capping)


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
