"""Our own errors in OpenAI's shape.

The door calls this for an answer that never began, the story for a stream that broke. All four
members are always there, because the official SDKs read them without asking.
"""

import orjson

from proxy.errors import Told


def error_body(told: Told) -> bytes:
    """The JSON body of an error answer."""
    error = {"message": told.message, "type": told.type, "param": told.param, "code": told.code}
    return orjson.dumps({"error": error})


def error_event(told: Told) -> bytes:
    """One stream event that makes an SDK raise. Nothing may follow it, least of all a `[DONE]`."""
    return b"data: " + error_body(told) + b"\n\n"
