"""What Anthropic's refusals mean.

The dialect calls `judge` for answers that are not successes and `complain` for an error inside one.
The tables of all dialects' words are in `proxy/wire/errors.py`; here is only where the words stand:
a narrower code than the type may hide in `details`, and the body may be an event stream. One word is
this dialect's own: that thoughts do not fit the history is no fault of a caller who never saw them.
"""

import re
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from proxy.call import Kind, Signal
from proxy.wire.complaints import Complaint, flatten
from proxy.wire.errors import weigh
from proxy.wire.sse import Splitter
from proxy.wire.tolerant import loads

_WAITING = frozenset({429, 503, 529})
"""Statuses whose `retry-after` means what it says; it stands on successes too."""
_OF_THOUGHTS = re.compile(r"(?i)messages\.\d+\.content\.\d+[.\w]*: .{0,120}?\bthinking\b")
"""How a complaint about a thought begins: with its place, so that no text of a caller's looks like it."""


def judge(status: int, headers: Mapping[str, str], body: bytes) -> Signal:
    """An answer that is not a success, or a success that is no answer."""
    complaint = _read(body)
    signal = weigh(status, headers if status in _WAITING else {}, complaint)
    if signal.kind is Kind.BAD_REQUEST and _OF_THOUGHTS.match(complaint.message):
        return replace(signal, kind=Kind.UNABLE)
    return signal


def complain(said: Any) -> Complaint:
    """The complaint in a parsed error."""
    complaint = flatten(said)
    error = said.get("error") if isinstance(said, dict) else None
    details = error.get("details") if isinstance(error, dict) else None
    if not isinstance(details, dict):
        return complaint
    return replace(complaint, code=flatten({"code": details.get("error_code")}).code)


def _read(body: bytes) -> Complaint:
    for text in (body, *_events(body)):
        try:
            return complain(loads(text))
        except ValueError:
            continue
    return Complaint()


def _events(body: bytes) -> list[bytes]:
    """The data of an event stream, should the body be one."""
    splitter = Splitter()
    return [event.data for event in splitter.feed(body) + splitter.rest() if event.data]
