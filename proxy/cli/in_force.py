"""The table as it will be in force, as a tree for people and as data for programs.

`cli/check.py` prints it. No secret is in either: of a key they say only that there is one, and of a database
not its password.
"""

from typing import Any

from rich.markup import escape
from rich.tree import Tree

from proxy.abilities import ModelFacts
from proxy.config import Loaded
from proxy.table import Limit, OnMidstream, Route, Table, Target, Unit, Upstream
from proxy.usage import Price

NANO = 1_000_000_000
FILTERS = ("tenant", "user", "key", "model", "route", "upstream")

# ── a tree ────────────────────────────────────────────────────────────────────────────────────────


def tree_of(title: str, loaded: Loaded) -> Tree:
    """For people."""
    tree = Tree(f"[bold]{escape(title)}[/bold] is right; this will be in force")
    settings, table = loaded.settings, loaded.table
    start = tree.add("[bold]settings[/bold]")
    start.add(
        f"listen {settings.listen} · admin {settings.admin or 'off'} · probes {settings.probes or 'off'}"
    )
    late_s = settings.max_lag_s
    late = "never" if late_s is None else f"while the loop is {late_s * 1000:g} ms late"
    start.add(f"calls are turned away {late}")
    start.add(f"ledger {escape(str(settings.ledger))} · auth {settings.auth} · drain {settings.drain_s:g}s")
    upstreams = tree.add("[bold]upstreams[/bold]")
    for upstream in table.upstreams.values():
        upstreams.add(f"[green]on[/green] {escape(_upstream(upstream))}")
    for name, why in table.off.items():
        upstreams.add(f"[dim]off {escape(name)}: {escape(why)}[/dim]")
    routes = tree.add("[bold]routes[/bold], first match wins")
    for route in table.routes:
        _add_route(routes, route, table)
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
    most = f" · at most {upstream.streams} at once" if upstream.streams is not None else ""
    if upstream.load is not None:
        most += f" · passed over while {upstream.load.waiting} wait there"
    if upstream.simulated:
        return f"{upstream.name}: {upstream.dialect}, played by the simulator{tags}{most}"
    return f"{upstream.name}: {upstream.dialect} at {upstream.base_url}, {key}{tags}{most}"


def _add_route(routes: Tree, route: Route, table: Table) -> None:
    branch = routes.add(escape(f"{route.model} · {' · '.join(_manners(route))}"))
    for number, target in enumerate(route.targets, 1):
        branch.add(f"{number}. {escape(str(target))}")
    for target in route.off:
        branch.add(f"[dim]- {escape(str(target))}, off: {escape(table.off[target.upstream])}[/dim]")


def _manners(route: Route) -> list[str]:
    """How it is gone about, beyond the order of its targets."""
    words = [f"{route.attempts} tries", f"{route.max_output_tokens} output tokens"]
    if route.hedge_s is not None:
        words.append(f"a second target beside the first after {route.hedge_s:g}s")
    if route.on_midstream is not OnMidstream.ERROR:
        words.append(f"a broken stream: {route.on_midstream}")
    if route.defaults:
        words.append(f"fills in {', '.join(route.defaults)}")
    if route.drop_params:
        words.append("drops what a target cannot do")
    if route.checks_answers:
        words.append("holds whole answers to their schema")
    return words


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
    return f"{_rates(price)} per million tokens{tiers} ({_source(target)})"


def _source(target: Target) -> str:
    return "packaged" if target.packaged_price else "file"


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


# ── data ──────────────────────────────────────────────────────────────────────────────────────────


def data_of(loaded: Loaded) -> dict[str, Any]:
    """For programs. Money is in nano-dollars, of prices for a million tokens."""
    table, settings = loaded.table, loaded.settings
    on = [
        {
            "name": one.name,
            "on": True,
            "why": None,
            "dialect": one.dialect,
            "base_url": one.base_url,
            "key": one.api_key is not None,
            "tags": sorted(one.tags),
            "streams": one.streams,
            "simulated": one.simulated,
        }
        for one in table.upstreams.values()
    ]
    return {
        "notices": loaded.notices,
        "settings": {
            "listen": str(settings.listen),
            "admin": settings.admin and str(settings.admin),
            "probes": settings.probes and str(settings.probes),
            "ledger": str(settings.ledger),
            "auth": settings.auth,
            "drain_s": settings.drain_s,
        },
        "upstreams": [*on, *({"name": name, "on": False, "why": why} for name, why in table.off.items())],
        "routes": [_route_data(route, table) for route in table.routes],
        "limits": [_limit_data(limit) for limit in table.limits],
        "alerts": {"webhook": table.webhook is not None},
        "privacy": {"consent": table.privacy.consent, "retention_s": table.privacy.retention_s},
    }


def _route_data(route: Route, table: Table) -> dict[str, Any]:
    off = [{"target": str(one), "on": False, "why": table.off[one.upstream]} for one in route.off]
    return {
        "model": route.model,
        "targets": [*(_target_data(one) for one in route.targets), *off],
        "attempts": route.attempts,
        "max_output_tokens": route.max_output_tokens,
        "defaults": sorted(route.defaults),
        "timeouts": dict(route.timeouts),
        "on_midstream": route.on_midstream,
        "hedge_s": route.hedge_s,
        "drop_params": route.drop_params,
    }


def _target_data(target: Target) -> dict[str, Any]:
    price = None if target.price is None else {"input": target.price.input, "output": target.price.output}
    source = None if price is None else _source(target)
    return {"target": str(target), "on": True, "why": None, "price": price, "price_from": source}


def _limit_data(limit: Limit) -> dict[str, Any]:
    named = {name: getattr(limit, name) for name in FILTERS}
    return {
        "unit": limit.unit,
        "ceiling": limit.ceiling,
        "every": limit.every,
        "per": limit.per,
        "tz": None if limit.zone is None else limit.zone.key,
        "of": {name: value for name, value in named.items() if value is not None},
        "alert": limit.marks,
        "shadow": limit.shadow,
    }
