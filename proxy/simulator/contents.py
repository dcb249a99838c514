"""What Gemini demands of a history, and the signatures by which it knows its own calls.

Pure; `generate.py` asks. A signature is made from the call it stands on, so that one that was lost,
made up, or put on another call is found without remembering anything.
"""

import hashlib
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import orjson

from proxy.abilities import ModelFacts

SENTINEL = "skip_thought_signature_validator"
"""Accepted in the place of a signature, as the vendor documents."""
_DATA = frozenset({"executableCode", "codeExecutionResult", "fileData", "inlineData"})
_KNOWN = _DATA | {"functionCall", "functionResponse", "text", "thought", "thoughtSignature"}

Part = Mapping[str, Any]


def signature(call: Part) -> str:
    """What the simulated vendor signs a call with."""
    told = orjson.dumps([call.get("name"), call.get("args") or {}], option=orjson.OPT_SORT_KEYS)
    return b64encode(hashlib.sha256(told).digest()).decode()


def wrong_turns(contents: list[Any], facts: ModelFacts) -> str | None:
    """What is wrong with a history, if anything is.

    Parts are not empty; calls are signed, and have as many results in the next turn, of the same
    names and ids.
    """
    asked: list[Part] = []
    for at, turn in enumerate(contents):
        parts = turn.get("parts") if isinstance(turn, dict) else None
        if not isinstance(parts, list) or not parts or turn.get("role") not in ("user", "model"):
            return f"contents[{at}]: must have a role and parts"
        if at == 0 and turn["role"] != "user":
            return "Please ensure that the conversation begins with a user turn."
        calls = [part["functionCall"] for part in parts if "functionCall" in part]
        results = [part["functionResponse"] for part in parts if "functionResponse" in part]
        wrong = _wrong_parts(parts, at) or _wrong_results(asked, results, at) or _unsigned(parts, at, facts)
        if wrong is not None:
            return wrong
        asked = calls
    return "Please ensure that function calls are followed by their responses." if asked else None


def _wrong_parts(parts: list[Part], at: int) -> str | None:
    """Each part is one thing, and an empty text only where a signature stands on it."""
    for number, part in enumerate(parts):
        where = f"contents[{at}].parts[{number}]"
        for name in sorted(part.keys() - _KNOWN):
            return f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.'
        if len(part.keys() - {"thought", "thoughtSignature"}) != 1:
            return f"{where}: must have one of its data fields"
        if part.get("text") == "" and "thoughtSignature" not in part:
            return f"{where}: must not be empty"
    return None


def _wrong_results(asked: list[Part], results: list[Part], at: int) -> str | None:
    if [result.get("name") for result in results] != [call.get("name") for call in asked]:
        return "Please ensure that function response parts equal the function call parts."
    if [result.get("id") for result in results] != [call.get("id") for call in asked]:
        return f"contents[{at}]: function_response.id must be the id of its function call"
    if not all(isinstance(result.get("response"), dict) for result in results):
        return f"contents[{at}]: function_response.response must be an object"
    return None


def _unsigned(parts: list[Part], at: int, facts: ModelFacts) -> str | None:
    """The first call is signed where the model needs it, and every signature is the vendor's own."""
    calls = [part for part in parts if "functionCall" in part]
    if facts.signed_calls and calls and "thoughtSignature" not in calls[0]:
        name = calls[0]["functionCall"].get("name")
        return (
            "Function call is missing a thought_signature in functionCall parts. This is required for tools "
            "to work correctly, and missing thought_signature may lead to degraded model performance. "
            f"Additional data, function call `default_api:{name}` , position {at + 1}."
        )
    for part in calls:
        if part.get("thoughtSignature", SENTINEL) not in (SENTINEL, signature(part["functionCall"])):
            return "Corrupted thought signature."
    return None
