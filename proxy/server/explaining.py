"""`POST /admin/explain`: a call's own headers and body, answered with what would become of it now.

`fallthrough explain --ask` sends it. The body is read and parsed as a real call's is, judged, and forgotten:
nothing of it is logged, kept or told back. Whose call it is to be stands in two headers, for the operator
has no caller's key. Nothing is asked of an upstream, nothing is held, and no person becomes known by it.
"""

import re

from msgspec import to_builtins
from msgspec.structs import replace

from proxy.call import Identity
from proxy.config.forms import NAME
from proxy.errors import bad_request
from proxy.server.calls import MICRO, Body, read_body, read_call
from proxy.server.request import Headers
from proxy.server.shapes import Answer, document, identified
from proxy.server.strangers import refuse_strangers
from proxy.server.visit import Service, Visit

TENANT = "x-fallthrough-tenant"
KEY = "x-fallthrough-key"
DEFAULT = Identity(tenant="default", key_id="none")
"""Whose calls they are where `auth` is `none`."""


class Explaining:
    """The handler of explanations."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, visit: Visit) -> Answer:
        """What would be decided about the call, as JSON (`proxy.explain.Explanation`)."""
        refuse_strangers(visit, self._service.views.admin_host)
        glass, headers = self._service.glass, visit.request.headers
        who = Identity(_named(headers, TENANT, DEFAULT.tenant), _named(headers, KEY, DEFAULT.key_id))
        visit = Visit(visit.request, visit.line, visit.id, visit.echo, who)
        created = self._service.clock.wall_us() // MICRO
        call = await read_call(visit, self._read, self._known, created)
        told = to_builtins(await glass.explain(call))
        return document(told, identified(visit.id, visit.echo))

    async def _read(self, visit: Visit) -> Body:
        return await read_body(visit, self._service.limits)

    async def _known(self, identity: Identity, user: str | None, _session: str | None) -> Identity:
        """Of a session nothing hangs; a person who is not known stays so."""
        if user is None:
            return identity
        return replace(identity, user=await self._service.glass.person(identity.tenant, user))


def _named(headers: Headers, name: str, default: str) -> str:
    given = headers.get(name)
    if given is None:
        return default
    if re.fullmatch(NAME, given) is None:
        raise bad_request(f"{name} is not a name.", code="bad_header")
    return given
