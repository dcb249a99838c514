"""Acts from the command line: asked of the proxy that runs, or carried out here where none does.

`ledger erase`, `ledger prune` and `limits reset` post a letter beside the keys and wait for its answer.
As long as nobody serves the ledger this process does so for a moment and answers its own letter; if it
is killed, whoever serves the ledger next finds the letter. So an act is begun and ended in one way only.
"""

import asyncio
import os
import pwd
import secrets
import sqlite3
from collections.abc import Awaitable, Callable

import click

from proxy.cli.clock import ProcessClock
from proxy.duties.acts import KEPT_US, Answer, Office
from proxy.place import Place
from proxy.ports import Act
from proxy.store import StoreRefused, open_keys, open_ledger
from proxy.store.fault import Owned
from proxy.store.keys import KeyStore
from proxy.store.recall import MemoryRecall

LOOK_S = 0.05
PATIENT_LOOKS = 100
"""After so many the operator is told what is waited for."""

Post = Callable[[KeyStore, Act], Awaitable[bool]]
"""Writes the letter; False: there is nothing to ask for."""


def ask(place: Place, kind: str, post: Post) -> Answer | None:
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


async def _ask(place: Place, act: Act, post: Post, clock: ProcessClock) -> Answer | None:
    async with open_keys(place, clock=clock) as keys:
        await keys.mailbox.clear(act.at_us - KEPT_US)
        if not await post(keys, act):
            return None
        looks = 0
        while (answer := await keys.mailbox.answer_to(act.id)) is None:
            looks += 1
            if looks == PATIENT_LOOKS:
                click.echo("waiting for the proxy that runs", err=True)
            await _answer_here(place, keys, clock)
        await keys.mailbox.take(act.id)
        return answer


async def _answer_here(place: Place, keys: KeyStore, clock: ProcessClock) -> None:
    """Answer all letters, if no proxy is there to do it; else wait a little for it."""
    if await keys.mailbox.attended():
        await asyncio.sleep(LOOK_S)
        return
    try:
        async with open_ledger(place, clock=clock, on_alert=lambda _: None, seal=keys.seal) as ledger:
            office = Office(ledger, keys, (MemoryRecall(clock),))
            for letter in await keys.mailbox.unanswered():
                await keys.mailbox.settle(letter, office.carry_out)
    except Owned:
        await asyncio.sleep(LOOK_S)
