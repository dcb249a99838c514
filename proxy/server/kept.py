"""Which keys were used lately, and the answers that can still be given again.

`twins.py` asks it before it has a call made. All of it lives in this process: a restart forgets every
key, and another replica has never heard of them. Answers are bounded in bytes together with those that
are being told, keys in number, both in time; the oldest goes first. A key whose answer is gone is still
known to have been used.
"""

from collections import OrderedDict

from msgspec import Struct

from proxy.call import Identity
from proxy.ports import Clock
from proxy.question import Question, conflict, reused
from proxy.server.replay import Replay


class Bounds(Struct, frozen=True):
    """How much is kept, and for how long."""

    kept_s: float = 600.0
    """From the end of a call; what retries come later is no retry any more."""
    all_bytes: int = 64 * 1024 * 1024
    """Of all answers, those that are being told included."""
    answer_bytes: int = 8 * 1024 * 1024
    """Of one; a longer one cannot be given again."""
    keys: int = 50_000
    """Each takes some 400 bytes."""


class Used(Struct):
    """What is known of a key that was used."""

    digest: bytes
    until: float
    identity: Identity | None = None
    """Whose answer it is."""
    replay: Replay | None = None

    def answer(self, question: Question) -> Replay:
        """The answer to `question`. Raises 422 if the key was used for another, 409 if it is not at hand."""
        if self.digest != question.digest:
            raise reused()
        if self.replay is None:
            raise conflict()
        return self.replay


class Kept:
    """The memory of keys."""

    def __init__(self, clock: Clock, bounds: Bounds) -> None:
        self._clock = clock
        self._bounds = bounds
        self._used: OrderedDict[bytes, Used] = OrderedDict()
        """By name, in the order in which they expire."""
        self._answers: OrderedDict[bytes, Used] = OrderedDict()
        """Those that have an answer."""
        self.held_bytes = 0
        """Of all answers, those that are being told included."""

    def __len__(self) -> int:
        return len(self._used)

    # ── room ──────────────────────────────────────────────────────────────────────────────────────

    @property
    def full(self) -> bool:
        """Whether those that are being told take more than there is, with nothing left to push out."""
        return self.held_bytes > self._bounds.all_bytes

    def grow(self, size: int) -> None:
        """So many bytes more are held; older answers make room for them."""
        self.held_bytes += size
        while self.full and self._answers:
            self._empty(next(iter(self._answers)))

    def shrink(self, size: int) -> None:
        """So many bytes less."""
        self.held_bytes -= size

    # ── keys ──────────────────────────────────────────────────────────────────────────────────────

    def find(self, name: bytes) -> Used | None:
        """What is known of a key; None: nothing, so that it may be used."""
        self.expire()
        return self._used.get(name)

    def mark(self, question: Question) -> None:
        """Remember that a key was used, and nothing more."""
        self._enter(question.name, Used(question.digest, self._clock.mono() + self._bounds.kept_s))

    def keep(self, question: Question, identity: Identity, replay: Replay) -> None:
        """Remember a key with its answer, if that is not too long."""
        self.mark(question)
        if replay.weight > self._bounds.answer_bytes or not replay.from_start:
            replay.release()
            return
        used = self._used[question.name]
        used.identity, used.replay = identity, replay
        self._answers[question.name] = used
        replay.keep()

    def forget(self, tenant: str, user: str) -> None:
        """Let go of every answer to an end person; their keys stay used."""
        theirs = [
            name
            for name, used in self._answers.items()
            if used.identity is not None and (used.identity.tenant, used.identity.user) == (tenant, user)
        ]
        for name in theirs:
            self._empty(name)

    def forget_all(self) -> None:
        """Let go of every answer; their keys stay used."""
        for name in list(self._answers):
            self._empty(name)

    def expire(self) -> None:
        """Forget what is too old."""
        if not self._used:
            return
        now = self._clock.mono()
        while self._used:
            name, oldest = next(iter(self._used.items()))
            if now < oldest.until and len(self._used) <= self._bounds.keys:
                return
            self._empty(name)
            del self._used[name]

    def _enter(self, name: bytes, used: Used) -> None:
        self._used[name] = used
        self._used.move_to_end(name)
        self.expire()

    def _empty(self, name: bytes) -> None:
        used = self._answers.pop(name, None)
        if used is not None and used.replay is not None:
            used.replay.clear()
            used.replay = used.identity = None
