"""Acts from the command line: asked of the proxy that runs, or carried out here where none does.

`ledger erase`, `ledger prune` and `limits reset` post a letter in `keys.db` and wait for its answer.
As long as nobody owns the ledger this process owns it for a moment and answers its own letter; if it
is killed, whoever opens the ledger next finds the letter. So an act is begun and ended in one way only.
"""

import asyncio
import os
import pwd
import secrets
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

import click

from proxy.cli.keys import ProcessClock
from proxy.duties.acts import KEPT_US, Answer, Office
from proxy.ports import Act
from proxy.store import StoreRefused, open_keys, open_ledger
from proxy.store.fault import Owned
from proxy.store.recall import MemoryRecall
from proxy.store.sqlite.keys import SqliteKeys

LOOK_S = 0.05
PATIENT_LOOKS = 100
"""After so many the operator is told what is waited for."""

Post = Callable[[SqliteKeys, Act], Awaitable[bool]]
"""Writes the letter; False: there is nothing to ask for."""


def ask(place: Path, kind: str, post: Post) -> Answer | None:
    """What came of an act; None: there was nothing to ask for."""
    clock = ProcessClock()
    act = Act(f"{kind}_{secrets.token_hex(12)}", clock.wall_us(), operator())
    try:
        answer = asyncio.run(_ask(place, act, post, clock))
    except (StoreRefused, sqlite3.Error) as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        message = "not waited for: what was asked will be done by the proxy that runs, or by its next start"
        raise click.ClickException(message) from None
    if answer is not None and "problem" in answer:
        raise click.ClickException(answer["problem"])
    return answer


def operator() -> str:
    """Who is at the command line, as audit rows have it."""
    number = os.getuid()
    try:
        return f"os:{pwd.getpwuid(number).pw_name}"
    except KeyError:
        return f"os:{number}"


async def _ask(place: Path, act: Act, post: Post, clock: ProcessClock) -> Answer | None:
    async with open_keys(place.with_name("keys.db"), clock=clock) as keys:
        await keys.mailbox.clear(act.at_us - KEPT_US)
        if not await post(keys, act):
            return None
        looks = 0
        while (answer := await keys.mailbox.answer_to(act.id)) is None:
            looks += 1
            if looks == PATIENT_LOOKS:
                click.echo("waiting for the process that owns the ledger", err=True)
            try:
                await _answer_here(place, keys, clock)
            except Owned:
                await asyncio.sleep(LOOK_S)
        await keys.mailbox.take(act.id)
        return answer


async def _answer_here(place: Path, keys: SqliteKeys, clock: ProcessClock) -> None:
    """Own the ledger for as long as it takes to answer all letters. Raises `Owned` where a proxy does."""
    async with open_ledger(place, clock=clock, on_alert=lambda _: None, seal=keys.seal) as ledger:
        office = Office(ledger, keys, (MemoryRecall(clock),))
        for letter in await keys.mailbox.unanswered():
            await keys.mailbox.answer(letter, await office.carry_out(letter))
