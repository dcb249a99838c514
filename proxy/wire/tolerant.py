"""JSON from upstreams, read as leniently as the official SDKs read it.

The fast parser refuses a lone surrogate escape, which some servers send for half an emoji, and
NaN; a caller's SDK takes both. An answer must not be lost for that, so what the fast parser
refuses the standard one may still read, and write back as it was.
"""

import json
import re
from typing import Any

import orjson

_LONG = re.compile(rb"(?<=[:,\[\s])-?[0-9]{19,}(?=[,\]}\s])")
"""An integer that may not fit 64 bits, or digits in a text that look like one."""
_OBJECT = re.compile(rb'"arguments"\s*:\s*\{')
CALLS = b'"tool_calls"'
"""In every answer that may hold calls."""


def loads(data: bytes) -> Any:
    """Parsed JSON; `ValueError` if it is none."""
    try:
        return orjson.loads(data)
    except ValueError:
        return _slowly(data)


def exact(parsed: Any, data: bytes) -> Any:
    """`parsed` from `data`, but with integers to their last digit: over 64 bits the fast parser makes floats.

    For what holds the arguments of a call as JSON and not as text: a caller acts upon them.
    """
    return _slowly(data) if _LONG.search(data) else parsed


def exact_calls(parsed: Any, data: bytes) -> Any:
    """As `exact`, where `data` may hold `CALLS`: their arguments are text, but for those of a few servers."""
    return exact(parsed, data) if _OBJECT.search(data) else parsed


def _slowly(data: bytes) -> Any:
    try:
        return json.loads(data)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def dumps(value: Any) -> bytes:
    """JSON bytes of what `loads` gave; `ValueError` if it is nested too deeply to write."""
    try:
        return orjson.dumps(value)
    except TypeError:
        try:
            return json.dumps(value, separators=(",", ":")).encode()
        except RecursionError as error:
            raise ValueError("nested too deeply") from error
