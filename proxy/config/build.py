"""A faultless draft → the `Settings` and the `Table`.

Called by `load` once nothing is wrong; it cannot fail. Routes keep only the targets whose upstream
is on; with `simulator: auto` a route left with none gets simulated twins of all of them.
"""

from collections.abc import Container, Iterable, Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from proxy.abilities import Capabilities, ModelFacts
from proxy.config.abilities import CapabilitiesPart, ModelPart
from proxy.config.checks import SIMULATED
from proxy.config.defaults import filled_in, misspelt
from proxy.config.draft import Draft, address, split
from proxy.config.forms import EFFORTS
from proxy.config.grammar import LimitPart, RoutePart, TimeoutsPart, UpstreamPart
from proxy.config.limits import zone_of
from proxy.config.settings import Settings
from proxy.facts.capabilities import KNOWN, NEVER, name_for
from proxy.facts.media import media_of
from proxy.facts.models import facts_of
from proxy.table import (
    BreakerRules,
    Limit,
    LoadRules,
    Privacy,
    Route,
    Secret,
    Table,
    Target,
    Timeouts,
    Unit,
    Upstream,
)
from proxy.wire.load import GAUGES

SIMULATOR_URL = "http://simulator.invalid"
"""Stands for the simulator's address, which is known only at start."""

_JOINED = frozenset({"like", "accept", "strip", "refuse", "rename", "efforts"})
"""Keys of `capabilities` that are more than a value in place of the known one."""
UTC = "UTC"
"""The zone in which windows need no calendar but Unix time."""

OPEN_MAX_S = BreakerRules().open_max_s


def settings(draft: Draft) -> Settings:
    """The process as the file wants it."""
    part = draft.settings
    if part.listen is None:
        raise AssertionError("checks.py refuses a missing listener")
    return Settings(
        listen=part.listen,
        admin=part.admin,
        probes=part.probes,
        ledger=part.ledger,
        auth=part.auth,
        drain_s=part.drain,
        max_calls=part.max_calls,
        max_lag_s=part.max_lag,
        origins=frozenset(part.origins),
        simulator=part.simulator,
    )


def table(draft: Draft) -> Table:
    """The table in force."""
    declared = {name: upstream(name, part) for name, part in draft.upstreams.items()}
    in_force = {name: item for name, item in declared.items() if name not in draft.off}
    routes = []
    for index, part in draft.routes.items():
        targets = _targets(draft, part)
        if not any(target.upstream in in_force for target in targets):
            for target in targets:
                twin = simulated(declared[target.upstream])
                in_force[twin.name] = twin
            targets = [replace(target, upstream=SIMULATED + target.upstream) for target in targets]
        routes.append(_route(part, targets, in_force, filled_in(draft, index)))
    return Table(
        upstreams=MappingProxyType(in_force),
        routes=tuple(routes),
        limits=tuple(_limit(part, draft.settings.tz) for part in draft.limits.values()),
        privacy=Privacy(draft.privacy.consent, draft.privacy.retention),
        off=MappingProxyType(dict(draft.off)),
        webhook=Secret(draft.alerts.webhook) if draft.alerts.webhook else None,
    )


def upstream(name: str, part: UpstreamPart) -> Upstream:
    """One upstream, with the manners of the server it seems to be."""
    base_url = address(part)
    first = part.breaker.open
    return Upstream(
        name=name,
        dialect=part.dialect,
        base_url=base_url,
        api_key=Secret(part.api_key) if part.api_key else None,
        headers=tuple(part.headers.items()),
        tags=frozenset(part.tags),
        streams=part.streams,
        load=_load(part),
        timeouts=replace(Timeouts(), **_timeouts(part.timeouts)),
        breaker=BreakerRules(part.breaker.failures, first, part.breaker.open_max or max(first, OPEN_MAX_S)),
        capabilities=_capabilities(part.dialect, base_url, part.capabilities),
    )


def simulated(original: Upstream) -> Upstream:
    """The twin that the built-in simulator plays; it carries no credential."""
    return replace(
        original,
        name=SIMULATED + original.name,
        base_url=f"{SIMULATOR_URL}/{original.name}/v1",
        api_key=None,
        headers=(),
        simulated=True,
    )


def _timeouts(part: TimeoutsPart) -> dict[str, float]:
    return {f"{phase}_s": seconds for phase, seconds in part if seconds is not None}


