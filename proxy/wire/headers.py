"""The headers of every request that goes up.

Dialects call `outgoing` with the header that carries the upstream's credential. No header of the
caller's ever goes on; what the operator configured for an upstream wins over ours.
"""

from proxy.call import Call
from proxy.table import Upstream

USER_AGENT = "fallthrough"

Header = tuple[str, str]


def outgoing(call: Call, upstream: Upstream, own: tuple[Header, ...]) -> tuple[Header, ...]:
    """All end-to-end headers: what every request has, the dialect's `own`, the operator's."""
    headers = {
        "content-type": "application/json",
        "accept": "text/event-stream" if call.stream else "application/json",
        "accept-encoding": "identity",
        "user-agent": USER_AGENT,
        "x-request-id": call.id,
        "x-client-request-id": call.id,
        **dict(own),
    }
    for name, value in upstream.headers:
        headers[name.lower()] = value
    return tuple(headers.items())


def bearer(upstream: Upstream) -> tuple[Header, ...]:
    """The credential as most servers want it."""
    if upstream.api_key is None:
        return ()
    return (("authorization", f"Bearer {upstream.api_key.reveal()}"),)
