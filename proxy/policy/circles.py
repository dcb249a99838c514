"""All that is known of one upstream, and of one target: what `health.py` keeps, found by one look.

Three circles of trouble, each with a breaker of its own: an upstream, the account behind its credential
(money, auth), one model of it (not there). Only `health.py` and the tickets that it gives out lead here.
"""

from collections.abc import Mapping
from copy import deepcopy

from msgspec import Struct, field

from proxy.policy.breaker import Breaker
from proxy.policy.budget import RetryBudget
from proxy.policy.classify import Class
from proxy.policy.patience import Pace
from proxy.policy.places import Places
from proxy.policy.saturation import Saturation
from proxy.table import BreakerRules

ACCOUNT_RULES = BreakerRules(failures=1, open_s=300.0, open_max_s=900.0)
"""Money and credentials are mended by people, not by seconds; one refusal is proof."""
MODEL_RULES = BreakerRules(failures=1, open_s=60.0, open_max_s=300.0)


def _account() -> Breaker:
    return Breaker(ACCOUNT_RULES)


class UpstreamHealth(Struct, eq=False):
    """What is known of one upstream, whatever model it is asked for."""

    name: str
    breaker: Breaker
    places: Places
    saturation: Saturation | None
    """None: it does not tell how busy it is."""
    account: Breaker = field(default_factory=_account)
    refused: Class = Class.AUTH
    """Why its account was refused last."""
    budget: RetryBudget = field(default_factory=RetryBudget)
    models: dict[str, Breaker] = field(default_factory=dict)
    paces: dict[str, Mapping[bool, Pace]] = field(default_factory=dict)
    """By model, then by whether the answer is streamed."""

    def target(self, model: str) -> "TargetHealth":
        """What is known of one model of it."""
        if model not in self.models:
            self.models[model] = Breaker(MODEL_RULES)
        if model not in self.paces:
            self.paces[model] = {True: Pace(), False: Pace()}
        return TargetHealth(model, self, self.models[model], self.paces[model])

    def inherit(self, old: "UpstreamHealth") -> None:
        """Go on with what is known of it under an older table, by rules of its own.

        What is carried over is shared, so that calls still running on the old table count here too. A refused
        account or model is forgotten: the operator may just have mended it.
        """
        old.breaker.rules, old.places.limit = self.breaker.rules, self.places.limit
        self.breaker, self.places = old.breaker, old.places
        self.budget, self.paces = old.budget, old.paces
        if self.saturation is not None and old.saturation is not None:
            old.saturation.rules = self.saturation.rules
            self.saturation = old.saturation
        self.places.grant()

    def twin(self) -> "UpstreamHealth":
        """The same, apart from it: nothing that happens to one happens to the other. It tells no load."""
        return UpstreamHealth(
            self.name,
            deepcopy(self.breaker),
            self.places.twin(),
            None,
            deepcopy(self.account),
            self.refused,
            deepcopy(self.budget),
            deepcopy(self.models),
            deepcopy(self.paces),
        )


class TargetHealth(Struct, frozen=True, eq=False):
    """What is known of one target: of its upstream, and of its model there."""

    name: str
    """The model's."""
    upstream: UpstreamHealth
    model: Breaker
    paces: Mapping[bool, Pace]
    """How long it takes to the first content, by whether the answer is streamed."""
