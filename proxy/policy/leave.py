"""Leave to try a target, or why not: what `health.py` answers and `plan.py` asks for."""

from msgspec import Struct

from proxy.policy.breaker import Pass
from proxy.policy.circles import TargetHealth
from proxy.policy.classify import Class

RECOVERING = "recovering"


FULL = "full"


SATURATED = Class.SATURATED.value
"""Also said of one that answers, and has told that too many wait."""


class Ticket(Struct, eq=False):
    """Leave to make one attempt at a target; to be handed back exactly once. `health.py` writes in it."""

    target: TargetHealth
    upstream: Pass
    account: Pass
    model: Pass
    calm: bool
    """Whether nothing was against its target, so that it is nobody's probe."""
    back: bool = False
    """Whether it was handed back."""


class Closed(Struct, frozen=True):
    """A target that must not be tried now."""

    until: float
    """When to ask again; always later than the `now` asked at."""
    why: str
    """`open`, `recovering`, `full`, `saturated`, or what else closed it: `rate_limit`, `overload`, `money`,
    `auth`, `model`."""
