"""Whether a call costs the same when there is more of everything: connections, keys, routes.

Used by `__main__.py`. A figure is processor time of a whole call; what counts is its ratio to the smallest
size of the same row, beside the goal. Every load gets a process of its own and the sizes take turns, so that
a slow minute of the machine falls on all of them; the least of the runs is kept. Each call has the next key
and asks for the next model, so that all of them are looked up, the last ones too.
"""

import resource
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from bench import systems
from bench.processes import BUILD, Missing
from bench.systems import PROXY, PROXY_PORT, System
from bench.workloads import Bench, load
from proxy.store.callers import new_key
from proxy.store.sqlite import keyfile

CONNECTIONS = 64
"""Where it is not connections that there are more of."""
BEFORE = 2000
"""Calls before the first that is measured, at least."""
OWN_FILES = 200
"""What a proxy has open beside a file on either side for each connection."""

PATIENT = PROXY.replace("  auth: keys\n", '  auth: keys\n  max_lag: "off"\n')
"""Two thousand connections that ask at once keep a loop busy for longer than it lets new calls wait; what
is asked here is what a call costs, not when it should be refused."""
ROUTE = "  - model: mock-model\n    targets: [mock/mock-model]\n"

Figures = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A system that answers, and what the load generator must be told."""

    system: System
    options: tuple[str, ...] = ()
    connections: int = CONNECTIONS
    warm_s: float = 1.0
    before: int = BEFORE
    """So many calls are made and forgotten, so that everybody was there once."""


Grown = Callable[[int], AbstractContextManager[Loaded]]
"""Starts a system that has so many of something."""


@dataclass(frozen=True, slots=True)
class Row:
    """One thing of which there may be more."""

    what: str
    sizes: tuple[int, ...]
    goal: float
    """A call may cost so much more at any of the sizes than at the first, as a part of that."""
    of: Mapping[str, Grown]
    """By the name of the system."""


@contextmanager
def nginx_connected(size: int) -> Iterator[Loaded]:
    with systems.nginx() as system:
        yield _connected(system, size)


@contextmanager
def connected(size: int) -> Iterator[Loaded]:
    with systems.served("flat", PATIENT) as system:
        yield _connected(system, size)


def _connected(system: System, size: int) -> Loaded:
    return Loaded(system, connections=size, warm_s=1 + size / 1000)


def keyed(size: int) -> AbstractContextManager[Loaded]:
    """So many keys of one tenant."""
    return _keyed(["bench"] * size)


def peopled(size: int) -> AbstractContextManager[Loaded]:
    """So many keys, each of a tenant of its own, which has a counter of its own in the ledger."""
    return _keyed([f"tenant-{number}" for number in range(size)])


@contextmanager
def _keyed(tenants: Sequence[str]) -> Iterator[Loaded]:
    """A key for each, made beside the running proxy, which takes them in by itself."""
    with systems.served("flat", PATIENT) as system:
        keys = make_keys(BUILD / "flat" / "keys.db", tenants)
        yield Loaded(system, ("-K", _listed("keys", keys)), before=max(len(keys), BEFORE))


@contextmanager
def routed(size: int) -> Iterator[Loaded]:
    """So many routes, each by the whole name of its model."""
    models = [f"model-{number:05}" for number in range(size)]
    routes = "".join(ROUTE.replace("model: mock-model", f"model: {model}") for model in models)
    with systems.served("flat", PATIENT.replace(ROUTE, routes)) as system:
        yield Loaded(system, ("-O", _listed("models", models)))


ROWS = (
    Row("connections", (64, 500, 2000), 0.25, {"nginx": nginx_connected, "fallthrough": connected}),
    Row("keys", (10, 10_000), 0.1, {"fallthrough": keyed}),
    Row("keys, a tenant each", (10, 10_000), 0.1, {"fallthrough": peopled}),
    Row("routes", (10, 1000), 0.1, {"fallthrough": routed}),
)


def measure(bench: Bench) -> Figures:
    """Processor time of a call at every size, by row and system."""
    allow_files(2 * max(ROWS[0].sizes) + OWN_FILES)
    found: Figures = {}
    for row in ROWS:
        found[row.what] = {}
        for name, grown in row.of.items():
            try:
                found[row.what][name] = _least(bench, row.sizes, grown)
            except Missing:
                continue  # only a yardstick can be missing
    return found


def _least(bench: Bench, sizes: tuple[int, ...], grown: Grown) -> dict[str, float]:
    runs: dict[str, list[float]] = {str(size): [] for size in sizes}
    for _ in range(bench.repeats):
        for size in sizes:
            with grown(size) as loaded:
                runs[str(size)].append(_cpu_us(bench, loaded))
    return {size: min(costs) for size, costs in runs.items()}


def _cpu_us(bench: Bench, loaded: Loaded) -> float:
    options = ("-c", str(loaded.connections), *loaded.options)
    load(bench, loaded.system, *options, "-n", str(loaded.before), "-w", "0", "-d", "120")
    timed = ("-w", str(loaded.warm_s), "-d", str(bench.seconds))
    return float(load(bench, loaded.system, *options, *timed)["cpu_us_per_req"])


def make_keys(path: Path, tenants: Sequence[str]) -> list[str]:
    """Keys as `fallthrough keys create` writes each, all at once; returns when the proxy knows them."""
    keys = [new_key() for _ in tenants]
    now_us = time.time_ns() // 1000
    lines = [(key.key_id, key.digest, tenant, "", now_us) for key, tenant in zip(keys, tenants, strict=True)]
    with closing(keyfile.connect(path)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO keys VALUES (?, ?, ?, ?, ?, NULL, NULL)", lines)
        connection.execute("COMMIT")
    texts = [key.text for key in keys]
    _until_known(texts[-1])
    return texts


def _until_known(key: str) -> None:
    """Running processes look for new keys twice a second."""
    ends = time.perf_counter() + 10
    while time.perf_counter() < ends:
        connection = HTTPConnection("127.0.0.1", PROXY_PORT, timeout=5)
        with closing(connection):
            connection.request("GET", "/v1/models", headers={"authorization": f"Bearer {key}"})
            if connection.getresponse().status == 200:
                return
        time.sleep(0.1)
    raise SystemExit("the proxy does not take in the keys that were made")


def _listed(name: str, lines: Sequence[str]) -> str:
    """A file for the load generator, beside what the proxy has."""
    path = BUILD / "flat" / f"{name}.txt"
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def allow_files(wanted: int) -> None:
    """Let what is started here open so many files; a shell often allows a thousand."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        if hard != resource.RLIM_INFINITY and hard < wanted:
            raise Missing(f"a process may open only {hard} files here, and {wanted} are needed; ulimit -Hn")
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


COLUMNS = ("nginx", "more", "fallthrough", "more", "goal")


def rows(found: Figures) -> Iterator[tuple[str, ...]]:
    """The lines of the table: what there is, each system's cost and how much more it is, and the goal."""
    for row in ROWS:
        for size in row.sizes:
            first = size == row.sizes[0]
            cells: list[str] = []
            for name in ("nginx", "fallthrough"):
                costs = found[row.what].get(name)
                if costs is None:
                    cells += ["-", ""]
                    continue
                cost, base = costs[str(size)], costs[str(row.sizes[0])]
                cells += [f"{cost:,.0f}", "" if first else f"{cost / base - 1:+.0%}"]
            yield f"{size:,} {row.what}", *cells, "" if first else f"{row.goal:+.0%}"
