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

from proxy.abilities import ModelFacts
from proxy.config import ConfigError, Loaded, load
from proxy.table import Limit, Route, Table, Target, Unit, Upstream
from proxy.usage import Price

NANO = 1_000_000_000
FILTERS = ("tenant", "user", "key", "model", "route", "upstream")


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
    _add_targets(tree, table)
    _add_limits(tree, table)
    tree.add(f"[bold]alerts[/bold] to log, metric and ledger{', and a webhook' if table.webhook else ''}")
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
    drops = " · drops what a target cannot do" if route.drop_params else ""
    checks = " · holds whole answers to their schema" if route.checks_answers else ""
    words = f"{route.attempts} tries · {route.max_output_tokens} output tokens{drops}{checks}"
    branch = routes.add(f"{escape(route.model)} · {words}")
    for target in route.targets:
        branch.add(escape(str(target)))


def _add_targets(tree: Tree, table: Table) -> None:
    """Each target once, however many routes lead to it."""
    targets = tree.add("[bold]targets[/bold]")
    for target in dict.fromkeys(target for route in table.routes for target in route.targets):
        leaf = targets.add(f"{escape(str(target))} · {_price(target)}")
        facts = _facts(target.facts)
        if facts:
            leaf.add(f"[dim]{facts}[/dim]")


def _price(target: Target) -> str:
    price = target.price
    if price is None:
        return "no price"
    tiers = "".join(f"; {_rates(tier)} above {tokens:,}" for tokens, tier in price.above)
    whose = "packaged" if target.packaged_price else "file"
    return f"{_rates(price)} per million tokens{tiers} ({whose})"


def _rates(price: Price) -> str:
    return f"${price.input / NANO:g} in, ${price.output / NANO:g} out"


def _facts(facts: ModelFacts) -> str:
    """The main ones that are known, on one line."""
    sizes = {"context": facts.context, "output": facts.output}
    known = [f"{name} {size:,}" for name, size in sizes.items() if size is not None]
    told = {"tools": facts.tools, "vision": facts.vision, "files": facts.files, "schemas": facts.schemas}
    known += [name if able else f"no {name}" for name, able in told.items() if able is not None]
    return ", ".join(known)


def _add_limits(tree: Tree, table: Table) -> None:
    limits = tree.add("[bold]limits[/bold]" if table.limits else "[bold]limits[/bold]: none")
    for limit in table.limits:
        limits.add(escape(_limit(limit)))


def _limit(limit: Limit) -> str:
    amount = (
        f"${limit.ceiling / NANO:g}" if limit.unit is Unit.NANO_USD else f"{limit.ceiling:,} {limit.unit}"
    )
    per = f" for each {limit.per}" if limit.per else ""
    named = ((name, getattr(limit, name)) for name in FILTERS)
    of = "".join(f", {name} {value}" for name, value in named if value is not None)
    spent = "the upstream is skipped" if limit.of_upstream else "the caller is refused"
    if limit.shadow:
        spent = "nothing happens: it is a shadow"
    if limit.every is None:
        return f"{limit.ceiling:,} calls at once{per}{of}; then {spent}"
    marks = ", ".join(f"{mark} %" for mark in (*limit.marks, 100))
    where = f" in {limit.zone.key}" if limit.zone else ""
    return f"{amount} a {limit.every}{where}{per}{of}; told at {marks}; then {spent}"
