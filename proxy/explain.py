"""What would become of a call, told without making it: its route, who would be asked, and why not the others.

`server/explaining.py` asks for an operator of a running proxy, `cli/explain.py` for a table in a file. There
is no second opinion in here: the call is judged by `judge`, its account is opened as every call's is, and the
very plan that the story carries out is walked, as if whoever is asked failed at once. Only what it works on
is not real: a twin of the health, a ledger that looks and holds nothing, and a clock that stands. Nothing is
sent, held, counted or kept, and no word of the call's body is told.
"""

from collections.abc import Awaitable, Iterable, Iterator

from msgspec import Struct

from proxy.account import Account
from proxy.audience import Audience
from proxy.book import Book
from proxy.call import Call, Passed, Signal
from proxy.errors import Failure, Told
from proxy.holds import Balance, Claim, Granted, Hold, Progress, Settlement, Spent
from proxy.judgement import Judgement, judge
from proxy.policy.patience import PlanRules
from proxy.policy.plan import Plan
from proxy.policy.steps import Event, Failed, Queue, Skipped, Stop, Try, Wait, Woke
from proxy.ports import Counters, Recall
from proxy.snapshot import Snapshot
from proxy.table import Route, Target

MICRO = 1_000_000
ASSUMED = "assumed to fail"
"""What is said to the plan of whoever would be asked, to hear who comes next."""
NOT_REACHED = "not reached before the call would end"


class Sight(Struct, frozen=True):
    """What an explanation looks at."""

    snapshot: Snapshot
    recall: Recall
    counters: Counters | None
    """None: what has been used is not known, so that nothing is spent."""
    mono: float
    wall_us: int


class Finding(Struct, frozen=True):
    """What would become of one target of the route."""

    target: str
    """`upstream/model`."""
    turn: int | None
    """The how-manieth it would be asked, if all before it failed; None: it would not be."""
    why: str = ""
    """Why not, or why not at once."""
    until_us: int | None = None
    """When that ends, if it is known (Unix microseconds)."""
    after_s: float = 0.0
    """For so long the call would wait before asking it."""
    nano_usd: int | None = None
    """The most that one answer of it can cost; None: it has no price, and counts as free."""
    dropped: tuple[str, ...] = ()
    """Members of the call that it would not be asked for."""


class Counter(Struct, frozen=True):
    """One counter that would have to hold the call."""

    scope: str
    unit: str
    amount: int
    """What the call would hold of it."""
    ceiling: int
    used: int | None
    """None: it was not looked at."""
    held: int | None
    until_s: int
    """Its window's end, Unix seconds; calls at once have none: 0."""
    upstream: str | None
    """Whose it is; spent, that upstream is skipped, and where there is none the caller is refused."""
    shadow: bool
    spent: bool


class Bounds(Struct, frozen=True):
    """The most that the call can use, and what is held for it."""

    input_tokens: int
    output_tokens: int
    answers: int
    """Answers that are held for: more than one where another may have to go on, or is asked as well."""
    nano_usd: int | None
    """For all of them together, at the dearest target's price; None: one that may answer has no price, so
    that nobody knows, though limits count it as free."""


class Refusal(Struct, frozen=True):
    """What the caller would be told."""

    status: int
    code: str | None
    message: str

    @classmethod
    def of(cls, told: Told) -> "Refusal":
        return cls(told.status, told.code, told.message)


class Standing(Struct, frozen=True):
    """How it stands with one upstream of the route."""

    upstream: str
    state: str
    """Of its breaker: `closed`, `open` or `half_open`."""
    under_way: int
    """Attempts just now."""


class Explanation(Struct, frozen=True):
    """All that would be decided about one call."""

    model: str
    tenant: str
    live: bool
    """Whether the state of a running proxy is in it."""
    at_us: int
    route: str | None
    """The route's own `model`; None: none matches."""
    number: int | None
    """Which of the routes it is, from 1."""
    refused: Refusal | None
    """Why nobody would be asked; None: somebody would."""
    bounds: Bounds | None
    targets: tuple[Finding, ...] = ()
    """Those that would be asked, in order, then the others as the route lists them."""
    counters: tuple[Counter, ...] = ()
    upstreams: tuple[Standing, ...] = ()
    """Of the route's; none where nothing live is known."""


