"""`/healthz`, `/readyz` and `/metrics`: what kubelets and scrapers ask.

Liveness depends on nothing but this loop: a proxy whose upstreams or ledger are down must not be
killed for it. Readiness fails while draining and while a vital check has trouble.
"""

from proxy.metrics.series import CONTENT_TYPE
from proxy.server.shapes import Answer, document, identified
from proxy.server.visit import Service, Visit


class Probes:
    """The handlers of the probes."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def health(self, visit: Visit) -> Answer:
        """200 while the loop lives."""
        return document({"status": "ok"}, identified(visit.id, visit.echo))

    async def ready(self, visit: Visit) -> Answer:
        """Whether calls should be sent here, and what stands in the way."""
        troubles = [(check, check.ask()) for check in self._service.checks]
        checks = {check.name: trouble or "ok" for check, trouble in troubles}
        status = "ready"
        if any(check.vital and trouble for check, trouble in troubles):
            status = "unready"
        if self._service.gate.draining:
            status = "draining"
        headers = identified(visit.id, visit.echo)
        return document(
            {"status": status, "checks": checks}, headers, status=200 if status == "ready" else 503
        )

    async def metrics(self, visit: Visit) -> Answer:
        """The metrics, as text."""
        headers = identified(visit.id, visit.echo)
        headers["content-type"] = CONTENT_TYPE
        return Answer(200, headers, await self._service.metrics())
