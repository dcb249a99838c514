"""Spans of calls and attempts, by OpenTelemetry's conventions for generative AI; never a prompt or an answer.

Loaded by `__init__.py` only where traces are on. A call's spans are made when it has ended, of its outcome,
with the times it had: nothing is kept while it runs. They wait in the exporter's own queue, which drops what
does not fit, and its own thread posts them. Like the ledger they name tenant and key; unlike it, no person.
"""

from collections.abc import Mapping
from importlib.metadata import version

import requests
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.util.types import AttributeValue

from proxy.call import Attempt, Outcome
from proxy.ports import Observer
from proxy.usage import Usage

OPERATION = "chat"
NOBODY = "none"
MS, US = 1_000_000, 1_000
"""In the nanoseconds of spans."""

Attributes = dict[str, AttributeValue]


class Traces(Observer):
    """The `Observer` that makes spans."""

    def __init__(self, processor: SpanProcessor, resource: Resource) -> None:
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("fallthrough", version("fallthrough"))

    def settled(self, outcome: Outcome) -> None:
        began = outcome.started_us * US
        call = self._tracer.start_span(
            f"{OPERATION} {outcome.model}",
            kind=SpanKind.SERVER,
            start_time=began,
            attributes=_of_call(outcome),
        )
        within = set_span_in_context(call)
        for attempt in outcome.attempts:
            span = self._tracer.start_span(
                f"{OPERATION} {attempt.model}",
                within,
                SpanKind.CLIENT,
                _of_attempt(attempt),
                start_time=began + attempt.started_ms * MS,
            )
            if attempt.first_ms is not None:
                span.add_event("first content", timestamp=began + attempt.first_ms * MS)
            if attempt.result != "ok":
                span.set_status(Status(StatusCode.ERROR))
            span.end(began + attempt.ended_ms * MS)
        if outcome.error is not None:
            call.set_status(Status(StatusCode.ERROR))
        call.end(began + outcome.total_ms * MS)

    def close(self) -> None:
        """Send what is left. Blocks."""
        self._provider.shutdown()


def exporting() -> SpanProcessor:
    """A queue and a thread that post to the collector that the environment names."""
    session = requests.Session()
    session.trust_env = False  # no proxy and no credential that nobody named for this
    session.max_redirects = 0
    return BatchSpanProcessor(OTLPSpanExporter(session=session))


def named(environ: Mapping[str, str]) -> Resource:
    """Who sends the spans, unless the environment says otherwise."""
    said = environ.get("OTEL_SERVICE_NAME") or "service.name=" in environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    own: Attributes = {"service.version": version("fallthrough")}
    return Resource.create(own if said else own | {"service.name": "fallthrough"})


def _of_call(outcome: Outcome) -> Attributes:
    attributes: Attributes = {
        "gen_ai.operation.name": OPERATION,
        "gen_ai.provider.name": outcome.upstream or NOBODY,
        "gen_ai.request.model": outcome.model,
        "gen_ai.request.stream": outcome.stream,
        "http.response.status_code": outcome.status,
        "fallthrough.request_id": outcome.call_id,
        "fallthrough.tenant": outcome.identity.tenant,
        "fallthrough.key_id": outcome.identity.key_id,
        "fallthrough.result": outcome.result,
        "fallthrough.fallback": outcome.fallback,
        "fallthrough.attempts": len(outcome.attempts),
        "fallthrough.cost_nano_usd": outcome.nano_usd,
        **_used(outcome.usage),
    }
    if outcome.upstream_model is not None:
        attributes["gen_ai.response.model"] = outcome.upstream_model
    if outcome.first_ms is not None:
        attributes["gen_ai.response.time_to_first_chunk"] = outcome.first_ms / 1000
    if outcome.error is not None:
        attributes["error.type"] = outcome.error.value
    return attributes


def _of_attempt(attempt: Attempt) -> Attributes:
    attributes: Attributes = {
        "gen_ai.operation.name": OPERATION,
        "gen_ai.provider.name": attempt.upstream,
        "gen_ai.request.model": attempt.model,
        "fallthrough.phase": attempt.phase,
        "fallthrough.billed": attempt.billed.value,
    }
    if attempt.status is not None:
        attributes["http.response.status_code"] = attempt.status
    if attempt.result != "ok":
        attributes["error.type"] = attempt.result
    return attributes if attempt.usage is None else attributes | _used(attempt.usage)


def _used(usage: Usage) -> Attributes:
    used: Attributes = {
        "gen_ai.usage.input_tokens": usage.input,
        "gen_ai.usage.output_tokens": usage.output,
        "fallthrough.usage_source": usage.source.value,
    }
    parts = {
        "gen_ai.usage.cache_read.input_tokens": usage.cached,
        "gen_ai.usage.cache_creation.input_tokens": usage.cache_write,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning,
    }
    return used | {name: count for name, count in parts.items() if count}
