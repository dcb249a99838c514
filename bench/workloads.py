"""The loads and the figures taken from them. Every answer is checked by the load generator.

Used by `__main__.py`. Processor time is the system's own, of it and all below it, summed by the
kernel: whatever else runs on the machine disturbs latencies, not these.
"""

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from bench.processes import BUILD, LOAD_CORE, on_core, pss_kib, thread_s
from bench.systems import System

Figures = dict[str, Any]

OPEN_STREAMS = 500
OURS = "fallthrough"
RESTING = ("-c", "64", "-T", "64000", "-R", "64")
"""Connections, and microseconds of rest between an answer and the next call; begun one after the other."""


@dataclass(frozen=True, slots=True)
class Bench:
    """How long and how often to measure."""

    mock_pid: int
    seconds: float = 4.0
    repeats: int = 3


class Silent(Exception):
    """A system that answered nothing while it was measured: the load is beyond it."""


def load(bench: Bench, system: System, *options: str) -> Figures:
    """One run of the load generator."""
    command = [str(BUILD / "load"), "-x", "-k", system.key, "-i", str(system.pid), "-M", str(bench.mock_pid)]
    for line in system.headers:
        command += ["-H", line]
    command += [*options, f"http://127.0.0.1:{system.port}"]
    run = subprocess.run(
        on_core(LOAD_CORE, command), capture_output=True, text=True, check=False, timeout=180
    )
    if run.returncode:
        raise SystemExit(f"the load generator failed: {' '.join(command)}\n{run.stderr}")
    figures: Figures = json.loads(run.stdout)
    if figures["errors"]:
        raise SystemExit(f"{system.name} answers wrongly ({figures['errors']} errors):\n{run.stderr[:2000]}")
    if not figures["ok"] + figures.get("chunks", 0):
        raise Silent(system.name)
    return figures


