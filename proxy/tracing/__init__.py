"""Traces for whoever collects them: off, and not even loaded, unless the environment names a collector.

`app.py` opens this and puts what it yields among the observers. The packages it needs are an extra
(`fallthrough[otel]`), so that `spans.py`, the only file that knows them, is loaded by name and only when
traces are on; where they are missing that is said, and calls are answered without.
"""

import asyncio
import importlib
import logging
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from proxy.ports import Observer

log = logging.getLogger("proxy.tracing")

SWITCHES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""Any of these turns traces on; they and their kin are read by OpenTelemetry's own packages."""
OFF = "OTEL_SDK_DISABLED"
LAST_S = 5.0
"""How long a stop waits for the collector to take what is left."""


@asynccontextmanager
async def open_traces(environ: Mapping[str, str]) -> AsyncIterator[tuple[Observer, ...]]:
    """One observer that makes spans of calls, or none. Leaving sends what is left, for `LAST_S` at most."""
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
        # A thread that nobody waits for at the end: the exporter itself tries for half a minute and more.
        last = threading.Thread(target=traces.close, name="last traces", daemon=True)
        last.start()
        await asyncio.to_thread(last.join, LAST_S)
        if last.is_alive():
            log.warning("traces are left that the collector did not take")
