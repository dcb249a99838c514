"""The dashboard: one page on the admin listener, the state it shows, and that state as it changes.

Three files and nothing from elsewhere: no build, no outside asset, no inline script or style, so that the
strictest policy can be sent along. As on all of the admin listener nobody is asked who he is, because only
this machine reaches it unless told otherwise; therefore a browser on this machine must not be made to read
it for a stranger: by whatever name but an address's own or `localhost` the page was asked for, it is
refused (DNS rebinding), and so is whatever another site's page asks for. Nothing here changes anything.
"""

from collections.abc import Mapping
from importlib.resources import files

import orjson

from proxy.errors import Failure, unavailable
from proxy.recent import Seen
from proxy.server.caller import Stream
from proxy.server.shapes import JSON, Answer, identified
from proxy.server.strangers import refuse_strangers
from proxy.server.views import told
from proxy.server.views.fresh import EVERY_S, Fresh
from proxy.server.visit import Service, Visit

ASSETS: Mapping[str, str] = {
    "page.html": "text/html; charset=utf-8",
    "dashboard.css": "text/css; charset=utf-8",
    "dashboard.js": "text/javascript; charset=utf-8",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
GUARDED: Mapping[str, str] = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
WATCHERS_MAX = 16
BACK_S = 5.0
"""When to ask again where too many watch."""


class Dashboard:
    """The handlers of the dashboard."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._watchers = 0
        self._state = Fresh(self._look, service.clock.mono)
        folder = files(__package__) / "assets"
        self._assets = {name: (folder / name).read_bytes() for name in ASSETS}

    async def page(self, visit: Visit) -> Answer:
        """The page itself."""
        return self._asset(visit, "page.html")

    async def style(self, visit: Visit) -> Answer:
        """How it looks."""
        return self._asset(visit, "dashboard.css")

    async def script(self, visit: Visit) -> Answer:
        """How it lives."""
        return self._asset(visit, "dashboard.js")

    async def state(self, visit: Visit) -> Answer:
        """Everything that the page shows, as JSON."""
        headers = self._let_in(visit) | {"content-type": JSON, "cache-control": "no-store"}
        return Answer(200, headers, await self._state.get())

    async def events(self, visit: Visit) -> Answer | None:
        """The state, once a second, for as long as somebody watches."""
        headers = self._let_in(visit)
        if visit.request.method == "HEAD":
            return Answer(200, headers, b"")
        if self._watchers >= WATCHERS_MAX:
            raise unavailable(
                "Too many watch the dashboard already.", "too_many_watchers", retry_after_s=BACK_S
            )
        self._watchers += 1
        try:
            await self._tell(Stream(visit.line, visit.request, headers))
        finally:
            self._watchers -= 1
        return None

    async def _tell(self, stream: Stream) -> None:
        await stream.start(200, {"cache-control": "no-store"})
        while not self._service.gate.draining:
            full = stream.write(b"data: " + await self._state.get() + b"\n\n")
            if full is not None:
                await full
            await self._service.views.pause(EVERY_S)
        await stream.finish()

    async def _look(self) -> bytes:
        service = self._service
        table, now_us = service.table(), service.clock.wall_us()
        sights = await service.views.sights()
        seen = Seen.together(sight.seen for sight in sights)
        state: told.Json = {
            "at": told.moment(now_us),
            "draining": service.gate.draining,
            "checks": {check.name: check.ask() or "ok" for check in service.checks},
            "in_flight": sum(sight.in_flight for sight in sights),
            "upstreams": told.upstreams_for_operator(table, sights, seen),
            "minutes": told.minutes(seen, now_us),
            "calls": [told.call(each) for each in seen.calls],
            "faults": list(dict.fromkeys(fault for sight in sights for fault in sight.faults)),
            "workers": told.workers(sights) if service.views.workers > 1 else [],
            "workers_expected": service.views.workers,
            "limits": [],
            "alerts": [],
            "ledger": "ok",
        }
        try:
            overall = await service.views.glance.overall()
        except Failure as failure:
            state["ledger"] = failure.told.message
        else:
            state["limits"] = told.limits_for_operator(overall)
            state["alerts"] = [told.alert(each) for each in overall.alerts]
        return orjson.dumps(state)

    def _asset(self, visit: Visit, name: str) -> Answer:
        headers = self._let_in(visit) | {"content-type": ASSETS[name], "cache-control": "no-cache"}
        return Answer(200, headers, self._assets[name])

    def _let_in(self, visit: Visit) -> dict[str, str]:
        """The headers of whatever is answered; raises 403 where a stranger may be behind the browser."""
        refuse_strangers(visit, self._service.views.admin_host, page=visit.request.path == "/")
        return {**identified(visit.id, visit.echo), **GUARDED}
