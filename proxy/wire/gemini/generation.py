"""How the model shall answer: Gemini's `generationConfig`.

`request.py` calls `configure` on a body that holds no nulls. Values go as the caller gave them
wherever the two vendors mean the same by them; whether they are in range is the upstream's to judge.
"""

from collections.abc import Mapping
from typing import Any

from proxy.abilities import ModelFacts
from proxy.wire.gemini.format import answer_format
from proxy.wire.gemini.media import Part
from proxy.wire.leeway import Leeway
from proxy.wire.openai_request import is_used
from proxy.wire.unable import Unable

_SAMPLING: tuple[tuple[str, str], ...] = (
    ("temperature", "temperature"),
    ("top_p", "topP"),
    ("top_k", "topK"),
)
_SAME: tuple[tuple[str, str], ...] = (
    *_SAMPLING,
    ("frequency_penalty", "frequencyPenalty"),
    ("presence_penalty", "presencePenalty"),
)
_MAXIMA = ("max_completion_tokens", "max_tokens")
_SEEDS = 2**31
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""OpenAI's efforts, rising."""
_LEVELS = ("low", "medium", "high")
"""Levels of a model nobody has described."""
_BUDGETS: Mapping[str, int] = {"none": 0, "minimal": 512, "low": 1024, "medium": 8192, "high": 24_576}
"""Tokens to think, by effort; the highest efforts get all the model can use."""


def configure(
    body: Mapping[str, Any], facts: ModelFacts, cap: int | None, leeway: Leeway
) -> tuple[dict[str, Any], list[Part]]:
    """The configuration, and what the system instruction must ask for because no setting can."""
    out = {theirs: body[ours] for ours, theirs in _SAME if ours in body}
    if facts.sampling is False:
        _spare_sampling(out, leeway)
    most = _most(body, facts, cap, leeway)
    if most is not None:
        out["maxOutputTokens"] = most
    if body.get("n", 1) != 1:
        out["candidateCount"] = body["n"]
    stops = _stop(body.get("stop") or [], leeway)
    if stops:
        out["stopSequences"] = stops
    if "seed" in body:
        out["seed"] = _seed(body["seed"])
    if body.get("logprobs"):
        out["responseLogprobs"] = True
        if body.get("top_logprobs"):
            out["logprobs"] = body["top_logprobs"]
    elif body.get("top_logprobs"):
        leeway.note("top_logprobs")
    form, asked = answer_format(body, facts, leeway)
    out |= form
    thinking = _thinking(body, facts, leeway)
    if thinking:
        out["thinkingConfig"] = thinking
    return out, asked


def _spare_sampling(out: dict[str, Any], leeway: Leeway) -> None:
    """The model takes none: the answer is then another sample, which is no reason to refuse."""
    for ours, theirs in _SAMPLING:
        if is_used(ours, out.pop(theirs, None)):
            leeway.note(ours)


def _most(body: Mapping[str, Any], facts: ModelFacts, cap: int | None, leeway: Leeway) -> int | None:
    """The most tokens of the answer: the caller's own, within what the model can give at all."""
    named = next((name for name in _MAXIMA if name in body), None)
    most: int | None = cap if named is None else body[named]
    if most is None or facts.output is None or most <= facts.output:
        return most
    if named is not None:
        leeway.note(named)
    return facts.output


def _stop(stop: Any, leeway: Leeway) -> list[str]:
    """Where to stop; at an empty text nothing can."""
    stops = [stop] if isinstance(stop, str) else stop
    if not isinstance(stops, list) or not all(isinstance(text, str) for text in stops):
        raise Unable("stop", "'stop' must be a string or a list of strings.", "invalid_type")
    kept = [text for text in stops if text]
    if len(kept) < len(stops):
        leeway.note("stop")
    return kept


def _seed(seed: Any) -> int:
    """Any integer is a seed to OpenAI; here it must fit 32 bits."""
    if type(seed) is not int:
        raise Unable("seed", "'seed' must be an integer.", "invalid_type")
    return seed % _SEEDS


def _thinking(body: Mapping[str, Any], facts: ModelFacts, leeway: Leeway) -> dict[str, Any]:
    """How hard to think, and whether the caller wants to read it."""
    able = facts.thinking is None or bool(facts.thinking)
    thinking: dict[str, Any] = {}
    effort = body.get("reasoning_effort")
    if effort is not None and not isinstance(effort, str):
        raise Unable("reasoning_effort", "'reasoning_effort' must be a string.", "invalid_type")
    if effort is not None and effort not in _EFFORTS:
        reason = "This 'reasoning_effort' is not known here."
        leeway.lose("reasoning_effort", reason, "invalid_value")
    elif effort is not None:
        if able:
            thinking = _level(effort, facts) if facts.budget is None else _budget(effort, facts.budget)
        always = facts.budget is None or facts.budget[0] > 0
        if (able and always) if effort == "none" else not able:
            leeway.note("reasoning_effort")
    if body.get("include_reasoning") is True and able and thinking.get("thinkingBudget") != 0:
        thinking["includeThoughts"] = True
    return thinking


def _level(effort: str, facts: ModelFacts) -> dict[str, Any]:
    """The nearest effort that the model tells apart: the next higher one, else its highest."""
    known = facts.efforts or _LEVELS
    wanted = _EFFORTS.index(effort)
    reached = [level for level in known if _EFFORTS.index(level) >= wanted]
    return {"thinkingLevel": (reached[0] if reached else known[-1]).upper()}


def _budget(effort: str, bounds: tuple[int, int]) -> dict[str, Any]:
    least, most = bounds
    return {"thinkingBudget": min(max(_BUDGETS.get(effort, most), least), most)}
