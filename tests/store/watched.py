"""A ledger with a witness: what was asked of one counter, in what order, and what each caller heard.

Callers of a test ask through `Watched`. The ledger takes requests in the order in which they were made (each
is queued before its caller first waits), so that a dictionary can go through the same list afterwards and say
of every answer whether it had to be that one (`wrongly_answered`). What the rows say, read in the order of
the chain, must never have passed a ceiling either (`most`).
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from proxy.errors import Refused
from proxy.holds import Granted, Spent
from proxy.place import Place
from proxy.store import entries
from proxy.store.reader import open_reader
from tests.store.making import charge, claim, hold, settlement

RESERVE = "reserve"


@dataclass(slots=True)
class Asked:
    """One request; `answer` is None until its caller hears something."""

    kind: str
    """Of the row that it is to become: `reserve`, `commit`, `release`."""
    call_id: str
    window: int
    amount: int
    """To be held, or what was used."""
    answer: Any = None


@dataclass
class Watched:
    """A ledger on behalf of callers that share one counter in each window."""

    ledger: Any
    ceiling: int
    asked: list[Asked] = field(default_factory=list)

    async def reserve(self, call_id: str, window: int, amount: int, *others: Any) -> Any:
        """Hold `amount` of the counter, and other claims besides; what the ledger answered, `Refused` too."""
        made = (claim(amount, self.ceiling, window=window), *others)
        return await self._heard(
            Asked(RESERVE, call_id, window, amount), self.ledger.reserve(hold(call_id, *made))
        )

    async def settle(self, kind: str, call_id: str, window: int, used: int) -> Any:
        """End a call that was granted; None if it is durable, else `Refused`."""
        ended = settlement(call_id, charge(used, window=window))
        asked = Asked(kind, call_id, window, used)
        return await self._heard(asked, getattr(self.ledger, kind)(ended))

    async def _heard(self, asked: Asked, answer: Any) -> Any:
        self.asked.append(asked)
        try:
            asked.answer = await answer
        except Refused as refused:
            asked.answer = refused
        return asked.answer


def wrongly_answered(asked: Iterable[Asked], ceiling: int) -> list[str]:
    """Every answer that a dictionary would have given otherwise. Who heard 503 held nothing."""
    used: Counter[int] = Counter()
    held: Counter[int] = Counter()
    open_calls: dict[str, int] = {}
    wrong = []
    for each in asked:
        window = each.window
        if each.kind != RESERVE:
            held[window] -= open_calls.pop(each.call_id)
            used[window] += each.amount
        elif not isinstance(each.answer, Refused):
            fits = used[window] + held[window] + each.amount <= ceiling
            if fits is not isinstance(each.answer, Granted):
                wrong.append(f"{each.call_id}: {used[window]} used, {held[window]} held: {each.answer}")
            elif isinstance(each.answer, Spent) and each.answer.used != used[window]:
                wrong.append(f"{each.call_id} was told {each.answer.used} used, not {used[window]}")
            if isinstance(each.answer, Granted):
                held[window] += each.amount
                open_calls[each.call_id] = each.amount
    return wrong


def most(place: Place) -> dict[tuple[str, int], int]:
    """How much of each counter was used and held together, at the most, after any row of the chain."""
    taken: Counter[tuple[str, int]] = Counter()
    highest: Counter[tuple[str, int]] = Counter()
    held: dict[str, Counter[tuple[str, int]]] = defaultdict(Counter)
    with closing(open_reader(place)) as reader:
        rows = reader.select("SELECT kind, call_id, entries FROM rows WHERE kind <> 'alert' ORDER BY seq")
        for kind, call_id, text in rows:
            amounts = {each.counter: each.amount for each in entries.load(text)}
            if kind in ("reserve", "move"):
                held[call_id].update(amounts)
            else:
                taken.subtract(held.pop(call_id, {}))
            taken.update(amounts)
            for counter in amounts:
                highest[counter] = max(highest[counter], taken[counter])
    return dict(highest)


async def reading(done: asyncio.Future[Any], read: Any) -> list[Any]:
    """Everything that somebody beside the ledger reads of it until the work is done, and once after."""
    found = []
    while not done.done():
        found.append(await asyncio.to_thread(read))
    return [*found, read()]
