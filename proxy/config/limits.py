"""Limits, prices and corrections of models judged against the routes they are for.

Called by `load` after the routes. It refuses limits that would refuse every call, count nothing, or
count dollars where no price is known. Only adds faults; builds nothing.
"""

from collections.abc import Iterable, Iterator
from decimal import Decimal

from proxy.config.draft import Draft, pairs, split
from proxy.config.faults import Path, plain, suggest
from proxy.config.globs import covers
from proxy.config.grammar import LimitPart, RoutePart
from proxy.table import Every, Per
from proxy.usage import Price

_UNITS = ("tokens", "requests", "usd", "streams")
_WINDOWS = "minute, hour, day, week or month"
_DATED = frozenset({Every.DAY, Every.WEEK, Every.MONTH})
"""Windows that begin at some midnight."""


def zone_of(limit: LimitPart, default: str) -> str | None:
    """The name of the zone in which a limit's windows begin; None: the same in every zone."""
    return (limit.tz or default) if limit.every in _DATED else None


def check_prices(draft: Draft) -> None:
    """Each price can apply to something, and its tiers rise."""
    _check_globs(draft, "prices", draft.prices)
    for glob, part in draft.prices.items():
        longest = 0
        for index, tier in enumerate(part.above):
            if tier.tokens <= longest:
                path: Path = ("prices", glob, "above", index, "tokens")
                problem = f"not more than the tier before (was {tier.tokens})"
                draft.document.fault(
                    path, problem, "write the tiers from the shortest prompts to the longest"
                )
            longest = tier.tokens


def check_models(draft: Draft) -> None:
    """Each correction of a model can apply to something, and says what can be."""
    _check_globs(draft, "models", draft.models)
    for glob, part in draft.models.items():
        if part.budget is not None and part.budget[0] > part.budget[1]:
            path: Path = ("models", glob, "budget")
            shown = f"[{part.budget[0]}, {part.budget[1]}]"
            draft.document.fault(
                path, f"the least is more than the most (was {shown})", "write [least, most]"
            )


def _check_globs(draft: Draft, section: str, globs: Iterable[str]) -> None:
    """Keys that stand for targets name upstreams there are, and each is reached."""
    earlier: list[str] = []
    for glob in globs:
        path: Path = (section, glob)
        upstream, slash, _ = glob.partition("/")
        wild = "*" in upstream or "?" in upstream
        if not slash and not glob.startswith("*"):
            draft.document.fault(path, "not UPSTREAM/MODEL", "write UPSTREAM/MODEL, such as openai/gpt-4o")
        elif slash and not wild and upstream not in draft.declared:
            problem = f"no upstream is named `{plain(upstream)}`"
            draft.document.fault(path, problem, suggest(upstream, draft.declared))
        for before in earlier:
            if covers(before, glob):
                draft.document.fault(path, f"never used: `{before}` comes first", "move it up, or remove it")
                break
        earlier.append(glob)


def check_limits(draft: Draft) -> None:
    """Each limit counts one thing in a window that suits it, some call can meet it, dollars have prices."""
    kinds: dict[LimitPart, int] = {}
    for index, limit in draft.limits.items():
        path: Path = ("limits", index)
        known = _names_exist(draft, index, limit)
        if any(place[:2] == path for place in draft.document.faulted):
            continue  # refused already: what is left of it may look like another limit
        written = [unit for unit in _UNITS if getattr(limit, unit) is not None]
        if len(written) != 1:
            what = " and ".join(written) if written else "nothing"
            draft.document.fault(
                path, f"a limit counts one thing (was {what})", f"write one of {', '.join(_UNITS)}"
            )
            continue
        if not _window_suits(draft, index, limit) or not known:
            continue
        zone = zone_of(limit, draft.settings.tz)
        erased = {**dict.fromkeys(_UNITS), written[0]: 1, "alert": (), "tz": zone}
        first = kinds.setdefault(limit.model_copy(update=erased), index)
        if first != index:
            draft.document.fault(path, f"the same counter as limits[{first}]", "keep the narrower one")
        _check_ceiling(draft, index, limit)


