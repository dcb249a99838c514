"""The routes: one for each model name of a LiteLLM file, with those that stand in for it behind.

There every deployment of a name may be asked, at random or by load; here they are tried in order. Names
with wildcards come last, the most general behind the others, for the first match wins.
"""

from typing import Any

from proxy.config.importing.litellm.deployments import Deployment, Deployments, is_glob
from proxy.config.importing.litellm.rules import Rules
from proxy.config.importing.litellm.sheet import Sheet
from proxy.config.importing.sketch import RouteSketch, called
from proxy.facts.litellm import SPREAD
from proxy.facts.vendors import by_word


def draw(sheet: Sheet, rules: Rules, deployments: Deployments) -> None:
    """Enter the routes, and the limits that count whole vendors."""
    groups: dict[str, list[Deployment]] = {}
    for each in deployments.found:
        groups.setdefault(each.model_name, []).append(each)
    routes = {name: _route(sheet, rules, name, group) for name, group in groups.items()}
    for alias, (model, path) in rules.aliases.items():
        if model not in routes or alias in routes or not is_glob(alias):
            sheet.left(path, "it stands for no model of this file, or for one that has its own deployments")
            continue
        first = routes[model]
        routes[alias] = RouteSketch(alias, list(first.targets), dict(first.members), sheet.place(path))
    own = {name: list(route.targets) for name, route in routes.items()}
    for fallback in rules.fallbacks:
        _fall_back(sheet, routes, own, fallback.model, fallback)
    for name in sorted(routes, key=_generality):
        sheet.sketch.routes[name] = routes[name]
    _budgets(sheet, rules)


def _route(sheet: Sheet, rules: Rules, name: str, group: list[Deployment]) -> RouteSketch:
    ranked = sorted(group, key=lambda each: (each.order, -each.weight))
    targets = list(dict.fromkeys(each.target for each in ranked))
    if len(targets) > 1 and len({each.order for each in group}) < len(group):
        sheet.changed(group[1].path, f"{name}: {SPREAD}")
    seen: set[str] = set()
    for each in group:
        if each.target in seen:
            sheet.changed(each.path, f"{name}: another deployment is the same: one target, tried once")
        seen.add(each.target)
    members: dict[str, Any] = dict(rules.route)
    _drop(sheet, members, name, group)
    defaults = dict(ranked[0].defaults)
    for each in ranked[1:]:
        if each.defaults != defaults:
            sheet.left(
                each.path, f"{name}: its defaults differ from those of the first target, which hold for all"
            )
    if defaults:
        members["defaults"] = defaults
    return RouteSketch(name, targets, members, sheet.place(group[0].path))


def _drop(sheet: Sheet, members: dict[str, Any], name: str, group: list[Deployment]) -> None:
    """A route drops what its targets cannot do, or it does not; there each deployment has its own way."""
    everywhere = members.pop("drop_params", False)
    drops = [everywhere if each.drops is None else each.drops for each in group]
    if not any(drops):
        return
    members["drop_params"] = True
    for each, own in zip(group, drops, strict=True):
        if not own:
            sheet.changed(
                each.path, f"{name}: drop_params is a whole route's, so it holds for this target too"
            )


def _fall_back(
    sheet: Sheet, routes: dict[str, RouteSketch], own: dict[str, list[str]], model: str, fallback: Any
) -> None:
    """The targets of others behind those of a route, or of every route."""
    wanted = list(routes) if model == "*" and "*" not in routes else [model]
    for other in fallback.others:
        if other not in own:
            sheet.left(
                fallback.path,
                f"it falls back to {called(other)}, which has no deployment that is carried over",
            )
    if model not in routes and wanted == [model]:
        sheet.left(fallback.path, "the model itself has no deployment that is carried over")
        return
    for name in wanted:
        for other in fallback.others:
            routes[name].add(own.get(other, []))
            if other in own and _manners(routes[other]) != _manners(routes[name]):
                sheet.changed(
                    fallback.path,
                    f"what stands in for {name} is asked with the defaults and drop_params of {name}",
                )


def _manners(route: RouteSketch) -> list[Any]:
    return [route.members.get("defaults"), route.members.get("drop_params")]


def _generality(name: str) -> tuple[bool, int]:
    wild = "*" in name or "?" in name
    return wild, -len(name) if wild else 0


def _budgets(sheet: Sheet, rules: Rules) -> None:
    for word, (row, path) in rules.budgets.items():
        vendor = by_word(word)
        names = (
            []
            if vendor is None
            else [
                name
                for name in sheet.sketch.upstreams
                if name == vendor.name or name.startswith(f"{vendor.name}-")
            ]
        )
        if len(names) != 1:
            sheet.left(path, f"a budget over {len(names)} upstreams; write a limit with usd: for each")
            continue
        row.members = {"upstream": names[0], **row.members}
        row.place = sheet.place(path)
        sheet.sketch.limits.append(row)
