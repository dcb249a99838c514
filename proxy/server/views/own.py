"""`GET /v1/upstreams` and `/v1/usage`: what a caller may know of who answers it, and all that is its own.

Of upstreams a caller sees names and states, never addresses, keys or why an account was refused; of usage
its tenant's and its key's, never another's.
"""

from proxy.policy.matching import upstreams_of
from proxy.policy.quota import own_claims
from proxy.policy.scopes import is_own
from proxy.recent import Seen
from proxy.server.shapes import Answer, document, identified
from proxy.server.views import told
from proxy.server.visit import Service, Visit


class OwnView:
    """The handlers of a caller's own view."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def upstreams(self, visit: Visit) -> Answer:
        """Those that may answer a call of this caller, in the order in which routes name them."""
        table, sights = self._service.table(), await self._service.views.sights()
        seen = Seen.together(sight.seen for sight in sights)
        data = [
            told.upstream(name, sights, seen) if name in table.upstreams else told.upstream_off(name)
            for name in upstreams_of(table)
        ]
        return _answer(visit, {"object": "list", "data": data})

    async def usage(self, visit: Visit) -> Answer:
        """Quotas, spending and alerts."""
        identity, service = visit.identity, self._service
        claims = own_claims(service.table(), identity, service.clock.wall_us())
        own = await service.views.glance.own(identity, claims)
        alerts = [each for each in own.alerts if is_own(each.scope, identity.tenant, identity.key_id)]
        content = {
            "object": "usage",
            "tenant": identity.tenant,
            "limits": told.own_limits(claims, own),
            "spend": {"day": told.spent(own.day), "month": told.spent(own.month)},
            "alerts": [told.alert(each) for each in alerts],
        }
        return _answer(visit, content)


def _answer(visit: Visit, content: told.Json) -> Answer:
    headers = identified(visit.id, visit.echo)
    headers["cache-control"] = "no-store"
    return document(content, headers)
