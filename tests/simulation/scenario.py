"""One world out of one seed: its upstreams, its tables, and who calls when and how.

Small worlds find more than large ones: few upstreams, tight limits and short timeouts, so that whatever can
meet does meet. Every draw comes from the dice of the world, in the order of the program.
"""

import random
from dataclasses import dataclass

import orjson
from msgspec.structs import replace

from proxy.call import Call, Identity
from proxy.facts.capabilities import KNOWN
from proxy.table import (
    BreakerRules,
    Every,
    Limit,
    OnMidstream,
    Per,
    Route,
    Table,
    Target,
    Timeouts,
    Unit,
    Upstream,
)
from tests.kit.scripted_ports import PRICE

NAMES = ("vllm-a", "b", "vllm-c", "d")
TENANTS = ("acme", "bolt", "cone")
DIRECT = "only-"
"""Routes that ask one upstream first, for the look at it after all has been healed."""
OUTPUT_MAX = 40


@dataclass(frozen=True, slots=True)
class Arrival:
    """One call to come."""

    at: float
    call: Call
    leaves_after_s: float | None
    leaves_after_steps: int | None
    slow_s: float


def steady_of(dice: random.Random) -> str | None:
    """Every other world has an upstream that never fails."""
    return dice.choice(NAMES) if dice.random() < 0.5 else None


def draw_table(dice: random.Random, steady: str | None) -> Table:
    """A table like those before it: other upstreams, limits and rules, the same names."""
    names = dice.sample(NAMES, dice.randrange(2, len(NAMES) + 1))
    if steady is not None and steady not in names:
        names[-1] = steady
    upstreams = {name: _upstream(dice, name, steady=name == steady) for name in names}
    return Table(upstreams, _routes(dice, names), _limits(dice, names, steady))


def _upstream(dice: random.Random, name: str, *, steady: bool) -> Upstream:
    kind = "vllm" if name.startswith("vllm") else "openai"
    open_s = dice.choice((1.0, 4.0, 20.0))
    return Upstream(
        name,
        kind,
        f"http://{name}/v1",
        streams=None if steady else dice.choice((None, None, 1, 2, 4)),
        timeouts=Timeouts(
            first_token_s=dice.choice((3.0, 8.0)),
            idle_s=dice.choice((3.0, 8.0)),
            whole_s=8.0,
            total_s=dice.choice((20.0, 300.0)),
        ),
        breaker=BreakerRules(dice.choice((1, 2, 3, 5)), open_s, open_s * dice.choice((1.0, 4.0))),
        capabilities=KNOWN["vllm" if kind == "vllm" else "plain"],
    )


def _routes(dice: random.Random, names: list[str]) -> tuple[Route, ...]:
    def targets() -> tuple[Target, ...]:
        chosen = dice.sample(names, dice.randrange(1, len(names) + 1))
        models = [Target(name, dice.choice(("m", "n")), PRICE) for name in chosen]
        if dice.random() < 0.2:
            other = "n" if models[0].model == "m" else "m"
            models.append(Target(chosen[0], other, PRICE))
        return tuple(models)

    attempts = dice.randrange(1, 4)
    common = {"attempts": attempts, "max_output_tokens": OUTPUT_MAX}
    hedge = dice.choice((0.1, 0.5, 2.0))
    direct = [
        Route(f"{DIRECT}{name}", (Target(name, "m", PRICE), Target(other, "m", PRICE)), **common)
        for name in names
        for other in names
        if other == names[names.index(name) - 1]
    ]
    return (
        Route("chat", targets(), **common),
        Route("goes-on", targets(), on_midstream=OnMidstream.CONTINUE, **common),
        Route("anew", targets(), on_midstream=OnMidstream.RESTART, **common),
        Route("hedged", targets(), hedge_s=hedge, **common),
        Route("both", targets(), hedge_s=hedge, on_midstream=OnMidstream.CONTINUE, **common),
        *direct,
    )


MODELS = ("chat", "chat", "goes-on", "anew", "hedged", "both")


def _limits(dice: random.Random, names: list[str], steady: str | None) -> tuple[Limit, ...]:
    limits = []
    if dice.random() < 0.3:
        limits.append(Limit(Unit.TOKENS, dice.choice((700, 2_000, 20_000)), Every.MINUTE, per=Per.TENANT))
    if dice.random() < 0.2:
        limits.append(Limit(Unit.STREAMS, dice.randrange(1, 6), None, per=Per.TENANT))
    if dice.random() < 0.2:
        limits.append(Limit(Unit.REQUESTS, dice.choice((3, 20)), Every.MINUTE, per=Per.KEY))
    if dice.random() < 0.2:
        limits.append(Limit(Unit.NANO_USD, dice.choice((10**6, 10**7)), Every.DAY))
    others = [name for name in names if name != steady]
    if others and dice.random() < 0.3:
        limits.append(
            Limit(Unit.TOKENS, dice.choice((700, 3_000)), Every.MINUTE, upstream=dice.choice(others))
        )
    return tuple(limits)


def arrivals(dice: random.Random, life: int, length_s: float) -> list[Arrival]:
    """Who calls in one life: many at one moment, then nobody for a while."""
    found: list[Arrival] = []
    busy = dice.random() < 0.04
    for _ in range(dice.randrange(1, 7)):
        moment = dice.uniform(0.0, length_s)
        spread = dice.choice((0.0, 0.5, 5.0))
        for _ in range(dice.choice((1, 2, 4, 9) if not busy else (20, 40))):
            at = moment + dice.uniform(0.0, spread)
            found.append(_arrival(dice, at, f"{life}.{len(found)}"))
    return sorted(found, key=lambda one: one.at)


def _arrival(dice: random.Random, at: float, number: str) -> Arrival:
    leaves_s = leaves_steps = None
    if dice.random() < 0.15:
        leaves_s = dice.choice((0.0, 0.2, 1.0, 4.0, 15.0)) * dice.random()
    elif dice.random() < 0.15:
        leaves_steps = dice.randrange(0, 60)
    slow_s = dice.choice((0.0, 0.0, 0.0, 0.05, 2.0, 9.0))
    return Arrival(at, draw_call(dice, number), leaves_s, leaves_steps, slow_s)


def draw_call(dice: random.Random, number: str) -> Call:
    """A call of some tenant, patient or not."""
    stream = dice.random() < 0.75
    model = dice.choice(MODELS)
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}], "stream": stream}
    usage = stream and dice.random() < 0.3
    if usage:
        body["stream_options"] = {"include_usage": True}
    return Call(
        id=f"req_{number}",
        created=1,
        identity=Identity(dice.choice(TENANTS), dice.choice(("k1", "k2"))),
        model=model,
        body=body,
        prompt_bytes=len(orjson.dumps(body)),
        stream=stream,
        include_usage=usage,
        preferred=dice.choice((None, None, None, *NAMES)),
        patience_s=dice.choice((None, None, None, 1.0, 6.0, 30.0)),
        silence_s=dice.choice((None, None, None, 5.0, 20.0)),
        retries=dice.choice((0, 0, 0, 0, 1)),
    )


def looking(call: Call, name: str) -> Call:
    """The same call as a look at one upstream: patient, and for nobody's sake."""
    body = {**call.body, "model": f"{DIRECT}{name}"}
    return replace(
        call,
        id=f"look_{call.id}_{name}",
        identity=Identity("look", f"look-{name}"),
        model=body["model"],
        body=body,
        preferred=None,
        patience_s=None,
        silence_s=None,
        retries=0,
    )
