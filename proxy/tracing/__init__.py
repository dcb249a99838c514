"""Traces for whoever collects them: off, and not even loaded, unless the environment names a collector.

`app.py` opens this and puts what it yields among the observers. The packages it needs are an extra
(`fallthrough[otel]`), so that `spans.py`, the only file that knows them, is loaded by name and only when
traces are on; where they are missing that is said, and calls are answered without.
"""

import asyncio
import importlib
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from proxy.ports import Observer

log = logging.getLogger("proxy.tracing")

SWITCHES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""Any of these turns traces on; they and their kin are read by OpenTelemetry's own packages."""
OFF = "OTEL_SDK_DISABLED"


@asynccontextmanager
async def open_traces(environ: Mapping[str, str]) -> AsyncIterator[tuple[Observer, ...]]:
    """One observer that makes spans of calls, or none. Leaving sends what is left."""
    if not any(environ.get(name) for name in SWITCHES) or environ.get(OFF, "").lower() == "true":
        yield ()
        return
    try:
        spans = importlib.import_module("proxy.tracing.spans")
    except ModuleNotFoundError as missing:
        log.warning(
            "traces are wanted, but fallthrough[otel] is not installed", extra={"missing": missing.name}
        )
        yield ()
        return
    traces = spans.Traces(spans.exporting(), spans.named(environ))
    log.info("traces are on")
    try:
        yield (traces,)
    finally:
        await asyncio.to_thread(traces.close)