async def explain(sight: Sight, call: Call) -> Explanation:
    """What would be done about `call` now. Raises `Refused` where the counters cannot be read."""
    who, live = call.identity.tenant, sight.counters is not None
    try:
        judged = judge(sight.snapshot.terms, call, sight.recall)
    except Failure as fault:
        refused = Refusal.of(fault.told)
        return Explanation(call.model, who, live, sight.wall_us, None, None, refused, None)
    walk = _Walk(sight, judged, _Glass(sight.counters))
    if judged.refused is None:
        await walk.go()
    else:
        walk.refused = judged.refused.told
    route = judged.route
    return Explanation(
        call.model,
        who,
        live,
        sight.wall_us,
        route.model,
        sight.snapshot.table.routes.index(route) + 1,
        None if walk.refused is None else Refusal.of(walk.refused),
        _bounds(judged),
        (*walk.asked, *walk.others()),
        tuple(walk.ledger.seen.values()),
        _standings(sight, route) if live else (),
    )


class _Glass:
    """The Ledger port that looks: it answers what the ledger would, and holds nothing."""

    def __init__(self, counters: Counters | None) -> None:
        self._counters = counters
        self.seen: dict[str, Counter] = {}
        """By scope, in the order in which they were asked for."""

    async def reserve(self, hold: Hold) -> Granted | Spent:
        return await self._look(hold.claims)

    async def move(self, call_id: str, claims: tuple[Claim, ...]) -> Granted | Spent:
        return await self._look(claims)

    def commit(self, settlement: Settlement) -> Awaitable[None]:
        raise RuntimeError("an explanation settles nothing")

    release = commit

    def note(self, progress: Progress) -> None:
        raise RuntimeError("an explanation has no answer to note")

    async def _look(self, claims: tuple[Claim, ...]) -> Granted | Spent:
        known = await self._counters.look(claims) if self._counters is not None and claims else {}
        balances, refused = [], None
        for claim in claims:
            used, held = known.get(claim.counter, (0, 0))
            after = Balance(claim, used, held + claim.amount)
            spent = after.over and not claim.shadow
            balances.append(after)
            self.seen[claim.scope] = self._counter(claim, used, held, spent=spent)
            if spent and refused is None:
                refused = Spent(claim, used, held)
        return refused or Granted(tuple(balances))

    def _counter(self, claim: Claim, used: int, held: int, *, spent: bool) -> Counter:
        looked = self._counters is not None
        return Counter(
            claim.scope,
            claim.unit,
            claim.amount,
            claim.ceiling,
            used if looked else None,
            held if looked else None,
            claim.window_end,
            claim.upstream,
            claim.shadow,
            spent,
        )


class _Still(Struct):
    """The Clock port of a moment; it moves only where the plan would wait."""

    began: float
    began_us: int
    now: float

    def mono(self) -> float:
        return self.now

    def wall_us(self) -> int:
        return self.wall_of(self.now)

    def wall_of(self, mono: float) -> int:
        """A moment of `mono` as Unix microseconds."""
        return self.began_us + round((mono - self.began) * MICRO)


class _Even:
    """The Dice port that surprises nobody."""

    def roll(self) -> float:
        return 0.5

    def token(self) -> str:
        raise RuntimeError("an explanation names nothing")


