"""JSON from upstreams, read as leniently as the official SDKs read it.

The fast parser refuses a lone surrogate escape, which some servers send for half an emoji, and
NaN; a caller's SDK takes both. An answer must not be lost for that, so what the fast parser
refuses the standard one may still read, and write back as it was.
"""

import json
from typing import Any

import orjson


def loads(data: bytes) -> Any:
    """Parsed JSON; `ValueError` if it is none."""
    try:
        return orjson.loads(data)
    except ValueError:
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
