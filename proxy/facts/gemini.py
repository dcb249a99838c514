"""What each generation of Gemini models takes, as data.

`models.py` looks a model up here for the `gemini` dialect. Rows are tried from top to bottom; a name that
no row knows is taken for the newest generation, because that is what tomorrow's names will be. The ways
of `thinking` are the two members of the wire's `thinkingConfig` that say how much: by `level` or by `budget`.
"""

import re
from dataclasses import replace

from proxy.table import ModelFacts

NEWEST = ModelFacts(
    tools=True,
    forced_tools=True,
    schemas=True,
    schemas_with_tools=True,
    prefill=True,
    sampling=True,
    thinking=frozenset({"level"}),
    efforts=("low", "medium", "high"),
    signed_calls=True,
)
"""A model nobody has described."""
_OLDEST = replace(NEWEST, schemas_with_tools=False, thinking=frozenset(), efforts=(), signed_calls=False)
_BUDGETED = replace(_OLDEST, thinking=frozenset({"budget"}))

ROWS: tuple[tuple[re.Pattern[str], ModelFacts], ...] = (
    (re.compile(r"gemini-3-pro"), replace(NEWEST, efforts=("low", "high"))),
    (re.compile(r"gemini-3(\.[0-6])?-flash"), replace(NEWEST, efforts=("minimal", "low", "medium", "high"))),
    (re.compile(r"gemini-2\.5-pro"), replace(_BUDGETED, budget=(128, 32_768))),
    (re.compile(r"gemini-2\.5-"), replace(_BUDGETED, budget=(0, 24_576))),
    (re.compile(r"gemini-1|gemini-2\.0|gemma|learnlm"), _OLDEST),
)


def describe(model: str) -> ModelFacts:
    """The facts of a model, by its name at the upstream."""
    name = model.rpartition("/")[2].lower()
    return next((row for pattern, row in ROWS if pattern.match(name)), NEWEST)