class _Walk:
    """A call's way through its targets, each assumed to fail once it is asked."""

    def __init__(self, sight: Sight, judged: Judgement, ledger: _Glass) -> None:
        self._sight = sight
        self._judged = judged
        self._clock = _Still(sight.mono, sight.wall_us, sight.mono)
        self._passed: dict[str, Passed] = {}
        """The latest word on each target that was not asked, by its name."""
        self.ledger = ledger
        self.asked: list[Finding] = []
        self.refused: Told | None = None
        """What the caller would be told, where nobody would be asked."""

    async def go(self) -> None:
        """Walk the plan to its end."""
        book = Book.of(self._judged, self._sight.wall_us)
        account = Account(book, self.ledger, self._clock, Audience())
        try:
            await account.open()
        except Failure as refused:  # the walk goes on: who would have been asked is worth knowing
            self.refused = refused.told
        rules = PlanRules.of(book.call, book.route, self._sight.mono)
        health = self._sight.snapshot.health.twin()
        plan = Plan(book.selection.candidates, health, rules, _Even(), book.selection.passed_over)
        step = plan.start(self._clock.mono())
        while True:
            match step:
                case Try():
                    event = await self._ask(book, account, step)
                case Wait() | Queue():
                    if isinstance(step, Wait):
                        self._clock.now = step.until
                    health.make_room()  # whoever waits for a place is taken to get one
                    event = Woke()
                case Stop(failure):
                    self._note(plan.passed)
                    self.refused = self.refused or (None if self.asked else failure.told)
                    return
                case _:
                    raise RuntimeError("no answer was seen that anything could follow from")
            step = plan.on(event, self._clock.mono())

    async def _ask(self, book: Book, account: Account, step: Try) -> Event:
        """As the story does, up to the moment in which something would be sent."""
        self._note(step.passed)
        attempt = book.attempt(step, self._sight.recall)
        if isinstance(attempt, Signal):
            return Failed(attempt)
        skipped = await account.add(step.candidate)
        if skipped is not None:
            return skipped
        self._find(step.candidate.target, attempt.losses)
        return Skipped(ASSUMED, None)

    def _note(self, passed: Iterable[Passed]) -> None:
        for one in passed:
            if one.why != ASSUMED:
                self._passed[f"{one.upstream}/{one.model}"] = one

    def _find(self, target: Target, losses: tuple[str, ...] = ()) -> None:
        """The target would be asked next, perhaps after it was passed over for a while."""
        why = self._passed.pop(str(target), None)
        self.asked.append(
            Finding(
                str(target),
                len(self.asked) + 1,
                "" if why is None else why.why,
                self._until(why),
                self._clock.now - self._sight.mono,
                self._cost(target),
                losses,
            )
        )

    def others(self) -> Iterator[Finding]:
        """Those that would not be asked, as the route lists them, then those that are off."""
        judged, asked = self._judged, {one.target for one in self.asked}
        unable = {str(one.target): one.why for one in judged.selection.passed_over}
        for target in judged.route.targets:
            name = str(target)
            if name not in asked:
                passed = self._passed.get(name)
                why = unable.get(name, NOT_REACHED) if passed is None else passed.why
                yield Finding(name, None, why, self._until(passed), nano_usd=self._cost(target))
        for target in judged.route.off:
            yield Finding(str(target), None, f"off ({self._sight.snapshot.table.off[target.upstream]})")

    def _until(self, passed: Passed | None) -> int | None:
        """Unix microseconds; None: nobody knows when, such as for calls at once."""
        if passed is None or passed.until is None or passed.until <= self._sight.mono:
            return None
        return self._clock.wall_of(passed.until)

    def _cost(self, target: Target) -> int | None:
        if target.price is None:
            return None
        most, parts = self._judged.estimate, 1 + self._judged.spares
        return target.price.worst(most.input_tokens // parts, most.output_tokens // parts)


def _bounds(judged: Judgement) -> Bounds:
    most, parts = judged.estimate, 1 + judged.spares
    known = all(one.target.price is not None for one in judged.selection.candidates)
    nano_usd = judged.nano_usd if known else None
    return Bounds(most.input_tokens // parts, most.output_tokens // parts, parts, nano_usd)


def _standings(sight: Sight, route: Route) -> tuple[Standing, ...]:
    health, names = sight.snapshot.health, dict.fromkeys(target.upstream for target in route.targets)
    return tuple(Standing(name, health.state(name, sight.mono), health.under_way(name)) for name in names)
