"""What is said between a call's plan and the story that carries it out: events in, instructions out.

`plan.py` answers each event with one instruction, `relay.py` does it and says what came of it. Where two
attempts are under way at once, an event says whose it is by the attempt's number.
"""

from dataclasses import dataclass

from proxy.call import Passed, Signal
from proxy.errors import Failure
from proxy.policy.places import Turn
from proxy.policy.selection import Candidate


@dataclass(frozen=True, slots=True)
class Failed:
    """The attempt failed before any content reached the caller."""

    signal: Signal
    last: bool = False
    """Whether nothing is left to pay for another with."""


@dataclass(frozen=True, slots=True)
class Broke:
    """The attempt failed after content of it had reached the caller."""

    signal: Signal
    mendable: bool = False
    """Whether another target could go on from what the caller has."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """The target could not be used, before anything was sent, by no fault of its upstream."""

    why: str
    """A few words for the caller, such as `limit spent`."""
    until: float | None
    """When it could be used again, if that is known (monotonic seconds)."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The whole answer has been handed over."""


@dataclass(frozen=True, slots=True)
class CallerGone:
    """The caller left; nothing can be said about the upstream."""


@dataclass(frozen=True, slots=True)
class Woke:
    """A wait is over."""


@dataclass(frozen=True, slots=True)
class CalledOff:
    """The attempt was ended by ourselves, because another's content came first."""


Event = Failed | Broke | Skipped | Answered | CallerGone | CalledOff | Woke


@dataclass(frozen=True, slots=True)
class Try:
    """Make an attempt at this candidate."""

    candidate: Candidate
    number: int
    """Counts attempts of this call from 1."""
    until: float | None = None
    """Content must have come by then (monotonic seconds): the rest of the caller's patience is others'."""
    passed: tuple[Passed, ...] = ()
    """Who was passed over since the order before."""


@dataclass(frozen=True, slots=True)
class Continue:
    """Have this candidate go on with the answer that broke."""

    candidate: Candidate
    number: int
    until: float | None = None
    passed: tuple[Passed, ...] = ()


@dataclass(frozen=True, slots=True)
class Restart:
    """Have this candidate answer anew, and keep what the caller has not got yet."""

    candidate: Candidate
    number: int
    until: float | None = None
    passed: tuple[Passed, ...] = ()


@dataclass(frozen=True, slots=True)
class Wait:
    """Sleep, then say `Woke`."""

    until: float
    """Monotonic seconds."""


@dataclass(frozen=True, slots=True)
class Queue:
    """Wait for a place at the last resort, which is full, then say `Woke`."""

    turn: Turn
    until: float
    """Monotonic seconds."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Tell the caller; nothing more will be tried."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class Done:
    """The call is over and nothing needs to be told."""


@dataclass(frozen=True, slots=True)
class Rely:
    """Nothing new: another attempt is still under way, and is all there is for now."""


Order = Try | Continue | Restart
"""To make an attempt."""
Instruction = Order | Wait | Queue | Rely | Stop | Done
