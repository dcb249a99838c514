"""What is said between a call's plan and the story that carries it out: events in, instructions out.

`plan.py` answers each event with one instruction, `relay.py` does it and says what came of it. Where two
attempts are under way at once, an event says whose it is by the attempt's number.
"""

from msgspec import Struct

from proxy.call import Passed, Signal
from proxy.errors import Failure
from proxy.policy.places import Turn
from proxy.policy.selection import Candidate


class Failed(Struct, frozen=True):
    """The attempt failed before any content reached the caller."""

    signal: Signal
    last: bool = False
    """Whether nothing is left to pay for another with."""


class Broke(Struct, frozen=True):
    """The attempt failed after content of it had reached the caller."""

    signal: Signal
    mendable: bool = False
    """Whether another target could go on from what the caller has."""


class Skipped(Struct, frozen=True):
    """The target could not be used, before anything was sent, by no fault of its upstream."""

    why: str
    """A few words for the caller, such as `limit spent`."""
    until: float | None
    """When it could be used again, if that is known (monotonic seconds)."""


class Answered(Struct, frozen=True):
    """The whole answer has been handed over."""


class CallerGone(Struct, frozen=True):
    """The caller left; nothing can be said about the upstream."""


class Woke(Struct, frozen=True):
    """A wait is over."""


class CalledOff(Struct, frozen=True):
    """The attempt was ended by ourselves, because another's content came first."""


Event = Failed | Broke | Skipped | Answered | CallerGone | CalledOff | Woke


class Order(Struct, frozen=True):
    """To make an attempt at a candidate."""

    candidate: Candidate
    number: int
    """Counts attempts of this call from 1."""
    until: float | None = None
    """Content must have come by then (monotonic seconds): the rest of the caller's patience is others'."""
    passed: tuple[Passed, ...] = ()
    """Who was passed over since the order before."""


class Try(Order, frozen=True):
    """Have this candidate answer."""


class Continue(Order, frozen=True):
    """Have this candidate go on with the answer that broke."""


class Restart(Order, frozen=True):
    """Have this candidate answer anew, and keep what the caller has not got yet."""


class Wait(Struct, frozen=True):
    """Sleep, then say `Woke`."""

    until: float
    """Monotonic seconds."""


class Queue(Struct, frozen=True):
    """Wait for a place at the last resort, which is full, then say `Woke`."""

    turn: Turn
    until: float
    """Monotonic seconds."""


class Stop(Struct, frozen=True):
    """Tell the caller; nothing more will be tried."""

    failure: Failure


class Done(Struct, frozen=True):
    """The call is over and nothing needs to be told."""


class Rely(Struct, frozen=True):
    """Nothing new: another attempt is still under way, and is all there is for now."""


Instruction = Order | Wait | Queue | Rely | Stop | Done
