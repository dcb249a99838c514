"""Retention: at the start, once an hour, and as soon as the table asks for another."""

import asyncio

import pytest
from msgspec.structs import replace

from proxy.duties.retention import EVERY_S, LOOK_S, WHO, keep_retention
from proxy.ports import Declined
from proxy.table import Privacy, Table
from tests.duties.test_supervisor import Clock
from tests.kit.virtual import SeededDice

DAY_S = 86_400.0


class Books:
    """A ledger that notes what it is asked to prune."""

    def __init__(self, problem=None):
        self.asked = []
        self.problem = problem

    async def prune(self, act, before_us):
        self.asked.append((act, before_us))
        if self.problem:
            raise Declined(self.problem)
        return 1024


async def play(books, looks, edits):
    """So many looks at tables that are edited before some of them."""
    clock, seen = Clock(), []
    table = [Table({}, ())]

    def now():
        table[0] = replace(
            table[0], privacy=Privacy(retention_s=edits.get(len(seen), table[0].privacy.retention_s))
        )
        seen.append(clock.mono())
        if len(seen) > looks:
            raise asyncio.CancelledError
        return table[0]

    with pytest.raises(asyncio.CancelledError):
        await keep_retention(now, books, clock, SeededDice(1), clock.sleep)
    return [(act.at_us, before_us) for act, before_us in books.asked]


async def test_old_rows_go_at_the_start_and_once_an_hour():
    looks = int(2 * EVERY_S / LOOK_S) + 1
    told = await play(Books(), looks, {0: DAY_S})
    hours = [round(number * EVERY_S * 1e6) for number in range(3)]
    assert told == [(at_us, at_us - round(DAY_S * 1e6)) for at_us in hours]


async def test_an_edited_table_is_heeded_at_the_next_look():
    told = await play(Books(), 5, {1: 2 * DAY_S, 3: DAY_S})
    assert [(at_us - before_us) / 1e6 for at_us, before_us in told] == [2 * DAY_S, DAY_S]


async def test_without_retention_nothing_goes():
    assert await play(Books(), 200, {}) == []


async def test_each_time_is_an_act_of_its_own_by_the_table():
    books = Books()
    await play(books, 100, {0: DAY_S})
    assert len({act.id for act, _ in books.asked}) == 2
    assert {act.who for act, _ in books.asked} == {WHO}


async def test_what_is_declined_is_told_and_tried_again_in_an_hour(caplog):
    books = Books("row 4 is not what was written")
    await play(books, 100, {0: DAY_S})
    assert len(books.asked) == 2
    assert "row 4 is not what was written" in caplog.text
