"""A thousand edits of the table under load, every other one faulty: no call fails, and nothing piles up."""

import asyncio
import logging
from functools import partial
from itertools import count

import pytest
import uvloop

from proxy.config import load
from proxy.config.regular import stamp_of
from proxy.duties.reload import reload_table
from tests.endurance.test_soak import check
from tests.kit.one_loop import DONE, LAST, SETTINGS, TOKENS, Alive, Inside, ask, one_loop, until

TABLE = """
upstreams:
  steady: {{{{dialect: openai, base_url: "http://127.0.0.1:{{port}}/v1"}}}}
  {name}:
    dialect: openai
    base_url: "http://127.0.0.1:{{port}}/{edit}/v1"
    timeouts: {{{{idle: 10m}}}}
routes:
  - {{{{model: chat, targets: [{name}/m]}}}}
  - {{{{model: steady, targets: [steady/m]}}}}
"""
NAMES = 20
"""So many names come and go; each time somewhere else."""
FAULTY = ("upstreams: {}\nroutes: []\n", "routes: [", "\xff", "upstreams: {a: {dialect: klingon}}\n", "")
CALLERS = 8
BETWEEN = 4
"""Calls that are answered between two edits."""


def table(edit: int) -> str:
    return TABLE.format(name=f"name-{edit // 2 % NAMES}", edit=edit)


def written(inside: Inside, edit: int) -> str:
    return SETTINGS.format(folder=inside.folder) + table(edit).format(port=inside.upstreams.port)


class Callers:
    """Who call while the table is edited: one after another, each streamed and whole."""

    def __init__(self, inside: Inside) -> None:
        self._inside = inside
        self._over = False
        self.answered = 0

    async def run(self) -> None:
        asker = await self._inside.asker()
        while not self._over:
            got = await asker.call("well", model=("chat", "steady")[self.answered % 2])
            assert got.startswith(b"HTTP/1.1 200")
            assert all(word.encode() in got for word in TOKENS)
            assert DONE in got
            self.answered += 1
        asker.leave("close")

    async def through(self, work) -> None:
        """Call as long as `work` lasts."""
        async with asyncio.TaskGroup() as group:
            for _ in range(CALLERS):
                group.create_task(self.run())
            await work
            self._over = True


class Editor:
    """Writes the next edit whenever the duty looks; past the last one its watch is over."""

    def __init__(self, inside: Inside, callers: Callers, edits: range) -> None:
        self.taken: list[bool] = []
        self._inside = inside
        self._callers = callers
        self._edits = iter(edits)
        self._turns = count()

    async def sleep(self, seconds: float) -> None:
        if next(self._turns) % 2:
            return  # the moment for which a file must lie still
        enough = self._callers.answered + BETWEEN
        await until(lambda: self._callers.answered >= enough)
        edit = next(self._edits, None)
        if edit is None:
            raise asyncio.CancelledError
        text = FAULTY[edit // 2 % len(FAULTY)] if edit % 2 else written(self._inside, edit)
        fresh = self._inside.folder / "next.yaml"
        fresh.write_bytes(text.encode("latin-1"))
        fresh.replace(self._inside.folder / "proxy.yaml")

    async def edit(self) -> None:
        """Edit to the end, by the duty that does it in a running proxy."""
        path = self._inside.folder / "proxy.yaml"
        look, read = partial(stamp_of, path), partial(load, path, {})
        duty = reload_table(self._inside.standing, look, read, self.taken.append, self.sleep)
        watch = asyncio.create_task(duty)
        await asyncio.wait([watch])
        assert watch.cancelled()


async def edit_under_load(folder, edits: int) -> tuple[Alive, Alive]:
    async with one_loop(folder, table(0)) as inside:

        async def edited(which: range) -> Alive:
            callers = Callers(inside)
            editor = Editor(inside, callers, which)
            await callers.through(editor.edit())
            assert editor.taken == [edit % 2 == 0 for edit in which]
            await inside.idle(left=1)
            # A new upstream, called once: the moment in which what was left of the old ones goes.
            path = inside.folder / "proxy.yaml"
            path.write_text(written(inside, which.stop + 1000 * NAMES))
            inside.standing.take(load(path, {}))
            last = await inside.asker()
            await last.call("well")
            last.leave("close")
            await inside.idle(left=1)
            return Alive.now()

        long = await inside.asker()
        long.transport.write(ask("4 long"))
        await long.until(b" one")
        before = await edited(range(2, 4 * NAMES))
        after = await edited(range(4 * NAMES, 4 * NAMES + edits))
        inside.upstreams.let_go()
        assert DONE in await long.until(LAST)
        long.leave("close")
        await inside.quiet()
    results = {result for kind, _, result in inside.rows() if kind in {"commit", "release", "expire"}}
    assert results == {"ok"}
    return before, after


@pytest.mark.fault("d10-thousand")
@pytest.mark.timeout(180)
def test_a_thousand_edits_under_load_fail_no_call_and_leave_nothing_behind(tmp_path, caplog):
    caplog.set_level(logging.CRITICAL)  # what is logged is kept until the test is over
    check(*uvloop.run(edit_under_load(tmp_path, 1000)))
