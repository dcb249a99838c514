"""The endpoints: every path that exists, where, for which method, and whether it needs a key.

Default deny: what has no row here is 404 on that listener. A test walks this table, so that no row
can be added without being judged by it.
"""

from proxy.server.calls import ChatCompletions
from proxy.server.conversation import Conversations
from proxy.server.explaining import Explaining
from proxy.server.guard import Guard
from proxy.server.models import Models
from proxy.server.probes import Probes
from proxy.server.views.dashboard import Dashboard
from proxy.server.views.own import OwnView
from proxy.server.visit import Entry, Listener, Service

PUBLIC = frozenset({Listener.PUBLIC})
ADMIN = frozenset({Listener.ADMIN})
ASKED_BY_KUBELETS = frozenset({Listener.PUBLIC, Listener.PROBES})
ASKED_BY_SCRAPERS = frozenset({Listener.PROBES, Listener.ADMIN})
ASKED_BY_OPERATORS = frozenset({Listener.ADMIN})


def routes(service: Service, guard: Guard) -> tuple[Entry, ...]:
    models, probes, chat = Models(service), Probes(service), ChatCompletions(service)
    own, dashboard = OwnView(service), Dashboard(service)
    return (
        Entry("POST", "/v1/chat/completions", PUBLIC, True, chat),
        Entry("GET", "/v1/chat/stream", PUBLIC, True, Conversations(service, chat, guard)),
        Entry("GET", "/v1/models", PUBLIC, True, models.all),
        Entry("GET", "/v1/models/*", PUBLIC, True, models.one),
        Entry("GET", "/v1/upstreams", PUBLIC, True, own.upstreams),
        Entry("GET", "/v1/usage", PUBLIC, True, own.usage),
        Entry("GET", "/healthz", ASKED_BY_KUBELETS, False, probes.health),
        Entry("GET", "/readyz", ASKED_BY_KUBELETS, False, probes.ready),
        Entry("GET", "/metrics", ASKED_BY_SCRAPERS, False, probes.metrics),
        Entry("POST", "/admin/explain", ASKED_BY_OPERATORS, False, Explaining(service)),
        Entry("GET", "/", ADMIN, False, dashboard.page),
        Entry("GET", "/dashboard.css", ADMIN, False, dashboard.style),
        Entry("GET", "/dashboard.js", ADMIN, False, dashboard.script),
        Entry("GET", "/admin/state", ADMIN, False, dashboard.state),
        Entry("GET", "/admin/events", ADMIN, False, dashboard.events),
    )
