"""The headers of every request that goes up, and what a header of our answer may name.

Dialects call `outgoing` with the header that carries the upstream's credential. No header of the
caller's ever goes on; what the operator configured for an upstream wins over ours. `book.py` calls
`named` for the members that were left out.
"""

import re
from collections.abc import Sequence

from proxy.call import Call
from proxy.table import Upstream

USER_AGENT = "fallthrough"

PLAIN = re.compile(r"[A-Za-z0-9_.-]{1,64}")
"""A member as any API spells it; what a caller makes up may hold line ends, or fill a header."""
NAMED_MAX = 32
OTHERS = "*"

Header = tuple[str, str]

_TYPE: Header = ("content-type", "application/json")
_STREAMED: Header = ("accept", "text/event-stream")
_WHOLE: Header = ("accept", "application/json")
_PLAINLY: Header = ("accept-encoding", "identity")
_WE: Header = ("user-agent", USER_AGENT)


def outgoing(call: Call, upstream: Upstream, own: tuple[Header, ...]) -> tuple[Header, ...]:
    """All end-to-end headers: what every request has, the dialect's `own`, the operator's."""
    headers = (
        _TYPE,
        _STREAMED if call.stream else _WHOLE,
        _PLAINLY,
        _WE,
        ("x-request-id", call.id),
        ("x-client-request-id", call.id),
        *own,
    )
    if not upstream.headers:
        return headers
    chosen = dict(headers)
    for name, value in upstream.headers:
        chosen[name.lower()] = value
    return tuple(chosen.items())


def bearer(upstream: Upstream) -> tuple[Header, ...]:
    """The credential as most servers want it."""
    if upstream.api_key is None:
        return ()
    return (("authorization", f"Bearer {upstream.api_key.reveal()}"),)


def named(members: Sequence[str]) -> str:
    """The members' names as one header value; `*` stands for those that no header should carry."""
    plain = [name for name in members if PLAIN.fullmatch(name)][:NAMED_MAX]
    return ", ".join(plain if len(plain) == len(members) else [*plain, OTHERS])
