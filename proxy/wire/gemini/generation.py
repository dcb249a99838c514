"""How the model shall answer: Gemini's `generationConfig`.

`request.py` calls `configure` on a body that holds no nulls. Values go as the caller gave them
wherever the two vendors mean the same by them; whether they are in range is the upstream's to judge.
"""

from collections.abc import Mapping
from typing import Any

from proxy.wire.gemini.models import Gates
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


def configure(body: Mapping[str, Any], gates: Gates, cap: int | None, degraded: list[str]) -> dict[str, Any]:
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
    out |= _format(body, gates, degraded)
    thinking = _thinking(body, gates, degraded)
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


def _format(body: Mapping[str, Any], gates: Gates, degraded: list[str]) -> dict[str, Any]:
    wanted = body.get("response_format")
    if wanted is None or wanted == {"type": "text"}:
        return {}
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind not in ("json_object", "json_schema"):
        raise Unable("response_format", "This 'response_format' is not known here.")
    if body.get("tools") and not gates.json_with_tools:
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


def _thinking(body: Mapping[str, Any], gates: Gates, degraded: list[str]) -> dict[str, Any]:
    """How hard to think, and whether the caller wants to read it."""
    effort = body.get("reasoning_effort")
    thinking: dict[str, Any] = {}
    if effort is not None and gates.thinking:
        if not isinstance(effort, str) or effort not in gates.thinking:
            raise Unable("reasoning_effort", "This 'reasoning_effort' is not known here.", "invalid_value")
        thinking = dict(gates.thinking[effort])
    unmet = gates.always_thinks if effort == "none" else effort is not None and not gates.thinking
    if unmet:
        degraded.append("reasoning_effort")
    if body.get("include_reasoning") is True and gates.thinking:
        thinking["includeThoughts"] = True
    return thinking
