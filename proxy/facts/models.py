"""What is known of a target's model: one record out of all the tables here.

`proxy/config` calls `facts_of` for each target of a table. Nothing in this file may decide anything.
"""

from collections.abc import Callable, Mapping

from proxy.facts import claude, gemini
from proxy.table import ModelFacts

_DESCRIBED: Mapping[str, Callable[[str], ModelFacts]] = {
    "anthropic": claude.describe,
    "gemini": gemini.describe,
}
"""Dialects whose models have gates of their own."""


def facts_of(dialect: str, model: str) -> ModelFacts:
    """The facts of `model` behind an upstream of that dialect."""
    describe = _DESCRIBED.get(dialect)
    return ModelFacts() if describe is None else describe(model)
