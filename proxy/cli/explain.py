"""`fallthrough explain`: which route a call takes, whom it would ask in what order, and why not the others.

From a file and the environment alone, where everything is taken to be well and nothing spent; or, with
`--ask`, from a running proxy, which looks at its breakers, its places and its ledger. Either way the
decision is the one that a real call gets (`proxy/explain.py`). Nothing is sent to an upstream.

Exit status 0: somebody would be asked; 1: it could not be told; 2: faults in FILE or on the command line;
3: the call would be refused.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import click
import orjson
from msgspec import Struct, to_builtins
from msgspec.structs import replace

from proxy.call import Call
from proxy.cli.admin import admin_url, posted
from proxy.cli.clock import ProcessClock
from proxy.cli.explained import draw
from proxy.cli.faults import loaded_or_exit
from proxy.cli.screen import screen
from proxy.cli.words import person, tenant_name
from proxy.duties.reload import fresh_snapshot
from proxy.errors import CallerFault, Failure
from proxy.explain import Explanation, Sight, explain
from proxy.server.calls import HEARD, call_of, said_by
from proxy.server.explaining import DEFAULT, KEY, TENANT
from proxy.server.request import Request
from proxy.store.recall import MemoryRecall
from proxy.wire import body as wire_body

REFUSED = 3
NOT_LIVE = "live state is not included: breakers, pauses, places and what limits have used are taken as none"
LEAST = "?"
"""What stands for a prompt that is not known: not empty, for some dialects can say no empty message."""
NO_BODY = "nothing is known of the body: no tools, no pictures and a prompt of one character are judged"
NO_PERSON = "a person's own limits are looked at only with --ask"
AT_ONCE = "whoever is asked is taken to fail at once, without second tries and without harm to its breaker"

EXAMPLES = """
\b
Examples:
  fallthrough explain proxy.yaml --model chat
  fallthrough explain proxy.yaml --body call.json --tenant acme --header 'x-user-consent: true'
  fallthrough explain --ask http://127.0.0.1:8081 --body - --json < call.json
"""


class Asked(Struct, frozen=True):
    """A call as it was described on the command line."""

    data: bytes
    """Its body."""
    tenant: str
    key: str
    headers: tuple[tuple[str, str], ...]


def header(
    _context: click.Context, _option: click.Parameter, values: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    """`name: value`, of a name that is heard."""
    found: dict[str, str] = {}
    for value in values:
        name, colon, said = value.partition(":")
        name, said = name.strip().lower(), said.strip()
        if not colon or not said.isprintable() or not said.isascii():
            raise click.BadParameter(f"{value!r} is not NAME: VALUE")
        if name not in HEARD:
            raise click.BadParameter(f"{name} decides nothing; write one of {', '.join(sorted(HEARD))}")
        if name in found:
            raise click.BadParameter(f"{name} is given twice")
        found[name] = said
    return tuple(found.items())


@click.command(name="explain", epilog=EXAMPLES)
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--model", help="The name that the caller asks for; without: the body's.")
@click.option("--tenant", callback=tenant_name, default=DEFAULT.tenant, show_default=True, help="Whose call.")
@click.option("--key", callback=tenant_name, default=DEFAULT.key_id, help="By which key (its id, as listed).")
@click.option("--user", callback=person, help="The end person's id, as the call carries it; -: from stdin.")
@click.option("--header", "headers", multiple=True, callback=header, help="Such as 'x-user-consent: true'.")
@click.option("--body", "source", type=click.File("rb"), help="The call's body, JSON; - reads it from stdin.")
@click.option(
    "--ask", metavar="URL", callback=admin_url, help="A running proxy's admin listener; FILE is not read."
)
@click.option("--json", "as_json", is_flag=True, help="JSON instead of tables.")
def explain_call(file: Path | None, ask: str | None, as_json: bool, source: Any, **said: Any) -> None:
    """Say which route a call takes, whom it asks in what order and why not the others.

    Without FILE the environment is explained, as `serve` would take it.
    """
    given = None if source is None else source.read()
    asked = Asked(_body(given, said["model"], said["user"]), said["tenant"], said["key"], said["headers"])
    told = _explained(file, asked) if ask is None else _answered(ask, asked)
    notes = [AT_ONCE]
    if given is None:
        notes.insert(0, NO_BODY)
    if not told["live"]:
        notes.insert(0, NOT_LIVE)
        if said["user"] is not None:
            notes.append(NO_PERSON)
    if as_json:
        click.echo(orjson.dumps(told | {"notes": notes}, option=orjson.OPT_INDENT_2))
    else:
        draw(told, notes, screen())
    sys.exit(REFUSED if told["refused"] is not None else 0)


def _body(given: bytes | None, model: str | None, user: str | None) -> bytes:
    """The call's body, with what the options say of it."""
    if given is None:
        if model is None:
            raise click.UsageError("say which model is asked for: --model, or a whole --body")
        body: dict[str, Any] = {"messages": [{"role": "user", "content": LEAST}]}
    elif model is None and user is None:
        return given
    else:
        try:
            body = wire_body.decode(given)
        except CallerFault as fault:
            raise click.ClickException(f"--body: {fault}") from None
    body |= {} if model is None else {"model": model}
    if user is not None:
        body.pop("safety_identifier", None)  # it would name somebody else
        body["user"] = user
    return orjson.dumps(body)


def _explained(file: Path | None, asked: Asked) -> dict[str, Any]:
    """From the file and the environment alone."""
    loaded, clock = loaded_or_exit(file, os.environ), ProcessClock()
    try:
        call = _call(asked, clock)
        sight = Sight(fresh_snapshot(loaded.table), MemoryRecall(clock), None, 0.0, clock.wall_us())
        told: dict[str, Any] = to_builtins(asyncio.run(explain(sight, call)))
    except Failure as failure:
        raise click.ClickException(str(failure)) from None
    return told


def _call(asked: Asked, clock: ProcessClock) -> Call:
    request = Request(0, lambda: None)
    for name, value in asked.headers:
        request.headers.add(name.encode(), value.encode())
    who = replace(DEFAULT, tenant=asked.tenant, key_id=asked.key)
    body = wire_body.parse(asked.data)
    known = {"id": "req_explained", "created": clock.wall_us() // 1_000_000, "identity": who}
    return call_of(body, len(asked.data), **known, **said_by(request))


def _answered(url: str, asked: Asked) -> dict[str, Any]:
    """From a running proxy."""
    whose = {TENANT: asked.tenant, KEY: asked.key, "content-type": "application/json"}
    told = posted(url, "/admin/explain", asked.data, whose | dict(asked.headers))
    if not told.keys() >= set(Explanation.__struct_fields__):
        raise click.ClickException(f"{url}: what answers there is no admin listener of this version")
    return told
