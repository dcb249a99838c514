"""What each generation of Gemini models takes: data, looked up by the model's name.

The request side of the dialect calls `gates`. Rows are tried from top to bottom; a name that no row
knows is taken for the newest generation, because that is what tomorrow's names will be.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Thinking = Mapping[str, Mapping[str, Any]]
"""OpenAI's effort to Gemini's `thinkingConfig`: a level or a budget of tokens, never both."""


@dataclass(frozen=True, slots=True)
class Gates:
    """The ways of one family of models."""

    thinking: Thinking
    """Empty: the family cannot think, and no effort makes it."""
    always_thinks: bool
    """`none` can only be brought near, not reached."""
    signed_calls: bool
    """Calls in the history must carry a thought signature."""
    json_with_tools: bool
    """Takes a response format beside function tools."""


def gates(model: str) -> Gates:
    """The ways of `model`."""
    name = model.rpartition("/")[2].lower()
    return next((row for pattern, row in _ROWS if pattern.match(name)), _NEWEST)


def _levels(lowest: str, medium: str = "MEDIUM") -> Gates:
    levels = {
        "none": lowest,
        "minimal": lowest,
        "low": "LOW",
        "medium": medium,
        "high": "HIGH",
        "xhigh": "HIGH",
        "max": "HIGH",
    }
    thinking = {effort: {"thinkingLevel": level} for effort, level in levels.items()}
    return Gates(thinking, always_thinks=True, signed_calls=True, json_with_tools=True)


def _budgets(lowest: int, highest: int) -> Gates:
    budgets = {
        "none": lowest,
        "minimal": 512,
        "low": 1024,
        "medium": 8192,
        "high": 24576,
        "xhigh": highest,
        "max": highest,
    }
    thinking = {effort: {"thinkingBudget": budget} for effort, budget in budgets.items()}
    return Gates(thinking, always_thinks=lowest > 0, signed_calls=False, json_with_tools=False)


_NEWEST = _levels("LOW")
_ROWS: tuple[tuple[re.Pattern[str], Gates], ...] = (
    (re.compile(r"gemini-3-pro"), _levels("LOW", medium="HIGH")),
    (re.compile(r"gemini-3(\.[0-6])?-flash"), _levels("MINIMAL")),
    (re.compile(r"gemini-2\.5-pro"), _budgets(128, 32768)),
    (re.compile(r"gemini-2\.5-"), _budgets(0, 24576)),
    (
        re.compile(r"gemini-1|gemini-2\.0|gemma|learnlm"),
        Gates({}, always_thinks=False, signed_calls=False, json_with_tools=False),
    ),
)