def _window_suits(draft: Draft, index: int, limit: LimitPart) -> bool:
    """Whether what is used up has a window, and what is only held has none and nothing that needs one."""
    path: Path = ("limits", index)
    if limit.tz is not None and limit.every not in _DATED:
        remedy = "leave it out, or write every: day, week or month"
        draft.document.fault((*path, "tz"), "only days, weeks and months begin somewhere", remedy)
    if limit.streams is None:
        if limit.every is None:
            draft.document.fault((*path, "every"), "this key is missing", f"write `every:` with {_WINDOWS}")
        return limit.every is not None
    if limit.every is not None:
        draft.document.fault((*path, "every"), "calls at once have no window", "leave it out")
    if "alert" in limit.model_fields_set:
        draft.document.fault((*path, "alert"), "calls at once are never used up", "leave it out")
    of_upstream = limit.upstream is not None or limit.per is Per.UPSTREAM
    if of_upstream:
        key = "per" if limit.per is Per.UPSTREAM else "upstream"
        remedy = "limit a tenant, user, key, model or route"
        draft.document.fault((*path, key), "calls at once are counted for callers only", remedy)
    return limit.every is None and "alert" not in limit.model_fields_set and not of_upstream


def _names_exist(draft: Draft, index: int, limit: LimitPart) -> bool:
    """Whether the upstream, the route and the model a limit names can be counted at all."""
    routes = draft.routes
    whole = not draft.unnamed  # one of those may be the route that is meant
    known = [draft.document.word(("routes", at, "model"), route.model) for at, route in routes.items()]
    strange: list[tuple[str, str, str, Iterable[str]]] = []
    if limit.upstream is not None and limit.upstream not in draft.declared:
        strange.append(("upstream", "no upstream is named", limit.upstream, draft.declared))
    if limit.route is not None and whole and all(r.model != limit.route for r in routes.values()):
        strange.append(("route", "no route is written", limit.route, known))
    served = limit.model is None or any(covers(r.model, limit.model) for r in routes.values())
    if limit.model is not None and whole and not served:
        strange.append(("model", "no route serves the model", limit.model, known))
    for key, problem, name, names in strange:
        path: Path = ("limits", index, key)
        draft.document.fault(path, f"{problem} `{draft.document.word(path, name)}`", suggest(name, names))
    return not strange


def _check_ceiling(draft: Draft, index: int, limit: LimitPart) -> None:
    path: Path = ("limits", index)
    counted = list(_counted(draft, limit))
    if limit.usd is not None:
        _check_dollars(draft, index, limit.usd, counted)
    elif limit.tokens is not None and counted:
        least = min(route.max_output_tokens for route, _ in counted) + 1
        if limit.tokens < least:
            draft.document.fault(
                (*path, "tokens"),
                f"no call that names no maximum can meet this: it holds {least} tokens (was {limit.tokens})",
                "raise it, or lower max_output_tokens of the routes",
            )


def _check_dollars(
    draft: Draft, index: int, ceiling: int, counted: list[tuple[RoutePart, list[str]]]
) -> None:
    path: Path = ("limits", index, "usd")
    if ceiling == 0:
        draft.document.fault(path, "no call can meet this (was 0)", "write more than 0, or remove it")
        return
    targets = list(dict.fromkeys(target for _, names in counted for target in names))
    judged = [target for target in targets if split(target)[0] in draft.upstreams]
    unpriced = [target for target in judged if draft.price(target) is None]
    if unpriced and draft.all_prices:
        shown = draft.shown(unpriced[0])
        more = f" and {len(unpriced) - 1} more have" if len(unpriced) > 1 else " has"
        draft.document.fault(
            path,
            f"`{shown}`{more} no price",
            f"write prices: {shown}: {{input: …, output: …}}",
        )
    if unpriced or not counted:
        return
    least = min(max(_worst(draft.price(name), route) for name in names) for route, names in counted)
    if ceiling < least:
        dollars = Decimal(least).scaleb(-9).normalize()
        draft.document.fault(
            path,
            f"no call that names no maximum can meet this: it holds {dollars:f} dollars",
            "raise it, or lower max_output_tokens of the routes",
        )


def _worst(price: Price | None, route: RoutePart) -> int:
    return price.worst(1, route.max_output_tokens) if price is not None else 0


def _counted(draft: Draft, limit: LimitPart) -> Iterator[tuple[RoutePart, list[str]]]:
    """The routes whose calls a limit counts, each with the targets that it counts there."""
    for route in draft.routes.values():
        if limit.model is not None and not covers(route.model, limit.model):
            continue
        if limit.route not in {None, route.model}:
            continue
        names = [
            f"{upstream}/{model}"
            for upstream, model in pairs(route)
            if upstream in draft.declared and limit.upstream in {None, upstream}
        ]
        if names:
            yield route, names
        if limit.model is not None:
            return
