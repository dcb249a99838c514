"""The composition root: builds the rooms, wires the ports, starts and drains in order.

`cli/serve.py` calls `serve`. This is the only file that knows every concrete room; it holds no logic
of its own beyond the order of things: what is opened first is closed last, readiness flips before
the drain, and a stop that comes twice does not wait.
"""

import asyncio
import gc
import logging
import os
import resource
import secrets
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from proxy.audience import Audience
from proxy.call import Call
from proxy.config import Loaded, load
from proxy.config.regular import stamp_of
from proxy.config.settings import Address, Settings
from proxy.duties.acts import Office, answer_letters, heed_letters
from proxy.duties.lag import watch_lag
from proxy.duties.load import watch_load
from proxy.duties.refresh_keys import refresh_keys
from proxy.duties.reload import Standing, fresh_snapshot, reload_table
from proxy.duties.retention import keep_retention
from proxy.duties.supervisor import Duty, supervised
from proxy.explain import Explanation, Sight, explain
from proxy.metrics import Metrics
from proxy.notify.log import LogAlerts
from proxy.notify.webhook import WebhookAlerts, open_webhook
from proxy.policy.lag import Lag
from proxy.ports import Counters, Observer, Upstreams
from proxy.recent import Recent
from proxy.relay import Desk
from proxy.server.gate import Gate
from proxy.server.listeners import Listeners, open_listeners
from proxy.server.siblings import METRICS, SIGHT, open_siblings
from proxy.server.twins import Twins
from proxy.server.views.fresh import Fresh
from proxy.server.views.glance import open_glance
from proxy.server.views.sight import Watched
from proxy.server.visit import Check, Glass, Listener, Service, Views
from proxy.server.worker import Worker
from proxy.simulator import serve as simulate
from proxy.snapshot import Snapshot
from proxy.store import open_keys, open_ledger
from proxy.store.keys import KeyStore, known_person
from proxy.store.ledger import DurableLedger
from proxy.store.memories import Memories
from proxy.store.recall import MemoryRecall
from proxy.store.view import View
from proxy.table import Secret, Table
from proxy.tracing import open_traces
from proxy.upstream.client import open_upstreams
from proxy.upstream.posting import post
from proxy.upstream.reaching import Reacher

log = logging.getLogger("proxy.app")

CALLS_MAX = 10_000
"""At once, where the settings say nothing and there are files enough."""
SPARE_FILES = 64
"""For the databases, the listeners, idle connections and those who are only told to come again."""


class SystemClock:
    """The Clock port on this machine."""

    def __init__(self) -> None:
        self.mono: Callable[[], float] = asyncio.get_running_loop().time

    def wall_us(self) -> int:
        return time.time_ns() // 1000


class SystemDice:
    """The Dice port on this machine's entropy."""

    def roll(self) -> float:
        return secrets.randbits(53) / (1 << 53)

    def token(self) -> str:
        return os.urandom(12).hex()


class Running(Struct, frozen=True):
    """A proxy that serves; what `serve` shows to whoever started it."""

    bound: Mapping[Listener, Address]
    """Where each listener really is."""
    simulator: str | None
    """Base address of the built-in simulator, if any route needed it."""


class Guests(Struct, frozen=True):
    """Who calls from within, beside those who come through the door: a rehearsal that is watched live."""

    observer: Observer
    """Told what happens, beside the others."""
    come: Callable[[Callable[[], Desk]], Awaitable[None]]
    """Call at the desk that is in force, until there are enough."""


class Orders(Struct, frozen=True):
    """What to serve."""

    loaded: Loaded
    config: Path | None = None
    """The file that `loaded` came from, watched for edits; None: it came from the environment."""
    script: Path | None = None
    """How simulated upstreams misbehave."""
    worker: Worker | None = None
    """Which of several workers this is; None: the only one."""
    way_out: Callable[[Reacher], AbstractAsyncContextManager[Upstreams]] = open_upstreams
    """How upstreams are called."""
    guests: Guests | None = None


async def serve(orders: Orders) -> None:
    """Serve until SIGTERM or SIGINT, then drain. The second signal does not wait.

    Raises `StoreRefused` if the ledger or the keys cannot be opened and `OSError` if a port cannot.
    """
    stop, hurry = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def stopped() -> None:
        (hurry if stop.is_set() else stop).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped)
    if orders.worker is not None:
        loop.add_reader(orders.worker.leash, _let_go, loop, orders.worker.leash, stopped)
    async with AsyncExitStack() as stack:
        listeners, running = await _open(stack, orders)
        _keep_what_was_built()
        _announce(orders.loaded, running)
        await stop.wait()
        patience_s = orders.loaded.settings.drain_s
        log.info("draining", extra={"patience_s": patience_s})
        async with asyncio.TaskGroup() as group:
            rush = group.create_task(_on(hurry, listeners.hurry), name="second signal")
            await listeners.drain(patience_s)
            rush.cancel()
    log.info("stopped")


