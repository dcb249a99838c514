"""The account of one call at the ledger: what is held before anything is sent, and the one settlement.

`relay.py` opens one for each call and closes it however the call ends. What to hold and to charge is
the book's word (`book.py`); this file asks the ledger for it and tells the observers. It routes
nothing: that a target's own limit is spent is told to the plan, which passes the target over.
"""

from collections.abc import Awaitable

from proxy.audience import Audience
from proxy.book import Book, Ending, OpenAttempt
from proxy.errors import Failure
from proxy.holds import Granted, Spent
from proxy.policy import ratelimit
from proxy.policy.periods import MICRO
from proxy.policy.selection import Candidate
from proxy.policy.steps import Skipped
from proxy.ports import Clock, Ledger
from proxy.question import Repeated

NOTE_S = 2.0
"""A stream's progress is noted no more often than this: it matters only in a crash."""
NOTE_TOKENS = 32
"""Nor is it noted for fewer new tokens than these."""
TICK_US = 1000
"""The loop counts milliseconds: who waited for a window may be here so much before it begins."""
SPENT = "limit spent"
"""Why a target is skipped whose own limit is; nothing of the sort is the upstream's fault."""


class Account:
    """What one call holds. Lives as long as the call."""

    def __init__(self, book: Book, ledger: Ledger, clock: Clock, audience: Audience) -> None:
        self._book = book
        self._ledger = ledger
        self._clock = clock
        self._audience = audience
        self._noted = 0
        self._held_for: Candidate | None = None
        """The target whose limits the first reservation holds."""
        self.durable: Awaitable[None] | None = None
        """Done when the reservation is on the disk; None: it is."""
        self.note_due = clock.mono() + NOTE_S
        """When the story should next say how far its stream has got (monotonic seconds)."""

    async def open(self) -> None:
        """Hold the caller's scopes and the first target's, or refuse the call with the numbers.

        A call whose key was used before, by whichever process, is refused before anything is held.
        """
        book = self._book
        mine = book.caller_claims()
        first = book.selection.candidates[0]
        book.holding, book.claims = True, mine + book.target_claims(first.target, book.started_us)
        try:
            answer = self._told(await self._ledger.reserve(book.hold(book.claims)))
            if isinstance(answer, Spent) and answer.claim.upstream is not None:
                # The first target's own limit is spent: it will be skipped, the caller is not refused.
                book.claims = mine
                answer = self._told(await self._ledger.reserve(book.hold(mine)))
            else:
                self._held_for = first
            if isinstance(answer, Spent):
                raise ratelimit.refusal(answer, self._clock.wall_us())
        except Failure:
            # Nothing is held. Released all the same, it would lie in the ledger's queue, one for every call
            # of an outage, until that can write again.
            book.holding, book.claims = False, ()
            raise
        book.balances, self.durable = answer.balances, answer.durable

    async def add(self, candidate: Candidate) -> Skipped | None:
        """Hold what this target's own limits demand and do not hold yet; if one is spent, it is skipped."""
        if candidate is self._held_for:
            return None
        claims = self._book.target_claims(candidate.target, self._clock.wall_us() + TICK_US)
        if not claims:
            return None
        answer = self._told(await self._ledger.move(self._book.call.id, claims))
        if isinstance(answer, Spent):
            return Skipped(SPENT, self._mono_of(answer.claim.window_end))
        self._book.claims += claims
        return None

    def note(self, attempt: OpenAttempt, now: float) -> None:
        """Have the ledger remember what of a stream has been seen, should this process die."""
        self.note_due = now + NOTE_S
        if attempt.reader is None:
            return
        progress = self._book.progress(attempt.candidate.target, attempt.reader.usage)
        if progress.usage.total >= self._noted + NOTE_TOKENS:
            self._noted = progress.usage.total
            self._ledger.note(progress)

    def close(self, ending: Ending) -> None:
        """Queue the settlement (no await may come first), then tell the audience.

        Nobody waits for it to be on the disk: the caller has its answer, and the ledger writes in the order
        of its queue, so that the next reservation finds this call settled.
        """
        settlement = self._book.settle(ending, self._clock.wall_us())
        if self._book.holding:
            resolve = self._ledger.commit if settlement.outcome.spent else self._ledger.release
            resolve(settlement)
        for tell in self._audience.settled:
            tell(settlement.outcome)

    def _mono_of(self, wall_s: int) -> float:
        """A wall time (Unix seconds) on the clock that the plan reads."""
        left_us = wall_s * MICRO - self._clock.wall_us()  # read first, so that what is told is not before it
        return self._clock.mono() + left_us / MICRO

    def _told(self, answer: Granted | Spent | Repeated) -> Granted | Spent:
        """Observers are told of it; a call that was made before ends here."""
        if isinstance(answer, Repeated):
            raise answer.refusal()
        for tell in self._audience.reserved:
            tell(answer)
        return answer
