"""Acts of people, carried out: whoever serves the ledger is asked for them by letter, or by its own duties.

`app.py` runs `answer_letters` and `heed_letters` beside the calls; the command line does the same with
one letter where no proxy runs. Memory lets go first, that of every replica, and the audit row comes after
it, so that a row never says more than was done. Carried out twice, because somebody was killed before the
answer, an act is written once.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from msgspec import Struct

from proxy.duties.supervisor import Sleep
from proxy.ports import Clock, Declined, Keys, Letter, Steward
from proxy.store.memories import Memories

EVERY_S = 0.25
KEPT_US = 60_000_000
"""Answers that nobody came for are taken away after a minute."""

Answer = Mapping[str, Any]


class Letters(Protocol):
    """A store of letters from other processes."""

    async def heed(self, memories: Memories) -> None:
        """Let go of whoever was erased since the last time."""
        ...

    async def unanswered(self) -> tuple[Letter, ...]:
        """What is to be done, the oldest first."""
        ...

    async def settle(self, letter: Letter, carry_out: Callable[[Letter], Awaitable[Answer]]) -> None:
        """Have one carried out and answer it, if that is for this process to do."""
        ...

    async def clear(self, before_us: int) -> None:
        """Take away what was answered before a moment."""
        ...


class Office(Struct, frozen=True):
    """Who carries acts out: the ledger, and all memory of persons."""

    steward: Steward
    keys: Keys
    memories: tuple[Memories, ...]

    async def carry_out(self, letter: Letter) -> Answer:
        """Do what a letter asks, and say what came of it."""
        acts: Mapping[str, Callable[[Letter], Awaitable[Answer]]] = {
            "erase": self._erase,
            "prune": self._prune,
            "reset": self._reset,
        }
        if letter.kind not in acts:
            return {"problem": f"the running proxy does not know what `{letter.kind}` is"}
        try:
            return await acts[letter.kind](letter)
        except Declined as declined:
            return {"problem": str(declined)}

    def forget(self, tenant: str, user: str) -> None:
        """Let go of an end person, known by pseudonym, wherever this process remembers them."""
        self.keys.forget(user)
        for memory in self.memories:
            memory.forget(tenant, user)

    def forget_all(self) -> None:
        """Let go of everybody; pseudonyms the keys themselves let go of."""
        for memory in self.memories:
            memory.forget_all()

    async def _erase(self, letter: Letter) -> Answer:
        if not letter.detail:  # somebody was killed after the row and before the answer
            return {}
        tenant = letter.detail["tenant"]
        self.forget(tenant, letter.detail["pseudonym"])
        await self.steward.erased(letter.act, tenant)
        return {}

    async def _prune(self, letter: Letter) -> Answer:
        return {"rows": await self.steward.prune(letter.act, letter.detail["before_us"])}

    async def _reset(self, letter: Letter) -> Answer:
        counters = await self.steward.reset(letter.act, letter.detail["scope"])
        return {"counters": [[each.scope, each.window, each.used] for each in counters]}


async def answer_letters(letters: Letters, office: Office, clock: Clock, sleep: Sleep) -> None:
    """Answer for ever."""
    while True:
        for letter in await letters.unanswered():
            await letters.settle(letter, office.carry_out)
        await letters.clear(clock.wall_us() - KEPT_US)
        await sleep(EVERY_S)


async def heed_letters(letters: Letters, office: Office, sleep: Sleep) -> None:
    """Let go of whoever was erased, for ever: beside `answer_letters`, which one act may keep busy."""
    while True:
        await letters.heed(office)
        await sleep(EVERY_S)
