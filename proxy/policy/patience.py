"""How long one call may take, and how its caller's patience is shared out between targets.

`relay.py` makes the `PlanRules` of a call here and `plan.py` keeps them; `health.py` remembers the `Pace`
of each target. A caller's programs say how long they wait; what is left of it must do for all that may
yet be asked, so that no target is given so much that the next one has nothing.
"""

from math import inf

from msgspec import Struct

from proxy.call import Call
from proxy.table import OnMidstream, Route

WAIT_MAX_S = 2.0
"""How long a call waits for the soonest target when all are cooling down."""
MARGIN = 0.05
"""Part of the silence that a program bears which is left for our answer to reach it before it gives up."""
USUAL = 2.0
"""A target is given at least so many times the time that it usually takes."""
FORGETS = 1.1
"""How fast the least time seen is forgotten: each answer that takes longer lets it grow so much."""
NEWS = 0.2
"""What one answer counts for in the usual time."""


class PlanRules(Struct, frozen=True):
    """The bounds of one call."""

    attempts: int
    """Tries at one target, the first included."""
    deadline: float | None
    """Monotonic seconds; no attempt starts at or after it."""
    wait_max_s: float
    """How long the call may wait, in all, for targets that are closed for a while."""
    on_midstream: OnMidstream = OnMidstream.ERROR
    repeated: bool = False
    """The caller's own program tries again: it gets no second tries of ours, and its first count as such."""
    silence: float | None = None
    """Monotonic seconds; the caller leaves then if it has got nothing."""
    stream: bool = True
    tenant: str = ""
    """Whose line it stands in where there is one."""
    in_place_s: float | None = None
    """The longest wait for a target that failed before the next is asked; None: a short one, if it asks."""

    @classmethod
    def of(cls, call: Call, route: Route, began: float) -> "PlanRules":
        """The bounds of `call`, which began then."""
        return cls(
            route.attempts,
            None if call.patience_s is None else began + call.patience_s,
            WAIT_MAX_S,
            route.on_midstream,
            repeated=call.retries > 0,
            silence=None if call.silence_s is None else began + call.silence_s * (1.0 - MARGIN),
            stream=call.stream,
            tenant=call.identity.tenant,
            in_place_s=route.in_place_s,
        )

    def first_word(self) -> float:
        """When the patience of a caller ends who has got nothing yet; endless if nothing bounds it."""
        deadline = inf if self.deadline is None else self.deadline
        return deadline if self.silence is None else min(deadline, self.silence)


class Pace:
    """How long one target takes to its first content, from what was seen lately."""

    __slots__ = ("least", "usual")

    def __init__(self) -> None:
        self.least = 0.0
        """It has not been quicker lately; 0: nobody knows."""
        self.usual = 0.0

    def took(self, seconds: float) -> None:
        """One more answer began after `seconds`."""
        known = self.usual > 0.0
        self.least = min(seconds, self.least * FORGETS) if known else seconds
        self.usual += (seconds - self.usual) * (NEWS if known else 1.0)

    def latest(self, end: float) -> float:
        """When it must be asked, to have answered by `end` though it takes longer than usual.

        A place that is given later is wasted: who stands in line for it leaves the line before.
        """
        return end - USUAL * self.usual

    def share(self, left: float, *, others: bool) -> float:
        """The part of what is `left` in which this target must have begun; `others` may be asked after it."""
        return min(left, max(left / 2.0, USUAL * self.usual)) if others else left
