"""An edited table: taken whole, or not at all and told."""

import asyncio
import os
from pathlib import Path

import pytest

from proxy.call import Kind, Phase, Signal
from proxy.config import load
from proxy.config.regular import stamp_of
from proxy.duties.reload import GONE_LOOKS, Standing, fresh_snapshot, reload_table
from proxy.policy.classify import classify
from proxy.policy.leave import Ticket
from proxy.relay import Desk
from proxy.store.recall import MemoryRecall
from tests.kit.scripted_ports import MemoryLedger, RecordingCaller, ScriptedUpstreams, call, stream
from tests.kit.virtual import SeededDice, VirtualClock, play

TABLE = """
upstreams:
  a: {{dialect: openai, base_url: "http://127.0.0.1:1/v1"}}
  b: {{dialect: openai, base_url: "http://127.0.0.1:2/v1"}}
routes:
  - {{model: chat, targets: [{target}]}}
"""
GONE, BACK, ASK = "gone", "back", "ask"


class Files:
    """A file to edit, and a sleep that edits it at the right moment."""

    def __init__(self, path: Path, *edits):
        self.path = path
        self.path.write_text(TABLE.format(target="a/m"))
        self.edits = list(edits)
        self.told: list[bool] = []
        self.standing: Standing | None = None

    async def sleep(self, seconds: float) -> None:
        """Each sleep ends with the next edit; None edits nothing; past the last one the watch is over.

        `GONE` takes the file away, `BACK` puts it back as it was, `ASK` asks for it as it is.
        """
        if not self.edits:
            raise asyncio.CancelledError
        edit = self.edits.pop(0)
        if edit is GONE:
            self.path.rename(self.path.with_name("away"))
        elif edit is BACK:
            self.path.with_name("away").rename(self.path)
        elif edit is ASK:
            self.standing.ask()
        elif edit is not None:
            fresh = self.path.with_name(f"next-{len(self.edits)}")
            fresh.write_text(edit)
            fresh.rename(self.path)


def watch(files: Files, upstreams=None, while_starting: str | None = None) -> Standing:
    """Play the duty to the end of the edits."""

    async def story():
        loaded = load(files.path, {})
        if while_starting is not None:
            files.path.write_text(while_starting)
        desk = Desk(
            fresh_snapshot(loaded.table),
            upstreams or ScriptedUpstreams(a=[stream("a")], b=[stream("b")]),
            MemoryLedger(),
            MemoryRecall(VirtualClock()),
            VirtualClock(),
            SeededDice(),
        )
        standing = files.standing = Standing(desk, loaded.settings, lambda table: table, loaded.stamp)
        look, read = (lambda: stamp_of(files.path)), (lambda: load(files.path, {}))
        with pytest.raises(asyncio.CancelledError):
            await reload_table(standing, look, read, files.told.append, files.sleep)
        return standing

    return asyncio.run(story())


def target(standing: Standing) -> str:
    return str(standing.table.routes[0].targets[0])


def test_an_edit_is_in_force_after_two_looks(tmp_path):
    files = Files(tmp_path / "t.yaml", TABLE.format(target="b/m"), None)
    assert target(watch(files)) == "b/m"
    assert files.told == [True]


def test_a_table_that_is_asked_for_is_read_once_though_nobody_edited_it(tmp_path):
    files = Files(tmp_path / "t.yaml", None, ASK, None, None, None)
    assert target(watch(files)) == "a/m"
    assert files.told == [True]


class Pipes(Files):
    """An edit that is `PIPE` puts a pipe in the file's place, into which nobody writes."""

    async def sleep(self, seconds: float) -> None:
        if self.edits[:1] == [PIPE]:
            self.edits.pop(0)
            self.path.unlink()
            os.mkfifo(self.path)
        else:
            await super().sleep(seconds)


PIPE = "pipe"


def test_a_pipe_in_the_place_of_the_file_is_told_and_the_next_edit_is_taken(tmp_path):
    files = Pipes(tmp_path / "t.yaml", PIPE, None, None, TABLE.format(target="b/m"), None)
    assert target(watch(files)) == "b/m"
    assert files.told == [False, True]


@pytest.mark.fault("d9-half")
def test_a_file_that_is_still_being_written_is_left_alone(tmp_path):
    files = Files(tmp_path / "t.yaml", TABLE.format(target="b/m"), TABLE.format(target="b/n"))
    assert target(watch(files)) == "a/m"
    assert files.told == []


@pytest.mark.fault("d9-faulty")
def test_a_faulty_edit_changes_nothing_and_is_told(tmp_path):
    files = Files(tmp_path / "t.yaml", "routes: []", None)
    standing = watch(files)
    assert target(standing) == "a/m"
    assert "last good table stays" in standing.trouble
    assert files.told == [False]


def test_a_mended_file_ends_the_trouble(tmp_path):
    files = Files(tmp_path / "t.yaml", "routes: []", None, TABLE.format(target="b/m"), None)
    standing = watch(files)
    assert target(standing) == "b/m"
    assert standing.trouble is None
    assert files.told == [False, True]


