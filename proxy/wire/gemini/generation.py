"""How the model shall answer: Gemini's `generationConfig`.

`request.py` calls `configure` on a body that holds no nulls. Values go as the caller gave them
wherever the two vendors mean the same by them; whether they are in range is the upstream's to judge.
"""

from collections.abc import Mapping
from typing import Any

from proxy.table import ModelFacts
from proxy.wire.gemini.schema import fit
from proxy.wire.unable import Unable

_SAME: tuple[tuple[str, str], ...] = (
    ("temperature", "temperature"),
    ("top_p", "topP"),
    ("top_k", "topK"),
    ("frequency_penalty", "frequencyPenalty"),
    ("presence_penalty", "presencePenalty"),
)
_SEEDS = 2**31
_JSON = "application/json"
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""OpenAI's efforts, rising."""
_LEVELS = ("low", "medium", "high")
"""Levels of a model nobody has described."""
_BUDGETS: Mapping[str, int] = {"none": 0, "minimal": 512, "low": 1024, "medium": 8192, "high": 24_576}
"""Tokens to think, by effort; the highest efforts get all the model can use."""


def configure(
    body: Mapping[str, Any], facts: ModelFacts, cap: int | None, degraded: list[str]
) -> dict[str, Any]:
    """The configuration; what it cannot keep is added to `degraded`."""
    out = {theirs: body[ours] for ours, theirs in _SAME if ours in body}
    most = body.get("max_completion_tokens", body.get("max_tokens", cap))
    if most is not None:
        out["maxOutputTokens"] = most
    if body.get("stop"):
        out["stopSequences"] = _stop(body["stop"])
    if "seed" in body:
        out["seed"] = _seed(body["seed"])
    if body.get("logprobs"):
        out["responseLogprobs"] = True
        if body.get("top_logprobs"):
            out["logprobs"] = body["top_logprobs"]
    out |= _format(body, facts, degraded)
    thinking = _thinking(body, facts, degraded)
    if thinking:
        out["thinkingConfig"] = thinking
    return out


def _stop(stop: Any) -> list[str]:
    stops = [stop] if isinstance(stop, str) else stop
    if not isinstance(stops, list) or not all(isinstance(text, str) and text for text in stops):
        raise Unable("stop", "'stop' must be a string or a list of strings.", "invalid_type")
    return stops


def _seed(seed: Any) -> int:
    """Any integer is a seed to OpenAI; here it must fit 32 bits."""
    if type(seed) is not int:
        raise Unable("seed", "'seed' must be an integer.", "invalid_type")
    return seed % _SEEDS


def _format(body: Mapping[str, Any], facts: ModelFacts, degraded: list[str]) -> dict[str, Any]:
    wanted = body.get("response_format")
    if wanted is None or wanted == {"type": "text"}:
        return {}
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind not in ("json_object", "json_schema"):
        raise Unable("response_format", "This 'response_format' is not known here.")
    if body.get("tools") and facts.schemas_with_tools is False:
        raise Unable("response_format", "This model takes no 'response_format' beside 'tools'.")
    if kind == "json_object":
        return {"responseMimeType": _JSON}
    described = wanted.get("json_schema")
    schema = described.get("schema") if isinstance(described, dict) else None
    if not isinstance(schema, dict):
        place = "response_format.json_schema.schema"
        raise Unable(place, f"'{place}' must be an object.", "invalid_type")
    lost: list[str] = []
    fitted = fit(schema, lost)
    if lost:
        degraded.append("response_format")
    return {"responseMimeType": _JSON, "responseJsonSchema": fitted}


def _thinking(body: Mapping[str, Any], facts: ModelFacts, degraded: list[str]) -> dict[str, Any]:
    """How hard to think, and whether the caller wants to read it."""
    effort = body.get("reasoning_effort")
    able = facts.thinking is None or bool(facts.thinking)
    thinking: dict[str, Any] = {}
    if effort is not None:
        if not isinstance(effort, str) or effort not in _EFFORTS:
            raise Unable("reasoning_effort", "This 'reasoning_effort' is not known here.", "invalid_value")
        if able:
            thinking = _level(effort, facts) if facts.budget is None else _budget(effort, facts.budget)
        always = facts.budget is None or facts.budget[0] > 0
        if (able and always) if effort == "none" else not able:
            degraded.append("reasoning_effort")
    if body.get("include_reasoning") is True and able:
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
