"""What is known of a target's model: one record out of all the tables here.

`proxy/config` calls `facts_of` for each target of a table. Nothing in this file may decide anything.
"""

from collections.abc import Callable, Mapping

from msgspec.structs import replace

from proxy.abilities import ModelFacts
from proxy.facts import claude, gemini, packaged

_DESCRIBED: Mapping[str, Callable[[str], ModelFacts]] = {
    "anthropic": claude.describe,
    "gemini": gemini.describe,
}
"""Dialects whose models have gates of their own."""


def facts_of(dialect: str, model: str, base_url: str = "") -> ModelFacts:
    """The facts of `model` behind an upstream of that dialect, at that address if it is known.

    A gate is kept by hand and wins; the packaged tables fill in what it leaves open.
    """
    describe = _DESCRIBED.get(dialect)
    gates = ModelFacts() if describe is None else describe(model)
    return filled(gates, packaged.find(dialect, base_url, model).facts)


def filled(facts: ModelFacts, under: ModelFacts) -> ModelFacts:
    """`facts`, and what is under them where they say nothing."""
    open_ = [name for name in facts.__struct_fields__ if getattr(facts, name) is None]
    return replace(facts, **{name: getattr(under, name) for name in open_})