@pytest.mark.fault("d9-half")
def test_a_swapped_symlink_counts_as_an_edit(tmp_path):
    """As Kubernetes does with `..data`."""
    for name, where in (("one", "a/m"), ("two", "b/m")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "t.yaml").write_text(TABLE.format(target=where))
    (tmp_path / "..data").symlink_to("one")
    (tmp_path / "t.yaml").symlink_to("..data/t.yaml")
    before = stamp_of(tmp_path / "t.yaml")
    (tmp_path / "..new").symlink_to("two")
    (tmp_path / "..new").rename(tmp_path / "..data")
    assert stamp_of(tmp_path / "t.yaml") != before


def test_a_file_that_is_gone_for_a_moment_is_no_edit(tmp_path):
    files = Files(tmp_path / "t.yaml", GONE, *[None] * (GONE_LOOKS - 2), BACK, None, None)
    assert watch(files).trouble is None
    assert files.told == []


def test_a_file_that_stays_away_is_told_once_and_changes_nothing(tmp_path, caplog):
    files = Files(tmp_path / "t.yaml", GONE, *[None] * (3 * GONE_LOOKS))
    standing = watch(files)
    assert target(standing) == "a/m"
    assert standing.trouble == "the file is gone; the last good table stays"
    assert standing.faults == (standing.trouble,)
    assert files.told == [False]
    assert caplog.text.count("the table's file is gone") == 1


@pytest.mark.parametrize("back", [BACK, TABLE.format(target="b/m")])
def test_a_file_that_is_back_ends_the_trouble_though_it_is_the_same(tmp_path, back):
    files = Files(tmp_path / "t.yaml", GONE, *[None] * GONE_LOOKS, back, None)
    standing = watch(files)
    assert target(standing) == ("a/m" if back is BACK else "b/m")
    assert standing.trouble is None
    assert files.told == [False, True]


def test_what_is_known_of_an_upstream_outlives_the_edit(tmp_path):
    """A breaker that has counted four failures opens with the fifth, whichever table is in force."""

    async def story():
        path = tmp_path / "t.yaml"
        path.write_text(TABLE.format(target="a/m"))
        loaded = load(path, {})
        old = fresh_snapshot(loaded.table)
        signal = Signal(Kind.OVERLOADED, Phase.HEADERS, 500)
        for snapshot in [old] * 4 + [fresh_snapshot(loaded.table, old)]:
            ticket = snapshot.health.admit(snapshot.table.routes[0].targets[0], 0.0, last=False)
            assert isinstance(ticket, Ticket)
            snapshot.health.failed(ticket, classify(signal), signal, 0.0, SeededDice())
        return snapshot.health.state("a", 0.0)

    assert play(story()) == "open"


@pytest.mark.fault("d10-under-way")
def test_a_call_keeps_the_table_it_began_with(tmp_path):
    """The table is swapped while the answer is under way; the call ends where it began."""

    async def story():
        path = tmp_path / "t.yaml"
        path.write_text(TABLE.format(target="a/m"))
        loaded = load(path, {})
        upstreams = ScriptedUpstreams(a=[stream("from a")], b=[stream("from b")])
        desk = Desk(
            fresh_snapshot(loaded.table),
            upstreams,
            MemoryLedger(),
            MemoryRecall(VirtualClock()),
            VirtualClock(),
            SeededDice(),
        )
        standing = Standing(desk, loaded.settings, lambda table: table)
        first, second = RecordingCaller(), RecordingCaller()
        under_way = standing.answer(first, call(1))
        path.write_text(TABLE.format(target="b/m"))
        standing.take(load(path, {}))
        await under_way
        await standing.answer(second, call(2))
        return first.text, second.text

    assert play(story()) == ("from a", "from b")


@pytest.mark.fault("d10-rotated")
def test_a_key_that_was_changed_goes_with_the_next_call_and_an_earlier_one_keeps_its_own(tmp_path):
    async def story():
        path = tmp_path / "t.yaml"
        path.write_text(TABLE.format(target="a/m").replace('/v1"}', '/v1", api_key: "${KEY}"}'))
        upstreams = ScriptedUpstreams(a=[stream("fine")], b=[stream("fine")])
        loaded = load(path, {"KEY": "sk-old"})
        desk = Desk(
            fresh_snapshot(loaded.table),
            upstreams,
            MemoryLedger(),
            MemoryRecall(VirtualClock()),
            VirtualClock(),
            SeededDice(),
        )
        standing = Standing(desk, loaded.settings, lambda table: table)
        under_way = standing.answer(RecordingCaller(), call(1))
        standing.take(load(path, {"KEY": "sk-new"}))
        await under_way
        await standing.answer(RecordingCaller(), call(2))
        return [dict(request.headers)["authorization"] for request in upstreams.requests]

    assert play(story()) == ["Bearer sk-old", "Bearer sk-new"]


def test_an_edit_made_while_the_program_starts_is_not_missed(tmp_path):
    """The file was read, and what watches it does not run yet."""
    files = Files(tmp_path / "t.yaml", None, None)
    standing = watch(files, while_starting=files.path.read_text().replace("a/m", "b/m"))
    assert target(standing) == "b/m"
    assert files.told == [True]


def test_a_file_that_was_not_edited_is_not_read_again(tmp_path):
    files = Files(tmp_path / "t.yaml", None, None, None)
    watch(files)
    assert files.told == []
