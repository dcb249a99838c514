"""How busy an upstream is, by its own account: where that stands, and what it means.

Engines that people run themselves tell monitoring systems how many requests they work on and how many
wait. `duties/load.py` fetches that text; the few lines of it that matter are turned into a `Load` here.
Each engine is one row of `GAUGES`; a dialect without one is never asked.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct
from msgspec.structs import replace

from proxy.call import Load, UpstreamRequest
from proxy.table import Upstream
from proxy.wire.headers import USER_AGENT, bearer

VERSION = "/v1"
"""What a base URL ends with; the engine's own pages are beside it."""

Sample = tuple[str, float]
"""A series by the name of its metric, whatever its labels, and its value."""


class Gauges(Struct, frozen=True):
    """The names of one engine's figures. Several engines behind one address tell a series each."""

    path: str
    """Of the text, beside the API."""
    running: str
    waiting: str
    cache: tuple[str, ...]
    """The part of its memory for prompts that is in use, 0 to 1; newer names first, for some tell both."""

    @property
    def names(self) -> tuple[str, ...]:
        """All that is looked for."""
        return (self.running, self.waiting, *self.cache)


GAUGES: Mapping[str, Gauges] = {
    "vllm": Gauges(
        "/metrics",
        "vllm:num_requests_running",
        "vllm:num_requests_waiting",
        ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
    ),
}
"""By dialect."""


SAMPLE = re.compile(
    r"""([a-zA-Z_:][a-zA-Z0-9_:]*)       # the metric
        (?:\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\})?  # its labels, whose values may hold anything
        \s+(\S+)(?:\s+-?[0-9]+)?\s*      # the value, and perhaps a time
    """,
    re.VERBOSE,
)
"""A line of Prometheus' text format."""

TOLD_MAX = 64 * 1024
"""Bytes of such lines; an engine has a handful for each of its models."""


def asking(upstream: Upstream, gauges: Gauges) -> tuple[Upstream, UpstreamRequest]:
    """Whom to ask for the text, and with what: the server itself, with the credential that its API has."""
    root = replace(upstream, base_url=upstream.base_url.removesuffix(VERSION))
    headers = {"accept": "text/plain", "accept-encoding": "identity", "user-agent": USER_AGENT}
    headers |= dict(bearer(upstream))
    headers |= {name.lower(): value for name, value in upstream.headers}
    return root, UpstreamRequest(gauges.path, tuple(headers.items()), b"", method="GET")


def lines_of(gauges: Gauges, text: bytes) -> str:
    """The lines about these gauges: of the thousand that an engine tells, reading four is enough.

    None of them where they are beyond all measure: reading them would hold up everybody's calls.
    """
    heads = tuple(name.encode() for name in gauges.names)
    wanted = [line for line in text.splitlines() if line.startswith(heads)]
    if sum(map(len, wanted)) > TOLD_MAX:
        return ""
    return "".join(f"{line.decode('utf-8', 'replace')}\n" for line in wanted)


def samples_of(lines: str) -> Iterator[Sample]:
    """What each line says. Raises `ValueError` where one says nothing."""
    for line in lines.removesuffix("\n").split("\n") if lines else ():
        found = SAMPLE.fullmatch(line)
        if found is None:
            raise ValueError("this is no sample")
        yield found[1], float(found[2])


def load_of(gauges: Gauges, samples: Iterable[Sample]) -> Load | None:
    """What the samples say; None: they do not say how many run and wait."""
    found: dict[str, list[float]] = {}
    for name, value in samples:
        found.setdefault(name, []).append(value)
    running, waiting = _count(found.get(gauges.running)), _count(found.get(gauges.waiting))
    if running is None or waiting is None:
        return None
    told = next((found[name] for name in gauges.cache if name in found), [])
    cache = max(told, default=math.nan)
    return Load(running, waiting, cache if 0.0 <= cache <= 1.0 else None)


def _count(values: list[float] | None) -> int | None:
    """All series together; None: there is none, or one that counts nothing."""
    if not values or not all(0.0 <= value < math.inf for value in values):
        return None
    total = sum(values)
    return round(total) if total < math.inf else None