def _keep_what_was_built() -> None:
    """What exists at the start never dies, so that the collector need never look at it again.

    The youngest generation is collected before the freeze. The older ones were collected while they were
    built, and a full collection would delay the first answer.
    """
    gc.collect(0)
    gc.freeze()


def _let_go(loop: asyncio.AbstractEventLoop, leash: int, stopped: Callable[[], None]) -> None:
    """Whoever supervised this worker is gone."""
    loop.remove_reader(leash)
    log.error("the supervisor of the workers is gone, so this one ends")
    stopped()


async def _on(event: asyncio.Event, act: Callable[[], None]) -> None:
    await event.wait()
    act()


async def _open(stack: AsyncExitStack, orders: Orders) -> tuple[Listeners, Running]:
    """Open every room, from the ledger to the sockets, and wire them."""
    settings, clock, dice, reacher = orders.loaded.settings, SystemClock(), SystemDice(), Reacher()
    simulator = await stack.enter_async_context(_simulator(orders))
    place = partial(_placed, base=simulator)
    table = place(orders.loaded.table)
    metrics = Metrics(lambda model: model in standing.models, clock.wall_us)
    webhook = await stack.enter_async_context(_webhook(lambda: standing.table.webhook, reacher))
    twins = Twins(clock)
    recent = Recent(clock.wall_us)
    traces = await stack.enter_async_context(open_traces(os.environ))
    guests = () if orders.guests is None else (orders.guests.observer,)
    audience = Audience.of(metrics, recent, LogAlerts(), webhook, twins.bills, *traces, *guests)
    keys = await stack.enter_async_context(open_keys(settings.ledger, clock=clock))
    ledger = await stack.enter_async_context(
        open_ledger(settings.ledger, clock=clock, on_alert=audience.alert, seal=keys.seal)
    )
    upstreams = await stack.enter_async_context(orders.way_out(reacher))
    recall = MemoryRecall(clock)
    desk = Desk(fresh_snapshot(table), upstreams, ledger, recall, clock, dice, audience)
    standing = Standing(desk, settings, place, orders.loaded.stamp)
    lag = Lag(settings.max_lag_s)
    gate = Gate(_most_calls(settings.max_calls), metrics.shed, lambda: lag.shedding)
    _watch(metrics, gate, standing, ledger)
    number = orders.worker.number if orders.worker else 1
    watched = Watched(number, lambda: standing.desk.snapshot, recent, gate, lambda: standing.faults, clock)
    shown = await stack.enter_async_context(_shown(metrics, watched, settings, orders.worker))
    service = Service(
        answer=standing.answer,
        table=lambda: standing.table,
        keys=keys,
        open_to_all=settings.auth == "none",
        clock=clock,
        dice=dice,
        gate=gate,
        twins=twins,
        metrics=shown.metrics,
        glass=Glass(partial(_explained, standing, ledger), partial(known_person, settings.ledger)),
        views=shown.views,
        checks=_checks(ledger, standing),
        origins=settings.origins,
    )
    listeners = await stack.enter_async_context(open_listeners(service, _addresses(settings), orders.worker))
    # Last: whatever fails while a duty runs arrives in an exception group, and no port in use may.
    duties = [*_for_people(standing, keys, ledger, (recall, twins)), Duty("post alerts", webhook.deliver)]
    duties += _invited(standing, orders.guests)
    duties += _of_load(standing, lag, metrics)
    duties += _reloading(orders.config, standing, metrics)
    await stack.enter_async_context(supervised(duties, clock=clock, sleep=asyncio.sleep))
    return listeners, Running(listeners.bound, simulator)


def _webhook(
    address: Callable[[], Secret | None], reacher: Reacher
) -> AbstractAsyncContextManager[WebhookAlerts]:
    """Who posts alerts, over the same way out as calls."""
    return open_webhook(address, partial(post, reacher), asyncio.sleep)


def _invited(standing: Standing, guests: Guests | None) -> list[Duty]:
    if guests is None:
        return []
    return [Duty("guests", partial(guests.come, lambda: standing.desk))]


async def _explained(standing: Standing, counters: Counters, call: Call) -> Explanation:
    """What would become of a call, by all that is in force now."""
    desk = standing.desk
    clock = desk.clock
    return await explain(Sight(desk.snapshot, desk.recall, counters, clock.mono(), clock.wall_us()), call)


def _checks(ledger: DurableLedger, standing: Standing) -> tuple[Check, ...]:
    return (
        Check("ledger", lambda: ledger.trouble),
        Check("table", lambda: standing.trouble, vital=False),
    )


def _watch(metrics: Metrics, gate: Gate, standing: Standing, ledger: DurableLedger) -> None:
    """Have the metrics ask, at each scrape, who knows more."""
    metrics.watch_in_flight(lambda: gate.live)
    metrics.watch_breakers(lambda: standing.breakers)
    metrics.watch_closed(lambda: standing.closed)
    metrics.watch_ledger(lambda: ledger.pulse)


