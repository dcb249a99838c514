"""A stream of every dialect cut at every byte of its wire: whole, or another's, or a typed error, unmixed."""

import asyncio
from collections import Counter
from collections.abc import Iterator

import pytest
import uvloop
from openai import OpenAI

from tests.endurance.cutting import GOLDEN, SPARE, TEXT, WAYS, Cut, Cutter, Read, asked, read, wire
from tests.kit.one_loop import one_loop

CALLERS = 32
WELL = 100
"""Of so many streams one is left whole, so that no breaker opens."""


def table() -> str:
    upstreams, routes = ["upstreams:\n"], ["routes:\n"]

    def upstream(name: str, dialect: str, path: str) -> None:
        where = f'base_url: "http://127.0.0.1:{{port}}/{path}/v1", breaker: {{{{failures: 1000}}}}'
        upstreams.append(f"  {name}: {{{{dialect: {dialect}, {where}}}}}\n")

    def route(model: str, first: str, second: str, on_midstream: str) -> None:
        rules = f"targets: [{first}/m, {second}/m], on_midstream: {on_midstream}"
        routes.append(f"  - {{{{model: {model}, {rules}}}}}\n")

    upstream("spare", "openai", "spare")
    for dialect in GOLDEN:
        upstream(dialect, dialect, "first")
        upstream(f"{dialect}-again", dialect, "again")
        route(f"{dialect}-ends", dialect, "spare", "error")
        route(f"{dialect}-mended", dialect, f"{dialect}-again", "restart")
    return "".join(upstreams + routes)


def cuts(dialect: str, every: int) -> Iterator[Cut]:
    """Each way at every so many bytes, and a whole one now and then."""
    for way in WAYS:
        size = len(wire(dialect, way))
        for number, at in enumerate(range(0, size + 1, every)):
            yield Cut(dialect, way, at)
            if number % WELL == 0:
                yield Cut(dialect, way, size)


async def played(folder, dialect: str, every: int, model: str) -> list[tuple[Cut, Read]]:
    """Every cut of a dialect, and what the SDK read."""
    waiting, found = cuts(dialect, every), []
    with OpenAI(api_key="x", base_url="http://proxy") as sdk:
        async with one_loop(folder, table(), Cutter) as inside:

            async def caller() -> None:
                asker = await inside.asker()
                for cut in waiting:
                    got = await asked(asker, cut, model)
                    found.append((cut, read(sdk, got)))
                asker.leave("close")

            await asyncio.gather(*(caller() for _ in range(CALLERS)))
            await inside.quiet()
        results = Counter(result for kind, _, result in inside.rows() if kind in {"commit", "release"})
    assert results["ok"] == sum(one.whole for _, one in found)
    assert results["broken"] == sum(not one.whole for _, one in found)
    return found


def check_unmended(found: list[tuple[Cut, Read]]) -> None:
    for cut, one in found:
        if not one.whole:
            assert TEXT.startswith(one.text), cut
            assert one.text, cut
            assert one.code == "upstream_broken", cut
        elif one.text != SPARE:
            assert one.text == TEXT, cut
            assert cut.finished, cut
    ends = Counter((one.whole, one.text == SPARE) for _, one in found)
    assert set(ends) == {(True, True), (True, False), (False, False)}, "all three happen"


def check_mended(found: list[tuple[Cut, Read]]) -> None:
    for cut, one in found:
        assert one.text == TEXT, cut
        # Where the finish is out the text is whole; that its end was cut off is told, and nobody asked again.
        assert one.whole or (cut.finished and one.code == "upstream_broken"), cut


SAMPLE = 7
"""Bytes from one cut to the next in the tests of every day; all of them in the long ones."""


@pytest.mark.fault("c2-mended")
@pytest.mark.parametrize("dialect", GOLDEN)
def test_a_cut_stream_that_is_mended_is_whole_and_nothing_of_it_is_said_twice(tmp_path, dialect):
    check_mended(uvloop.run(played(tmp_path, dialect, SAMPLE, "mended")))


@pytest.mark.fault("c2-cut")
@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("dialect", GOLDEN)
def test_a_stream_cut_at_every_byte_is_whole_or_anothers_or_a_typed_error(tmp_path, dialect):
    check_unmended(uvloop.run(played(tmp_path, dialect, 1, "ends")))


@pytest.mark.fault("c2-mended")
@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("dialect", GOLDEN)
def test_a_stream_cut_at_every_byte_that_is_mended_is_whole(tmp_path, dialect):
    check_mended(uvloop.run(played(tmp_path, dialect, 1, "mended")))


@pytest.mark.fault("c2-cut")
@pytest.mark.parametrize("dialect", GOLDEN)
def test_a_cut_stream_is_whole_or_anothers_or_a_typed_error(tmp_path, dialect):
    check_unmended(uvloop.run(played(tmp_path, dialect, SAMPLE, "ends")))
