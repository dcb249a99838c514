"""`fallthrough check FILE`: every fault, or the table as it will be in force.

The same parser as the start and the reload, so that what passes here starts there. Faults go to
standard error with exit status 1, one a line, ready for editors; the table goes to standard output.
No secret is printed: of a key it says only that there is one.
"""

import os
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.tree import Tree

from proxy.config import ConfigError, Loaded, load
from proxy.table import Limit, Route, Table, Unit, Upstream
from proxy.usage import Price

NANO = 1_000_000_000


@click.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
def check(file: Path | None) -> None:
    """Say every fault of FILE, or the table as it will be in force (without FILE: of the environment)."""
    try:
        loaded = load(file, os.environ)
    except ConfigError as error:
        for fault in error.faults:
            click.echo(str(fault), err=True)
        count = len(error.faults)
        click.echo(f"{count} fault{'s' if count > 1 else ''}; nothing is in force", err=True)
        sys.exit(1)
    console = Console(highlight=False)
    for notice in loaded.notices:
        console.print(f"[yellow]{escape(notice)}[/yellow]", soft_wrap=True)
    console.print(_tree(str(file or "environment"), loaded))


def _tree(title: str, loaded: Loaded) -> Tree:
    tree = Tree(f"[bold]{escape(title)}[/bold] is right; this will be in force")
    settings, table = loaded.settings, loaded.table
    start = tree.add("[bold]settings[/bold]")
    start.add(
        f"listen {settings.listen} · admin {settings.admin or 'off'} · probes {settings.probes or 'off'}"
    )
    start.add(f"ledger {escape(str(settings.ledger))} · auth {settings.auth} · drain {settings.drain_s:g}s")
    upstreams = tree.add("[bold]upstreams[/bold]")
    for upstream in table.upstreams.values():
        upstreams.add(escape(_upstream(upstream)))
    for name, why in table.off.items():
        upstreams.add(f"[dim]{escape(name)} is off: {escape(why)}[/dim]")
    routes = tree.add("[bold]routes[/bold], first match wins")
    for route in table.routes:
        _add_route(routes, route)
    _add_limits(tree, table)
    privacy = table.privacy
    kept = "for ever" if privacy.retention_s is None else f"{privacy.retention_s / 86_400:g} days"
    tree.add(f"[bold]privacy[/bold]: consent {privacy.consent} · rows are kept {kept}")
    return tree


def _upstream(upstream: Upstream) -> str:
    key = "with a key" if upstream.api_key else "without a key"
    tags = f" · {', '.join(sorted(upstream.tags))}" if upstream.tags else ""
    if upstream.simulated:
        return f"{upstream.name}: {upstream.dialect}, played by the simulator{tags}"
    return f"{upstream.name}: {upstream.dialect} at {upstream.base_url}, {key}{tags}"


def _add_route(routes: Tree, route: Route) -> None:
    branch = routes.add(
        f"{escape(route.model)} · {route.attempts} tries · {route.max_output_tokens} output tokens"
    )
    for target in route.targets:
        branch.add(f"{escape(str(target))} · {_price(target.price)}")


def _price(price: Price | None) -> str:
    if price is None:
        return "no price"
    return f"${price.input / NANO:g} in, ${price.output / NANO:g} out per million tokens"


def _add_limits(tree: Tree, table: Table) -> None:
    limits = tree.add("[bold]limits[/bold]" if table.limits else "[bold]limits[/bold]: none")
    for limit in table.limits:
        limits.add(escape(_limit(limit)))


def _limit(limit: Limit) -> str:
    amount = (
        f"${limit.ceiling / NANO:g}" if limit.unit is Unit.NANO_USD else f"{limit.ceiling:,} {limit.unit}"
    )
    per = f" for each {limit.per}" if limit.per else ""
    filters = {"tenant": limit.tenant, "key": limit.key, "model": limit.model, "upstream": limit.upstream}
    of = "".join(f", {name} {value}" for name, value in filters.items() if value is not None)
    spent = "the upstream is skipped" if limit.of_upstream else "the caller is refused"
    marks = ", ".join(f"{mark} %" for mark in (*limit.marks, 100))
    return f"{amount} a {limit.every}{per}{of}; told at {marks}; then {spent}"
