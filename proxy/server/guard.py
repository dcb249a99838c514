"""Who calls: a presented key becomes an identity, or nothing does.

The door calls a `Guard` on the matched route before one byte of the body is read. Only the digest of
the presented key is ever looked up, so that no comparison can leak it and no odd character can hurt.
It must never build an identity out of a failure.
"""

import hashlib
from collections.abc import Callable, Collection

from proxy.call import Identity
from proxy.errors import Refused, unauthorized
from proxy.ports import Keys
from proxy.server.request import Headers
from proxy.server.upgrade import FOREIGN_ORIGIN, keys_among

Guard = Callable[[Headers], Identity]

KEY_CHARS_MAX = 512
_OTHER_WAYS = frozenset({"api-key", "sec-websocket-protocol"})
"""Headers that may carry a key beside the usual one."""

MISSING = "No key was given. Send it as 'Authorization: Bearer KEY'."
UNREADABLE = "The key could not be read. Send one key, as 'Authorization: Bearer KEY'."
UNKNOWN = "The key is unknown or has been revoked."


def guard_of(keys: Keys, origins: Collection[str], *, open_to_all: bool) -> Guard:
    """The guard that the settings ask for."""
    return anyone_but_pages(origins) if open_to_all else by_key(keys)


def anyone_but_pages(origins: Collection[str]) -> Guard:
    """`auth: none`: whoever can reach the socket is the default tenant, but for strangers' pages.

    A browser on this machine sends what any page tells it to, and says whose page it was (`Origin`, and of
    requests that need none `Sec-Fetch-Site`). Where a key is asked for no page has one.
    """

    def guard(headers: Headers) -> Identity:
        named = headers.all("origin")
        strange = not named and headers.get("sec-fetch-site") not in {"same-origin", "none", None}
        if strange or any(origin not in origins for origin in named):
            raise Refused(FOREIGN_ORIGIN)
        return Identity(tenant="default", key_id="none")

    return guard


def by_key(keys: Keys) -> Guard:
    """`auth: keys`: the key's digest decides."""

    def guard(headers: Headers) -> Identity:
        grant = keys.find(hashlib.sha256(presented(headers)).digest())
        if grant is None:
            raise unauthorized(UNKNOWN)
        return Identity(tenant=grant.tenant, key_id=grant.key_id)

    return guard


def presented(headers: Headers) -> bytes:
    """The one key that the headers carry, as the bytes that came. Raises 401 if there is not one."""
    bearer = headers.only("authorization")
    if bearer is None or headers.any_of(_OTHER_WAYS):
        key = _the_same(headers.all("authorization"), headers.all("api-key"), keys_among(headers))
    else:
        key = _bearer(bearer)
    if not key or len(key) > KEY_CHARS_MAX:
        raise unauthorized(UNREADABLE)
    # The parser decodes header bytes with surrogateescape; this gives the very same bytes back.
    return key.encode("utf-8", "surrogateescape")


def _the_same(bearers: list[str], plain: list[str], spoken: list[str]) -> str:
    """The one key that is given in several ways, each of them used once."""
    if not bearers and not plain and not spoken:
        raise unauthorized(MISSING)
    if len(bearers) > 1 or len(plain) > 1 or len(spoken) > 1:
        raise unauthorized(UNREADABLE)
    found = {_bearer(value) for value in bearers} | {value.strip() for value in plain} | set(spoken)
    if len(found) != 1:
        raise unauthorized(UNREADABLE)
    return found.pop()


def _bearer(value: str) -> str:
    scheme, _, key = value.strip().partition(" ")
    if scheme.lower() != "bearer":
        raise unauthorized(UNREADABLE)
    return key.strip()
