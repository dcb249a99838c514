"""How much the model shall think, in whichever of the wire's three ways its model understands.

`request.py` calls `think`. The ways are data: models that think as they see fit take an effort,
older ones a budget of tokens, the oldest neither. A budget never raises the maximum that the caller
or a limit set, because that is what was reserved: it takes at most half of it, or is left out.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from proxy.abilities import ModelFacts
from proxy.wire.leeway import Leeway

_LEAST_BUDGET = 1024
_NEWEST_WAYS = frozenset({"adaptive"})
_EFFORTS = ("low", "medium", "high")
"""Ways and efforts of a model nobody has described."""
_BUDGETS: Mapping[str, int] = {
    "minimal": 1024,
    "low": 1024,
    "medium": 4096,
    "high": 16_384,
    "xhigh": 32_000,
    "max": 32_000,
}
_INSTEAD: Mapping[str, tuple[str, ...]] = {
    "minimal": ("low",),
    "low": ("low",),
    "medium": ("medium",),
    "high": ("high",),
    "xhigh": ("xhigh", "high"),
    "max": ("max", "xhigh", "high"),
}
"""OpenAI's efforts, and the nearest that a model may know, best first."""


class Thinking(Struct, frozen=True):
    """What a request says of thinking."""

    config: dict[str, Any] | None = None
    """The member `thinking`."""
    effort: str | None = None
    """`output_config.effort`."""
    unmet: str | None = None
    """The caller's member that could not be heeded."""

    @property
    def active(self) -> bool:
        """Whether the model is told to think, which rules out sampling."""
        return self.config is not None and self.config["type"] in {"enabled", "adaptive"}

    def recalls(self, facts: ModelFacts) -> bool:
        """Whether earlier thoughts may stand in the history, which a model that is not to think refuses.

        Where nothing is said, it depends on what the model does by itself.
        """
        if self.config is not None:
            return bool(self.config["type"] != "disabled")
        if facts.thinks is not None:
            return facts.thinks
        return "adaptive" in ways(facts) and "disabled" not in ways(facts)


def ways(facts: ModelFacts) -> frozenset[str]:
    """Values of `thinking.type` that the model takes."""
    return _NEWEST_WAYS if facts.thinking is None else facts.thinking


def think(
    body: Mapping[str, Any], facts: ModelFacts, max_tokens: int, leeway: Leeway, *, free: bool
) -> Thinking:
    """What to say of thinking; `free`: nothing else in the request forbids manual thinking."""
    effort = body.get("reasoning_effort")
    if effort is None:
        given = body.get("thinking")
        return Thinking() if given is None else _as_given(given, facts, max_tokens, free=free)
    if effort == "none":
        return _none(facts)
    if not isinstance(effort, str) or effort not in _INSTEAD:
        leeway.lose("reasoning_effort", "'reasoning_effort' has an unknown value.", "invalid_value")
        return Thinking()
    efforts = _EFFORTS if facts.efforts is None else facts.efforts
    nearest = next((word for word in _INSTEAD[effort] if word in efforts), None)
    if "adaptive" in ways(facts):
        return Thinking({"type": "adaptive", "display": "summarized"}, nearest)
    budget = min(_BUDGETS[effort], max_tokens // 2)
    if "enabled" in ways(facts) and free and budget >= _LEAST_BUDGET:
        return Thinking({"type": "enabled", "budget_tokens": budget}, nearest)
    return Thinking(effort=nearest, unmet=None if nearest else "reasoning_effort")


def _none(facts: ModelFacts) -> Thinking:
    """As little as the model allows."""
    for kind in ("disabled", "between_tools"):
        if kind in ways(facts):
            return Thinking({"type": kind})
    if not ways(facts):
        return Thinking()
    return Thinking(effort="low", unmet="reasoning_effort")


def _as_given(given: Any, facts: ModelFacts, max_tokens: int, *, free: bool) -> Thinking:
    """The wire's own member, which some callers know; it goes on where the model takes it."""
    kind = given.get("type") if isinstance(given, dict) else None
    if not isinstance(kind, str) or kind not in ways(facts):
        return Thinking(unmet="thinking")
    if kind == "adaptive":
        return Thinking({"type": kind, "display": "summarized"})
    if kind != "enabled":
        return Thinking({"type": kind})
    budget = given.get("budget_tokens")
    if type(budget) is not int or not free or not _LEAST_BUDGET <= budget < max_tokens:
        return Thinking(unmet="thinking")
    return Thinking({"type": kind, "budget_tokens": budget})