def _load(part: UpstreamPart) -> LoadRules | None:
    """How it is asked how busy it is; None where it cannot tell, or is not to be asked."""
    if part.dialect not in GAUGES or part.load.metrics == "off":
        return None
    return LoadRules(part.load.every, part.load.waiting)


def _capabilities(dialect: str, base_url: str, part: CapabilitiesPart) -> Capabilities:
    parts = urlsplit(base_url)
    known = KNOWN[part.like or name_for(dialect, parts.hostname or "", parts.port)]
    accept, strip, refuse = frozenset(part.accept), frozenset(part.strip), frozenset(part.refuse)
    plain: dict[str, Any] = {
        key: frozenset(value) if isinstance(value, list) else value
        for key, value in part
        if value is not None and key not in _JOINED
    }
    never = (known.strip | NEVER if dialect == "vllm" else known.strip) - refuse - accept
    return replace(
        known,
        accept=None if known.accept is None else (known.accept | accept) - strip - refuse,
        strip=never | strip,
        refuse=(known.refuse - accept - strip) | refuse,
        rename=tuple({**dict(known.rename), **part.rename}.items()),
        efforts=tuple({**dict(known.efforts), **part.efforts}.items()),
        **plain,
    )


def _targets(draft: Draft, part: RoutePart) -> list[Target]:
    return [_target(draft, item.target) for item in part.targets]


def _target(draft: Draft, text: str) -> Target:
    name, model = split(text)
    part = draft.upstreams[name]
    return Target(
        name,
        model,
        price=draft.price(text),
        facts=_corrected(facts_of(part.dialect, model, address(part)), draft.model(text)),
        packaged_price=draft.written_price(text) is None,
        media=media_of(part.dialect, model),
    )


def _corrected(facts: ModelFacts, part: ModelPart) -> ModelFacts:
    """The facts as the file has them, where it says something."""
    said: dict[str, Any] = {key: value for key, value in part if value is not None}
    if part.thinking is not None:
        said["thinking"] = frozenset(part.thinking)
    if part.budget is not None:
        said["budget"] = tuple(part.budget)
    if part.efforts is not None:
        said["efforts"] = tuple(word for word in EFFORTS if word in part.efforts)
    return replace(facts, **said)


def _route(
    part: RoutePart, targets: Iterable[Target], in_force: Container[str], defaults: Mapping[str, Any]
) -> Route:
    listed = tuple(targets)
    return Route(
        model=part.model,
        targets=tuple(target for target in listed if target.upstream in in_force),
        attempts=part.retry.attempts,
        in_place_s=part.retry.in_place,
        max_output_tokens=part.max_output_tokens,
        defaults=MappingProxyType(defaults),
        timeouts=MappingProxyType(_timeouts(part.timeouts)),
        on_midstream=part.on_midstream,
        hedge_s=None if part.hedge is None else part.hedge.after,
        drop_params=part.drop_params,
        reasoning_field=part.reasoning_field,
        off=tuple(target for target in listed if target.upstream not in in_force),
        checks_answers=part.check_answers == "schema",
    )


def _limit(part: LimitPart, tz: str) -> Limit:
    units: Mapping[Unit, int | None] = {
        Unit.TOKENS: part.tokens,
        Unit.REQUESTS: part.requests,
        Unit.NANO_USD: part.usd,
        Unit.STREAMS: part.streams,
    }
    unit, ceiling = next((unit, amount) for unit, amount in units.items() if amount is not None)
    return Limit(
        unit=unit,
        ceiling=ceiling,
        every=part.every,
        per=part.per,
        tenant=part.tenant,
        user=part.user,
        key=part.key,
        model=part.model,
        route=part.route,
        upstream=part.upstream,
        marks=tuple(sorted(set(part.alert) - {100})),
        zone=_zone(zone_of(part, tz)),
        shadow=part.shadow,
    )


def _zone(name: str | None) -> ZoneInfo | None:
    return None if name in {None, UTC} else ZoneInfo(str(name))


def notices(draft: Draft, built: Table) -> tuple[str, ...]:
    """What the operator should read once at start, though nothing is wrong."""
    told = [f"upstream {name} is off: {why}" for name, why in draft.off.items()]
    told += misspelt(draft)
    played = [route for route in built.routes if built.upstreams[route.targets[0].upstream].simulated]
    if not played:
        return tuple(told)
    models = ", ".join(route.model for route in played)
    twins = ", ".join(dict.fromkeys(target.upstream for route in played for target in route.targets))
    loud = f"SIMULATED: no upstream is on for {models}; {twins} will make the answers up"
    return (*told, loud)
