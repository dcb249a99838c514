"""How likely each token was, in OpenAI's form.

`answer.py` calls it. The chosen token need not be among the likeliest, and what has no number is
left out rather than guessed.
"""

from typing import Any


def logprobs(result: Any) -> dict[str, Any] | None:
    """A `logprobsResult` as `choices[].logprobs`; None if there is none."""
    chosen = result.get("chosenCandidates") if isinstance(result, dict) else None
    if not isinstance(chosen, list) or not chosen:
        return None
    tops = result.get("topCandidates")
    tops = tops if isinstance(tops, list) else []
    content = [
        {**token, "top_logprobs": _top(tops[place]) if place < len(tops) else []}
        for place, one in enumerate(chosen)
        if (token := _token(one)) is not None
    ]
    return {"content": content, "refusal": None}


def _top(top: Any) -> list[dict[str, Any]]:
    candidates = top.get("candidates") if isinstance(top, dict) else None
    tokens = [_token(one) for one in candidates] if isinstance(candidates, list) else []
    return [token for token in tokens if token is not None]


def _token(one: Any) -> dict[str, Any] | None:
    token = one.get("token") if isinstance(one, dict) else None
    odds = one.get("logProbability") if isinstance(one, dict) else None
    if not isinstance(token, str) or type(odds) not in (int, float):
        return None
    return {"token": token, "logprob": odds, "bytes": list(token.encode(errors="replace"))}