def _most_calls(wanted: int | None) -> int | None:
    """How many calls there may be at once; None: as many as come. Each takes a file on either side."""
    if wanted is not None:
        return wanted or None
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return CALLS_MAX
    return max(1, min(CALLS_MAX, (files - SPARE_FILES) // 2))


def _for_people(
    standing: Standing, keys: KeyStore, ledger: DurableLedger, memories: tuple[Memories, ...]
) -> list[Duty]:
    """What is owed to people: keys taken back, acts that are asked for, rows that go."""
    desk, sleep = standing.desk, asyncio.sleep
    office = Office(ledger, keys, memories)
    return [
        Duty("refresh keys", partial(refresh_keys, keys, sleep)),
        Duty("heed letters", partial(heed_letters, keys.mailbox, office, sleep)),
        Duty("answer letters", partial(answer_letters, keys.mailbox, office, desk.clock, sleep)),
        Duty(
            "keep retention",
            partial(keep_retention, lambda: standing.table, ledger, desk.clock, desk.dice, sleep),
        ),
    ]


def _of_load(standing: Standing, lag: Lag, metrics: Metrics) -> list[Duty]:
    """What keeps an eye on how much there is to do, here and upstream."""
    clock, upstreams, sleep = standing.desk.clock, standing.desk.upstreams, asyncio.sleep

    def snapshot() -> Snapshot:
        return standing.desk.snapshot

    metrics.watch_lag(lambda: lag.now_s)
    metrics.watch_loads(lambda: snapshot().health.loads(clock.mono()))
    return [
        Duty("watch lag", partial(watch_lag, lag, clock, sleep)),
        Duty("watch load", partial(watch_load, snapshot, upstreams, metrics.load_read, clock, sleep)),
    ]


def _reloading(config: Path | None, standing: Standing, metrics: Metrics) -> list[Duty]:
    """The file that was read is watched for edits, and read anew on SIGHUP; the environment is not."""
    loop = asyncio.get_running_loop()
    if config is None:
        loop.add_signal_handler(
            signal.SIGHUP, log.warning, "no file to read anew: the environment is the table"
        )
        return []
    loop.add_signal_handler(signal.SIGHUP, standing.ask)
    look, read = partial(stamp_of, config), partial(load, config, os.environ)
    return [
        Duty("reload table", partial(reload_table, standing, look, read, metrics.reloaded, asyncio.sleep))
    ]


@asynccontextmanager
async def _simulator(orders: Orders) -> AsyncIterator[str | None]:
    """The built-in simulator where the settings allow one, on a port of its own; yields its base address."""
    if orders.loaded.settings.simulator == "off":
        if orders.script is not None:
            log.warning("the simulator's script is not used: the settings have no simulator")
        yield None
        return
    async with simulate(orders.script, "127.0.0.1", 0) as base:
        yield base


class _Shown(Struct, frozen=True):
    """What is shown to scrapers and to whoever watches."""

    metrics: Callable[[], Awaitable[bytes]]
    views: Views


@asynccontextmanager
async def _shown(
    metrics: Metrics, watched: Watched, settings: Settings, worker: Worker | None
) -> AsyncIterator[_Shown]:
    """Where they get it from: this process, or all workers."""
    async with open_glance(View(settings.ledger), watched.clock) as glance:
        alone = Fresh(watched.alone, watched.clock.mono)
        views = Views(alone.get, glance, admin_host=settings.admin.host if settings.admin else None)
        if worker is None:

            async def own() -> bytes:
                return metrics.render()

            yield _Shown(own, views)
        else:
            own_words = {METRICS: metrics.render, SIGHT: lambda: watched.sight().dump()}
            async with open_siblings(worker, own_words) as siblings:
                together = Fresh(siblings.sights, watched.clock.mono)
                yield _Shown(siblings.metrics, replace(views, sights=together.get, workers=worker.of))


def _placed(table: Table, *, base: str | None) -> Table:
    """The table with its simulated upstreams where the simulator really is."""
    upstreams = {
        name: replace(upstream, base_url=f"{base}/{name.removeprefix('simulated-')}/v1")
        if upstream.simulated
        else upstream
        for name, upstream in table.upstreams.items()
    }
    return replace(table, upstreams=upstreams)


def _addresses(settings: Settings) -> dict[Listener, Address]:
    wanted = {
        Listener.PUBLIC: settings.listen,
        Listener.ADMIN: settings.admin,
        Listener.PROBES: settings.probes,
    }
    return {listener: address for listener, address in wanted.items() if address is not None}


def _announce(loaded: Loaded, running: Running) -> None:
    for notice in loaded.notices:
        log.warning(notice)
    bound = {listener.value: str(address) for listener, address in running.bound.items()}
    log.info("serving", extra=bound | {"simulator": running.simulator})