def repeated(bench: Bench, run: Callable[[], Figures], rank: Callable[[Figures], float]) -> Figures:
    """The middle one of several runs as they rank, with what ranked lowest and highest."""
    ranked = sorted((run() for _ in range(bench.repeats)), key=rank)
    return ranked[len(ranked) // 2] | {"low": rank(ranked[0]), "high": rank(ranked[-1])}


def spread(found: Figures) -> Figures:
    """How far the runs were apart, of the figure that they were ranked by."""
    return {"low": found["low"], "high": found["high"]}


def alone(bench: Bench, system: System) -> Figures:
    """Whole calls one after the other on one connection: what a call waits for us."""
    return calm(bench, system, "-c", "1")


def alone_streamed(bench: Bench, system: System) -> Figures:
    """The same for streams of ten chunks, up to the first."""
    return calm(bench, system, "-s", "-N", "10", "-c", "1", latency="ttft_us")


def beside(bench: Bench, system: System) -> Figures:
    """Whole calls on 64 connections that rest between them: some 1,000 a second if answered soon."""
    return calm(bench, system, *RESTING)


def beside_streamed(bench: Bench, system: System) -> Figures:
    """The same for streams of ten chunks, up to the first."""
    return calm(bench, system, "-s", "-N", "10", *RESTING, latency="ttft_us")


def calm(bench: Bench, system: System, *options: str, latency: str = "lat_us") -> Figures:
    """What calls wait for where nobody is at the limit."""
    seconds = str(bench.seconds / 2)
    found = repeated(
        bench,
        lambda: load(bench, system, *options, "-w", "0.5", "-d", seconds),
        lambda figures: figures[latency]["p50"],
    )
    return {"p50_us": found[latency]["p50"], "p99_us": found[latency]["p99"], **spread(found)}


def calls(bench: Bench, system: System) -> Figures:
    """Whole calls on 64 connections, 1 KB in and 700 bytes out: the most that one core takes."""
    seconds = str(bench.seconds)
    before = thread_s(system.pid)
    found = repeated(
        bench,
        lambda: load(bench, system, "-c", "64", "-w", "1", "-d", seconds),
        lambda figures: figures["cpu_us_per_req"],
    )
    cpu_us = found["cpu_us_per_req"]
    figures = {"per_s": found["rps"], "cpu_us": cpu_us, **spread(found)}
    return figures | by_thread(system.pid, before, cpu_us) if system.name == OURS else figures


def by_thread(pid: int, before: Mapping[int, float], cpu_us: float) -> Figures:
    """The cost of a call, shared out by what our threads worked since `before`.

    The first thread has the loop; of the others only the one that writes the ledger has work while calls
    are all there is to do, so the busiest is that. Nothing, where the kernel does not tell.
    """
    worked = {thread: spent - before.get(thread, 0.0) for thread, spent in thread_s(pid).items()}
    if not sum(worked.values()):
        return {}
    shares = {thread: spent / sum(worked.values()) for thread, spent in worked.items()}
    loop = shares.pop(pid)
    writer = max(shares.values(), default=0.0)
    return {
        "loop_us": cpu_us * loop,
        "writer_us": cpu_us * writer,
        "others_us": cpu_us * (sum(shares.values()) - writer),
    }


def paced(bench: Bench, system: System) -> Figures:
    """40 streams with a chunk every 20 ms, so that each chunk comes alone: the usual life of a stream."""
    return at_a_pace(bench, system, 40)


def crowded(bench: Bench, system: System) -> Figures:
    """200 such streams: 10,000 chunks a second, and a hundred new streams among them."""
    return at_a_pace(bench, system, 200)


def at_a_pace(bench: Bench, system: System, streams: int) -> Figures:
    """So many streams of 100 chunks, one every 20 ms, begun one after the other."""
    pace = ("-s", "-c", str(streams), "-p", "20000", "-R", "1900")
    found = repeated(
        bench,
        lambda: load(bench, system, *pace, "-w", "4", "-d", str(bench.seconds)),
        lambda figures: figures["cpu_us_per_chunk"],
    )
    way, gap, first = found["chunk_way_us"], found["gap_us"], found["ttft_us"]
    return {
        "cpu_us": found["cpu_us_per_chunk"],
        "per_s": found["chunks_per_s"],
        "way_p50_us": way["p50"],
        "way_p99_us": way["p99"],
        "gap_p99_us": gap["p99"],
        # None began where the streams before it took all of the time.
        "first_p50_us": first["p50"] if first["n"] else None,
        "first_p99_us": first["p99"] if first["n"] else None,
        **spread(found),
    }


def rushed(bench: Bench, system: System) -> Figures:
    """32 streams as fast as they go: several chunks may be found in one read."""
    found = repeated(
        bench,
        lambda: load(bench, system, "-s", "-c", "32", "-w", "1", "-d", str(bench.seconds)),
        lambda figures: figures["cpu_us_per_chunk"],
    )
    return {"per_s": found["chunks_per_s"], "cpu_us": found["cpu_us_per_chunk"], **spread(found)}


def memory(bench: Bench, system: System, idle_kib: int) -> Figures:
    """Memory with 500 streams open, a chunk each every 200 ms."""
    slow = ("-s", "-c", str(OPEN_STREAMS), "-p", "200000", "-N", "100", "-R", "3000")
    found = load(bench, system, *slow, "-w", "5", "-d", "3")
    each = (found["pss_mb"] * 1024 - idle_kib) / max(1, found["open"])
    return {"idle_mb": round(idle_kib / 1024, 1), "per_stream_kib": round(each, 1), "open": found["open"]}


LOADS = (alone, alone_streamed, beside, beside_streamed, calls, paced, crowded, rushed)


def measure(bench: Bench, system: System) -> Figures:
    """Every figure of one system."""
    found: Figures = {"start_s": system.start_s}
    loads = {run.__name__: run for run in LOADS}
    if system.name != "direct":
        idle_kib = pss_kib(system.pid)
        loads["memory"] = partial(memory, idle_kib=idle_kib)  # last: some never recover from it
    longer = replace(bench, seconds=8 * bench.seconds, repeats=1)  # for whom no answer was whole in that time
    with suppress(Silent):  # what a system puts off until its first calls is not what a call costs
        load(bench, system, "-c", "8", "-n", "200", "-w", "0", "-d", "20")
    for name, run in loads.items():
        for each in (bench, longer):
            with suppress(Silent):
                found[name] = run(each, system)
                break
    return found


Line = tuple[str, Callable[[Figures], Any]]
"""What a line of the table says, and how to read it off a system's figures."""


def rows(results: Mapping[str, Figures]) -> Sequence[Line]:
    """The lines of the table."""
    return (
        *_of_processor(),
        *_of_latency(results["direct"]),
        ("chunks of those 10,000 a second", lambda f: f["crowded"]["per_s"]),
        ("calls a second, one core", lambda f: f["calls"]["per_s"]),
        ("memory when idle, PSS (MB)", lambda f: f["memory"]["idle_mb"]),
        ("memory of an open stream, PSS (KiB)", lambda f: f["memory"]["per_stream_kib"]),
        ("start to first answer (s)", lambda f: f["start_s"]),
    )


def _of_processor() -> Sequence[Line]:
    def runs(load: str) -> Line:
        return "… least and most of the runs", lambda f: (f[load]["low"], f[load]["high"])

    return (
        ("processor, a whole call (us)", lambda f: f["calls"]["cpu_us"]),
        runs("calls"),
        ("… of it in the thread of the loop", lambda f: f["calls"]["loop_us"]),
        ("… in the thread that writes the ledger", lambda f: f["calls"]["writer_us"]),
        ("… in all others", lambda f: f["calls"]["others_us"]),
        ("processor, a chunk that comes alone (us)", lambda f: f["paced"]["cpu_us"]),
        runs("paced"),
        ("… of 10,000 a second", lambda f: f["crowded"]["cpu_us"]),
        runs("crowded"),
        ("processor, a chunk in a rush (us)", lambda f: f["rushed"]["cpu_us"]),
        runs("rushed"),
    )


def _of_latency(direct: Figures) -> Sequence[Line]:
    """What a system adds to what who is asked directly takes."""

    def added(load: str, figure: str) -> Callable[[Figures], Any]:
        def beyond_direct(found: Figures) -> float | None:
            value = found[load][figure]
            return None if value is None else value - direct[load][figure]

        return beyond_direct

    def medians(load: str) -> Line:
        own = direct[load]["p50_us"]
        return "… least and most of the runs", lambda f: (f[load]["low"] - own, f[load]["high"] - own)

    return (
        ("added latency of a call, median (us)", added("alone", "p50_us")),
        medians("alone"),
        ("added latency of a call, p99 (us)", added("alone", "p99_us")),
        ("… on 64 connections, median", added("beside", "p50_us")),
        medians("beside"),
        ("… on 64 connections, p99", added("beside", "p99_us")),
        ("added to a first token, median (us)", added("alone_streamed", "p50_us")),
        medians("alone_streamed"),
        ("added to a first token, p99 (us)", added("alone_streamed", "p99_us")),
        ("… on 64 connections, median", added("beside_streamed", "p50_us")),
        medians("beside_streamed"),
        ("… on 64 connections, p99", added("beside_streamed", "p99_us")),
        ("… beside 200 streams, median", added("crowded", "first_p50_us")),
        ("… beside 200 streams, p99", added("crowded", "first_p99_us")),
        ("added delay of a chunk, median (us)", added("paced", "way_p50_us")),
        ("added delay of a chunk, p99 (us)", added("paced", "way_p99_us")),
        ("… beside 200 streams, p99", added("crowded", "way_p99_us")),
        ("added gap between chunks there, p99 (us)", added("crowded", "gap_p99_us")),
    )
