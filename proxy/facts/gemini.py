"""What each generation of Gemini models takes, as data.

`models.py` looks a model up here for the `gemini` dialect. Rows are tried from top to bottom; a name that
no row knows is taken for the newest generation, because that is what tomorrow's names will be. The ways
of `thinking` are the two members of the wire's `thinkingConfig` that say how much: by `level` or by `budget`.

Two beliefs have no page of the vendor's behind them. That models of the second generation give several
candidates and those of the third refuse them is what callers of the Developer API report (googleapis'
js-genai#1609 and python-genai#1723; Vertex AI differs). That from 3.6 Flash and 3.5 Flash-Lite on
sampling is no longer heeded, and will be refused by what comes next, is what the packaged tables and
those who moved to them say; what a model does not heed is not sent, so that the caller is told.
"""

import re

from msgspec.structs import replace

from proxy.abilities import ModelFacts

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
_THIRD = replace(NEWEST, choices=False)
_UNSAMPLED = replace(_THIRD, sampling=False)
_ALL = ("minimal", "low", "medium", "high")
_OLDEST = replace(NEWEST, schemas_with_tools=False, thinking=frozenset(), efforts=(), signed_calls=False)
_BUDGETED = replace(_OLDEST, thinking=frozenset({"budget"}), choices=True)

ROWS: tuple[tuple[re.Pattern[str], ModelFacts], ...] = (
    (re.compile(r"gemini-3-pro"), replace(_THIRD, efforts=("low", "high"))),
    (re.compile(r"gemini-3\.5-flash-lite|gemini-3\.6-flash"), replace(_UNSAMPLED, efforts=_ALL)),
    (re.compile(r"gemini-3(\.[0-5])?-flash"), replace(_THIRD, efforts=_ALL)),
    (re.compile(r"gemini-3\.\d+-flash"), _UNSAMPLED),
    (re.compile(r"gemini-3"), _THIRD),
    (re.compile(r"gemini-2\.5-pro"), replace(_BUDGETED, budget=(128, 32_768))),
    (re.compile(r"gemini-2\.5-"), replace(_BUDGETED, budget=(0, 24_576))),
    (re.compile(r"gemini-2\.0"), replace(_OLDEST, choices=True)),
    (re.compile(r"gemini-1|gemma|learnlm"), _OLDEST),
    # No chat models: what little they share with those the packaged tables know.
    (re.compile(r"deep-research"), ModelFacts()),
)


def describe(model: str) -> ModelFacts:
    """The facts of a model, by its name at the upstream."""
    name = model.rpartition("/")[2].lower()
    return next((row for pattern, row in ROWS if pattern.match(name)), NEWEST)
