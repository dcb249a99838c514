"""Spans of a call: one for it, one for each attempt, with their own times, and nothing of what was said."""

import threading

import pytest
from msgspec.structs import replace
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from proxy import tracing
from proxy.call import Billed
from proxy.errors import ErrorType
from proxy.tracing import open_traces
from proxy.tracing import spans as spans_of
from proxy.tracing.spans import Traces, named
from proxy.usage import Source, Usage
from tests.store.making import attempt, settlement

BEGAN = 1_800_000_000_000_000
USAGE = Usage(input=100, output=20, cached=40, reasoning=5, source=Source.REPORTED)
FAILED = replace(attempt("first", "overload", 503), ended_ms=10, first_ms=None, billed=Billed.NO)
ANSWERED = replace(attempt("second", "ok", 200, USAGE), started_ms=10, first_ms=30, ended_ms=90)


@pytest.fixture
def spans():
    """Makes spans of an outcome, the call's own first."""
    exporter = InMemorySpanExporter()

    def made(**changes):
        outcome = settlement("req_1", usage=USAGE, attempts=(FAILED, ANSWERED)).outcome
        told = {"started_us": BEGAN, "first_ms": 30, "total_ms": 100, "fallback": True, **changes}
        traces = Traces(SimpleSpanProcessor(exporter), named({}))
        traces.settled(replace(outcome, **told))
        traces.close()
        return sorted(exporter.get_finished_spans(), key=lambda span: (span.start_time, -span.end_time))

    return made


async def test_a_stop_does_not_wait_for_a_collector_that_takes_nothing(monkeypatch, caplog):
    gone = threading.Event()

    class Stuck:
        def __init__(self, *_):
            pass

        def close(self):
            gone.wait()

    monkeypatch.setattr(tracing, "LAST_S", 0.01)
    monkeypatch.setattr(spans_of, "Traces", Stuck)
    async with open_traces({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}):
        pass
    assert "traces are left that the collector did not take" in caplog.text
    gone.set()


def test_a_call_is_a_span_and_each_attempt_one_within(spans):
    call, first, second = spans()
    assert (call.name, call.kind, call.parent) == ("chat gpt-4o", SpanKind.SERVER, None)
    for each in (first, second):
        assert each.kind is SpanKind.CLIENT
        assert each.parent.span_id == call.context.span_id
        assert each.context.trace_id == call.context.trace_id
    began = BEGAN * 1000
    assert (call.start_time, call.end_time) == (began, began + 100_000_000)
    assert (second.start_time, second.end_time) == (began + 10_000_000, began + 90_000_000)
    assert [(event.name, event.timestamp) for event in second.events] == [
        ("first content", began + 30_000_000)
    ]
    assert not first.events


def test_a_span_says_what_the_conventions_have_words_for(spans):
    call, first, second = spans()
    assert (
        call.attributes.items()
        >= {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "second",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.request.stream": True,
            "gen_ai.response.model": "model",
            "gen_ai.response.time_to_first_chunk": 0.03,
            "gen_ai.usage.input_tokens": 100,
            "gen_ai.usage.output_tokens": 20,
            "gen_ai.usage.cache_read.input_tokens": 40,
            "gen_ai.usage.reasoning.output_tokens": 5,
            "http.response.status_code": 200,
            "fallthrough.request_id": "req_1",
            "fallthrough.tenant": "acme",
            "fallthrough.fallback": True,
            "fallthrough.attempts": 2,
        }.items()
    )
    assert first.attributes["error.type"] == "overload"
    assert first.attributes["http.response.status_code"] == 503
    assert "gen_ai.usage.input_tokens" not in first.attributes
    assert second.attributes["gen_ai.usage.output_tokens"] == 20
    assert "error.type" not in second.attributes
    statuses = [span.status.status_code for span in (call, first, second)]
    assert statuses == [StatusCode.UNSET, StatusCode.ERROR, StatusCode.UNSET]


def test_a_call_that_failed_says_how_in_few_words_and_names_no_person(spans):
    call, *_ = spans(error=ErrorType.UPSTREAM_TIMEOUT, status=504, result="upstream_timeout", upstream=None)
    assert call.status.status_code is StatusCode.ERROR
    assert call.attributes["error.type"] == "upstream_timeout"
    assert call.attributes["gen_ai.provider.name"] == "none"
    assert not any("user" in name or "subject" in name for name in call.attributes)


def test_who_sends_them_is_told_unless_the_environment_says_so():
    assert named({}).attributes["service.name"] == "fallthrough"
    assert named({}).attributes["service.version"]


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "x", "OTEL_SDK_DISABLED": "true"},
    ],
)
async def test_traces_are_off_unless_a_collector_is_named(environ):
    async with open_traces(environ) as observers:
        assert observers == ()


async def test_packages_that_are_missing_are_told_and_nothing_is_traced(monkeypatch, caplog):
    def missing(name):
        raise ModuleNotFoundError(name="opentelemetry")

    monkeypatch.setattr("proxy.tracing.importlib.import_module", missing)
    async with open_traces({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}) as observers:
        assert observers == ()
    (record,) = caplog.records
    assert record.missing == "opentelemetry"
