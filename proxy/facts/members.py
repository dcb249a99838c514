"""Members of a chat completion that many servers know, and every form that any of them takes, as data.

`proxy/config/defaults.py` holds the `defaults` of routes to it. What callers write is their upstreams' to
judge, so nothing else asks here. Members that the proxy relies on itself, such as `n` and `max_tokens`, are
not among these: `proxy/wire/body.py` judges them, whoever wrote them. Ranges are only given where no server
goes beyond them.
"""

from collections.abc import Mapping

from msgspec import Struct

from proxy.facts.capabilities import KNOWN


class Form(Struct, frozen=True):
    """What the value of a member may be."""

    wanted: str
    """In words, after *write*."""
    types: tuple[type, ...]
    """A truth is never a number here."""
    least: float | None = None
    most: float | None = None


_TRUTH = Form("true or false", (bool,))
_TEXT = Form("text", (str,))
_MAPPING = Form("a mapping", (dict,))
_LIST = Form("a list", (list,))
_WHOLE = Form("a whole number", (int,))
_NUMBER = Form("a number, such as 0.5", (int, float))
_SHARE = Form("a number from 0 to 1", (int, float), 0.0, 1.0)
_PENALTY = Form("a number from -2 to 2", (int, float), -2.0, 2.0)

FORMS: Mapping[str, Form] = {
    "audio": _MAPPING,
    "frequency_penalty": _PENALTY,
    "function_call": Form("a word, or a mapping that names a function", (str, dict)),
    "logit_bias": Form("a mapping, or a list of pairs", (dict, list)),
    "logprobs": Form("true or false, or a whole number", (bool, int)),
    "metadata": _MAPPING,
    "min_p": _SHARE,
    "min_tokens": Form("a whole number of 0 or more", (int,), 0),
    "modalities": _LIST,
    "parallel_tool_calls": _TRUTH,
    "prediction": _MAPPING,
    "presence_penalty": _PENALTY,
    "prompt_cache_key": _TEXT,
    "reasoning_effort": _TEXT,
    "repetition_penalty": _NUMBER,
    "response_format": _MAPPING,
    "seed": _WHOLE,
    "service_tier": _TEXT,
    "stop": Form("text, or a list of texts", (str, list)),
    "store": _TRUTH,
    "temperature": Form("a number of 0 or more, such as 0.5", (int, float), 0.0),
    "thinking": _MAPPING,
    "tool_choice": Form("a word, or a mapping that names a tool", (str, dict)),
    "top_k": _WHOLE,
    "top_logprobs": _WHOLE,
    "top_p": _SHARE,
    "verbosity": _TEXT,
    "web_search_options": _MAPPING,
}

NAMES: frozenset[str] = frozenset({*FORMS, "models", "reasoning_format"}).union(
    *(one.strip | one.refuse | (one.accept or frozenset()) for one in KNOWN.values()),
    *(dict(one.rename).values() for one in KNOWN.values()),
)
"""Every member that some server is known for."""
