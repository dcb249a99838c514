"""What a plan remembers of each candidate and of each attempt under way. Only `plan.py` writes in them."""

from msgspec import Struct

from proxy.call import Passed
from proxy.policy.leave import Ticket
from proxy.policy.selection import Candidate


class Course(Struct):
    """What has happened with one candidate."""

    candidate: Candidate
    last: bool = False
    """Whether it is the route's last resort."""
    tries: int = 0
    ready: float = 0.0
    """Not to be asked before this."""
    brief: bool = False
    """`ready` is a retry's own short pause, bounded by `attempts`, not a closed door."""
    full: bool = False
    """It has no place just now."""
    over: bool = False


class Run(Struct):
    """An attempt under way."""

    course: Course
    ticket: Ticket
    started: float
    until: float | None
    """When its share of the caller's patience ends."""
    passed: tuple[Passed, ...]
    """Who was passed over before it."""
