"""What a model is asked for in words, where no member of a request can hold it to that.

Dialects put it where the system speaks, and tell the caller: it is a request to the model and no promise.
"""

from collections.abc import Mapping
from typing import Any

from proxy.wire.tolerant import dumps

JSON_ONLY = "Answer with a single JSON object and nothing else: no other text, no code fence."


def by_schema(schema: Mapping[str, Any]) -> str:
    """An answer that follows a JSON schema; `ValueError` if that is nested too deeply to write."""
    return f"{JSON_ONLY} It must be valid by this JSON schema: {dumps(schema).decode()}"
