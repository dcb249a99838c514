"""The call that has a second upstream go on with an answer that the first one left unfinished.

`judgement.py` asks `mendable` once, before anything is held, and `book.py` calls `resumed` when a stream
broke. Nothing is ever said to the model for the sake of it: the partial answer becomes the last message, and
the dialect is told in its own words to go on with it. A dialect without such words cannot, and says so.
"""

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from proxy.call import Call, Kind, Phase, Signal
from proxy.table import OnMidstream
from proxy.wire.counts import size
from proxy.wire.openai_request import CONTINUES

_WAYS: Mapping[str, Mapping[str, Any]] = {
    "anthropic": {},
    "openai": {},
    "vllm": CONTINUES,
}
"""Members by which a dialect is told to go on with the last message, by dialect, whatever the caller told
it of another. None are needed where a last message of the assistant is itself the sign, or is told in the
dialect's own request; the model's and the server's facts say whether it is."""
_MAXIMA = ("max_completion_tokens", "max_tokens")
_SHAPED = frozenset({"guided_choice", "guided_grammar", "guided_json", "guided_regex", "structured_outputs"})
"""Members that hold the whole answer to a form: its second half alone does not have that form."""
_FREE = ("auto", "none", None)
_FRAME = 64
"""Bytes of a message around its text."""


def mendable(call: Call, how: OnMidstream) -> bool:
    """Whether another upstream could ever go on with, or begin anew, an answer to this call."""
    body = call.body
    if not call.stream or how is OnMidstream.ERROR or body.get("n") not in (None, 1):
        return False
    if how is OnMidstream.RESTART:
        return True
    form = body.get("response_format")
    return (
        (form is None or form == {"type": "text"})
        and body.get("tool_choice") in _FREE
        and body.get("function_call") in _FREE
        and not body.get("min_tokens")
        and not any(body.get(name) is not None for name in _SHAPED)
        and body["messages"][-1]["role"] != "assistant"
    )


def resumed(call: Call, dialect: str, text: str, used: int) -> Call | Signal:
    """`call`, to go on after `text`; a `Signal` if that dialect cannot, or no token of the maximum is left.

    `used`: tokens of the maximum that are gone.
    """
    if dialect not in _WAYS:
        return _unable("go on with an answer")
    body = {**call.body, **_WAYS[dialect]}
    body["messages"] = [*call.body["messages"], {"role": "assistant", "content": text}]
    for name in _MAXIMA:
        if body.get(name) is not None:
            body[name] -= used
    cap = None if call.output_cap is None else call.output_cap - used
    if any(left is not None and left < 1 for left in (cap, *(body.get(name) for name in _MAXIMA))):
        return _unable("answer in no tokens")
    return replace(call, body=body, output_cap=cap, prompt_bytes=call.prompt_bytes + size(text) + _FRAME)


def _unable(what: str) -> Signal:
    return Signal(Kind.UNABLE, Phase.CONNECT, detail=f"cannot {what}")
