"""Slices of hot limits: what a replica has borrowed of a counter, to grant from without asking anybody.

A pure state machine on the loop's side; `lending.py` carries out what it says. A slice is held in the
database before it is spent here, and never spent beyond: so no replica can overshoot. It is given back
when it runs dry (with the next question about its counter), when it lies idle, and when its replica ends.
"""

from collections.abc import Collection, Iterable

from msgspec import Struct

from proxy.holds import Balance, Claim
from proxy.store.tables import Counted

HOT_A_SECOND = 20
"""A counter that a replica asks for so often is worth a slice."""

IDLE_S = 1.0
"""A slice that nothing was taken from for so long is given back, for others may need it."""

COUNTED_MAX = 10_000
"""Counters whose heat is remembered."""

PART_OF_ROOM, PART_OF_CEILING, CLAIMS_AT_LEAST = 16, 100, 8
"""A slice is at most these parts of what is free and of the whole, and worth it only for so many claims: the
nearer a limit is to its end the less is lent of it, and near it nothing, so that nearly all can be used."""


class Slice(Struct):
    """So much of a counter is ours to grant."""

    counter: Counted
    ceiling: int
    used: int
    """By all, when it was borrowed."""
    held: int
    """By all, when it was borrowed, all that is lent included."""
    left: int
    taken_s: float
    """When last granted from."""


def size_of(ceiling: int, taken: int, claim: int) -> int:
    """How much to lend of a counter of which `taken` is used, held or lent; 0: it is not worth it."""
    amount = min((ceiling - taken) // PART_OF_ROOM, ceiling // PART_OF_CEILING)
    return amount if amount >= claim * CLAIMS_AT_LEAST else 0


class Slices:
    """All slices of one replica, and how hot its counters are."""

    def __init__(self) -> None:
        self._slices: dict[Counted, Slice] = {}
        self._heat: dict[Counted, tuple[int, int]] = {}
        """Counter → a second, and how often it was asked for in it."""
        self._owed: set[Counted] = set()
        """Given up here, and not given back there yet."""
        self._given_up: dict[Counted, int] = {}
        """The turn in which a counter was last given back."""
        self._floor = 0
        """The same of counters that are not remembered any more."""
        self.turn = 0
        """Counts the times that something was given back."""

    def spend(self, claims: tuple[Claim, ...], now_s: float) -> tuple[Balance, ...] | None:
        """Grant all claims from slices; None: somebody has to be asked."""
        found: list[Slice] = []
        for claim in claims:
            mine = self._slices.get(claim.counter)
            if mine is None or claim.shadow or mine.ceiling != claim.ceiling or mine.left < claim.amount:
                return None
            found.append(mine)
        if len({each.counter for each in found}) < len(claims) or not claims:
            return None
        for claim, mine in zip(claims, found, strict=True):
            mine.left -= claim.amount
            mine.taken_s = now_s
        return tuple(Balance(claim, mine.used, mine.held) for claim, mine in zip(claims, found, strict=True))

    def lend(self, slices: Iterable[Slice], asked: int) -> None:
        """These were borrowed, and that is durable; `asked` is the turn in which it was asked for."""
        for each in slices:
            if each.counter in self._owed or self._given_up.get(each.counter, self._floor) > asked:
                self._owed.add(each.counter)  # whoever asked later has given it back, or will
            else:
                self._slices[each.counter] = each

    def hot(self, claims: tuple[Claim, ...], dry: Collection[Counted], now_s: float) -> tuple[Claim, ...]:
        """Note that these are asked for; those that are asked for often, or whose slice just ran dry.

        Not calls at once: what a dead replica had set aside of them would be taken for ever.
        """
        second, found = int(now_s), []
        if len(self._heat) > COUNTED_MAX:
            self._heat.clear()
        for claim in claims:
            counter = claim.counter
            when, count = self._heat.get(counter, (second, 0))
            count = count + 1 if when == second else 1
            self._heat[counter] = (second, count)
            if (count >= HOT_A_SECOND or counter in dry) and claim.window_end and not claim.shadow:
                found.append(claim)
        return tuple(found)

    def give_up(self, claims: tuple[Claim, ...]) -> tuple[Counted, ...]:
        """Give up the slices of these counters, which ran dry, and all that is owed: what to give back."""
        for claim in claims:
            if self._slices.pop(claim.counter, None) is not None:
                self._owed.add(claim.counter)
        return self._take_owed()

    def idle(self, now_s: float) -> tuple[Counted, ...]:
        """Give up what lies idle: what to give back."""
        for counter, mine in list(self._slices.items()):
            if now_s - mine.taken_s >= IDLE_S:
                del self._slices[counter]
                self._owed.add(counter)
        return self._take_owed()

    def owe(self, counters: Iterable[Counted]) -> None:
        """Nobody knows what is lent of these: grant from none, and have all given back."""
        for counter in counters:
            self._slices.pop(counter, None)
            self._owed.add(counter)

    def _take_owed(self) -> tuple[Counted, ...]:
        owed, self._owed = self._owed, set()
        if len(self._given_up) > COUNTED_MAX:
            self._given_up.clear()
            self._floor = self.turn + 1
        self.turn += 1
        self._given_up |= dict.fromkeys(owed, self.turn)
        return tuple(sorted(owed))
