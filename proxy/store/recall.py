"""The memory between two turns: opaque state of answers, kept until their tool calls come back.

`app.py` puts it behind the `Recall` port; only dialects know what the state means. It lives in this
process alone and never touches a disk: another replica, or this one after a restart, does not have
it. It is bounded in bytes and in time, and what is pushed out is simply not known any more. Some models
count their calls in every conversation anew (`functions.search:0`): an id that came with two answers says
nothing of either, for what one conversation thought must never turn up in another.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from proxy.call import Identity, Memory
from proxy.ports import Clock, Origin

KEPT_S = 6 * 3600.0
"""How long a conversation may rest between two turns."""
KEPT_BYTES = 64 * 1024 * 1024
STATE_BYTES = 1024 * 1024
"""The most that one answer may ask to be kept."""
_ROW_BYTES = 512
"""What an entry costs besides its state, about."""

_Name = tuple[str, str | None, str]
"""Tenant, end person if one is named, and tool-call id."""


class _Entry(Struct, frozen=True):
    """The state that belongs to one tool call."""

    origin: Origin
    state: bytes | None
    """None: its id came with two answers, and nobody can tell them apart."""
    until: float

    def __repr__(self) -> str:
        """Not what was thought."""
        return f"_Entry({self.weight} bytes, until={self.until})"

    @property
    def weight(self) -> int:
        """Bytes it is counted as, its row and its name included."""
        return len(self.state or b"") + _ROW_BYTES


class MemoryRecall:
    """Recall in this process, oldest out first."""

    def __init__(self, clock: Clock, *, most_bytes: int = KEPT_BYTES, kept_s: float = KEPT_S) -> None:
        self._clock = clock
        self._most = most_bytes
        self._kept_s = kept_s
        self._entries: OrderedDict[_Name, _Entry] = OrderedDict()
        """In the order in which they expire."""
        self._bytes = 0
        self._forgotten: OrderedDict[tuple[str, str | None], float] = OrderedDict()
        """Tenant and user of who was forgotten, and until when a call of theirs may still be under way."""

    @property
    def held_bytes(self) -> int:
        """What is kept now; never more than the most."""
        return self._bytes

    def keep(self, identity: Identity, origin: Origin, memory: Memory) -> None:
        """Remember it under each of its calls; state that is too large is not kept at all."""
        if len(memory.state) > STATE_BYTES or (identity.tenant, identity.user) in self._forgotten:
            return
        now = self._clock.mono()
        entry = _Entry(origin, memory.state, now + self._kept_s)
        for call in memory.calls:
            name = (identity.tenant, identity.user, call)
            before = self._drop(name)
            shared = before is not None and now < before.until and before.state != memory.state
            kept = self._entries[name] = replace(entry, state=None) if shared else entry
            self._bytes += kept.weight
        self._make_room()

    def find(self, identity: Identity, origin: Origin, calls: Iterable[str]) -> Mapping[str, bytes]:
        """What is known of these calls, if it came from the same origin."""
        now = self._clock.mono()
        found: dict[str, bytes] = {}
        for call in calls:
            entry = self._entries.get((identity.tenant, identity.user, call))
            if entry is None or entry.state is None or entry.origin != origin or entry.until <= now:
                continue
            found[call] = entry.state
        return found

    def forget(self, tenant: str, user: str) -> None:
        """Forget what was kept for one end person of a tenant, and what their calls under way would add."""
        now = self._clock.mono()
        while self._forgotten and next(iter(self._forgotten.values())) <= now:
            self._forgotten.popitem(last=False)
        self._forgotten[(tenant, user)] = now + self._kept_s
        theirs = [name for name in self._entries if name[:2] == (tenant, user)]
        for name in theirs:
            self._drop(name)

    def forget_all(self) -> None:
        """Forget everything that was kept for anybody."""
        self._entries.clear()
        self._bytes = 0

    def _drop(self, name: _Name) -> _Entry | None:
        entry = self._entries.pop(name, None)
        if entry is not None:
            self._bytes -= entry.weight
        return entry

    def _make_room(self) -> None:
        """Let go of what is too old, then of the oldest until the rest fits."""
        now = self._clock.mono()
        while self._entries:
            name, oldest = next(iter(self._entries.items()))
            if self._bytes <= self._most and now < oldest.until:
                return
            self._drop(name)
