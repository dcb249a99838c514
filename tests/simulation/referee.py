"""The referee: what must hold whenever somebody is asked, whenever an attempt ends, and whenever time moves.

It keeps books of its own (`visits.py`) about who was let in, what was really felt and what was asked for, and
derives from them what the story may do. It copies no decision of the policies: where they are free, it says
nothing; where a promise binds them, it says so.

The numbers are those of the reference and of the table; `proxy.policy` is asked for none but its constants.
"""

from collections.abc import Mapping, Sequence

from proxy.call import Attempt, Outcome, Signal
from proxy.holds import Claim
from proxy.policy.breaker import LAST_OPEN_S, LAST_PROBES, RAMP_FROM, RAMP_S
from proxy.policy.budget import HALF_S, LEAST, SHARE
from proxy.policy.circles import UpstreamHealth
from proxy.policy.classify import Blame, Verdict
from proxy.policy.retry import RETRY_AFTER_MAX_S
from proxy.table import BreakerRules, Target, Upstream
from tests.simulation.trace import Trace
from tests.simulation.visits import NEVER, Station, Try, Visit
from tests.simulation.weather import LATE, REFUSALS, Script

ACCOUNT_SHUT_S = 300.0
MODEL_SHUT_S = 60.0
SLACK_S = 0.2
"""What the ledger may take before an answer is told."""
HEARD_STEPS = 4
CUT_SHORT = frozenset({"caller_gone", "shutdown", "outrun"})
"""Results of attempts that say nothing about anyone."""


class Referee:
    """One for each life: what a process knows of health is gone when it dies."""

    def __init__(self, trace: Trace, held: Mapping[str, Sequence[Claim]]) -> None:
        self.trace = trace
        self.returned: set[str] = set()
        """Upstreams that were taken from the table and came back: they begin anew, under the same name."""
        self._known: set[str] = set()
        self.told: dict[str, str] = {}
        """What observers heard last of each breaker."""
        self._held = held
        """What the ledger holds for each call."""
        self.stations: dict[str, Station] = {}
        """Those that the table in force names."""
        self.racing: dict[Visit, None] = {}
        """Visits that have asked more than one upstream."""
        self.visits: dict[str, Visit] = {}
        self._cool: dict[tuple[str, str], float] = {}
        self._shut: dict[tuple[int, str, str], tuple[float, float]] = {}
        """(generation, upstream, model or nothing): since and until when a refusal keeps it shut."""
        self._least: dict[tuple[str, str, bool], float] = {}
        self._last_now = 0.0

    def stations_of(
        self, rules: Mapping[str, BreakerRules], streams: Mapping[str, int]
    ) -> dict[str, Station]:
        """A new table: upstreams that keep their name keep their station."""
        self.returned |= rules.keys() & (self._known - self.stations.keys())
        self._known |= rules.keys()
        kept: dict[str, Station] = {}
        self._least = {key: least for key, least in self._least.items() if key[0] in rules}  # else forgotten
        for name, rule in rules.items():
            station = kept[name] = self.stations.get(name) or Station(name, rule, None)
            station.rules = rule
            if station.limit != streams.get(name):
                station.limit, station.limited = streams.get(name), self.trace.now()
        self.stations = kept
        return dict(kept)

    # ── somebody is let in ────────────────────────────────────────────────────────────────────────

    def knocked(self, visit: Visit, target: Target, station: Station) -> None:
        """Somebody wants in: while it recovers, each brings his share of one place."""
        visit.asked_for.add(target)
        share = RAMP_FROM + (self.trace.now() - station.closed) / RAMP_S
        station.allowance += min(1.0, share)

    def admitted(self, visit: Visit, target: Target, station: Station, *, last: bool) -> Try:
        """A ticket was given."""
        now = self.trace.now()
        attempt = Try(visit, target, station, now, station.turns, last)
        self.trace.say("let in", attempt, station.state)
        self._may_ask(attempt)
        self._is_open(attempt)
        self._has_room(attempt)
        self._may_repeat(attempt)
        station.out.append(attempt)
        visit.tries.append(attempt)
        if len(visit.tries) > 1:
            self.racing[visit] = None
        return attempt

    def _may_ask(self, attempt: Try) -> None:
        demand, visit, now = self.trace.demand, attempt.visit, self.trace.now()
        demand(self._heeds(visit), "nobody is asked for a caller who has left:", attempt)
        demand(visit.outcome is None, "nobody is asked for a call that has ended:", attempt)
        demand(attempt.target in visit.route.targets, "a call keeps the table it began with:", attempt)
        alone = not any(one in one.station.out for one in visit.tries)
        if alone and visit.end == NEVER and visit.begun is None:
            before = visit.order[: visit.order.index(attempt.target)]
            passed = [one for one in before if one not in visit.asked_for]
            demand(not passed, "targets are asked in the order of the table:", attempt, *passed)
        demand(now < visit.end, "nothing is started after the caller's patience:", attempt)
        least = self._least.get((attempt.target.upstream, attempt.target.model, visit.call.stream), 0.0)
        demand(least <= visit.end - now, "nobody is asked who was never quick enough:", attempt, least)

    def _heeds(self, visit: Visit) -> bool:
        """A hang-up is heard of within some steps of the same moment: a race has tasks of its own."""
        return self.trace.step() <= visit.left_at + HEARD_STEPS

    def _is_open(self, attempt: Try) -> None:
        demand, station, now = self.trace.demand, attempt.station, self.trace.now()
        target, generation = attempt.target, attempt.visit.generation
        cool = self._cool.get((target.upstream, target.model), 0.0)
        demand(now >= cool, "Retry-After is respected:", attempt, "cool until", cool)
        for circle in ("", target.model):
            _, until = self._shut.get((generation, target.upstream, circle), (0.0, 0.0))
            demand(now >= until, "a refused account or model is left alone:", attempt, "until", until)
        if station.state == "open":
            rules = station.opened_by
            open_s = min(rules.open_s, rules.open_max_s)
            until = station.opened + (min(open_s, LAST_OPEN_S) if attempt.last else open_s)
            demand(now >= until, "an open breaker lets nobody in:", attempt, "until", until)
        elif station.state == "half_open":
            probes = sum(one.probe for one in station.out)
            demand(probes < (LAST_PROBES if attempt.last else 1), "probes are few:", attempt, probes)

    def _has_room(self, attempt: Try) -> None:
        demand, station = self.trace.demand, attempt.station
        if station.limit is not None and self.trace.now() > station.limited:
            demand(len(station.out) < station.limit, "no more at once than it bears:", attempt, station.limit)
        if attempt.last:
            station.allowance += 1.0
        station.let_in += 1
        if station.state == "closed" and self.trace.now() < station.closed + (1.0 - RAMP_FROM) * RAMP_S:
            fits = station.let_in <= station.allowance + 1.0 + 1e-9
            demand(fits, "who has just risen is not overrun:", attempt, station.let_in, station.allowance)

    def _may_repeat(self, attempt: Try) -> None:
        """Tries at one target are counted, and second ones are a share of the first."""
        demand, visit, station, now = self.trace.demand, attempt.visit, attempt.station, self.trace.now()
        repeated = visit.call.retries > 0
        before = sum(one.target == attempt.target for one in visit.tries)
        most = 1 if repeated else visit.route.attempts
        demand(before < most, "a target has its tries and no more:", attempt, before)
        beside = any(one in one.station.out for one in visit.tries)
        if before or beside:
            calls, retries = (
                sum(0.5 ** ((now - at) / HALF_S) for at, again in station.tried if again is kind)
                for kind in (False, True)
            )
            most = max(LEAST, SHARE * calls)
            demand(retries + 1 <= most + 1e-6, "second tries are within budget:", attempt, retries, most)
        station.tried.append((now, bool(before or beside or repeated)))

    # ── it is asked, and it ends ──────────────────────────────────────────────────────────────────

    def sent(
        self, visit: Visit, upstream: Upstream, model: str, prefix: str, drawn: tuple[Script, str]
    ) -> Try:
        """A request went out; which of the visit's tickets it is for."""
        waiting = [
            one
            for one in visit.tries
            if one.script is None
            and one in one.station.out
            and (one.target.upstream, one.target.model) == (upstream.name, model)
        ]
        self.trace.demand(len(waiting) == 1, "a request has a ticket:", visit.call.id, upstream.name, model)
        (attempt,) = waiting
        attempt.script, attempt.answer = drawn
        self.trace.say("asked to go on" if prefix else "asked", attempt)
        self.trace.demand(self._heeds(visit), "nothing is sent for a caller who has left:", attempt)
        for limit in visit.table.limits:
            if limit.upstream in (None, upstream.name):
                held = any(
                    (one.unit, one.ceiling, one.upstream) == (limit.unit, limit.ceiling, limit.upstream)
                    for one in self._held[visit.call.id]
                )
                self.trace.demand(held, "nothing is sent that is not held for:", attempt, limit.unit)
        if prefix:
            same = prefix == visit.shown
            self.trace.demand(same, "it goes on from what the caller has:", repr(prefix), repr(visit.shown))
        return attempt

    def noted(self, visit: Visit, entry: Attempt) -> None:
        """The story has entered an attempt."""
        open_ = [
            one
            for one in visit.tries
            if one.script
            and one.result is None
            and (one.target.upstream, one.target.model) == (entry.upstream, entry.model)
        ]
        self.trace.demand(open_, "what is noted was sent:", visit.call.id, entry.upstream)
        attempt = open_[0]
        attempt.result = entry.result
        self.trace.say("noted", attempt, entry.result)
        self.trace.demand(not attempt.open, "a body is closed when its attempt has ended:", attempt)
        total_s = visit.table.upstreams[entry.upstream].timeouts.total_s + visit.slept + SLACK_S
        ended = self.trace.now() <= attempt.admitted + total_s
        self.trace.demand(ended, "an attempt has an end:", attempt)

    def began(self, attempt: Try) -> None:
        """The first content of it came."""
        visit, target = attempt.visit, attempt.target
        if visit.begun is None and self.stations.get(target.upstream) is attempt.station:
            key = (target.upstream, target.model, visit.call.stream)
            took = self.trace.now() - attempt.admitted
            self._least[key] = min(took, self._least.get(key, NEVER))

    def answered(self, attempt: Try) -> None:
        """Its ticket came back for a whole answer."""
        self.trace.demand(attempt.complete, "only a whole answer is a success:", attempt)
        self._back(attempt)
        self._well(attempt)

    def left(self, attempt: Try) -> None:
        """Its ticket came back, and says nothing of anyone."""
        visit = attempt.visit
        late = attempt.script is None or attempt.script.kind in LATE or not attempt.faulted
        left = visit.gone or visit.life.draining or attempt.result in CUT_SHORT
        fair = late or left or self.trace.now() >= visit.end
        self.trace.demand(fair, "a fault that was felt counts:", attempt, attempt.result)
        self._back(attempt)

    def failed(self, attempt: Try, verdict: Verdict, signal: Signal) -> bool:
        """Its ticket came back for a failure; whether that counts against the upstream as a whole."""
        now, station, script = self.trace.now(), attempt.station, attempt.script
        self.trace.demand(
            attempt.result not in CUT_SHORT, "who leaves blames nobody:", attempt, attempt.result
        )
        self._back(attempt)
        if verdict.blame is Blame.NONE:
            return False
        fault = script is not None and attempt.faulted
        self.trace.demand(
            fault, "nobody is blamed who did nothing wrong:", attempt, signal.kind, signal.phase
        )
        if script.retry_after_s is not None:
            key = (attempt.target.upstream, attempt.target.model)
            asked = now + min(max(script.retry_after_s, 0.0), RETRY_AFTER_MAX_S)
            self._cool[key] = max(asked, self._cool.get(key, 0.0))
        if script.kind in REFUSALS:
            self._close(attempt, "", ACCOUNT_SHUT_S)
        elif script.kind == "404":
            self._close(attempt, attempt.target.model, MODEL_SHUT_S)
        elif verdict.blame is Blame.UPSTREAM:
            station.faults += 1
            station.row += attempt.turn == station.turns
            return attempt.turn == station.turns
        return False

    def _close(self, attempt: Try, circle: str, seconds: float) -> None:
        key = (attempt.visit.generation, attempt.target.upstream, circle)
        since, _ = self._shut.get(key, (-NEVER, 0.0))
        if attempt.admitted >= since:  # what was under way before says nothing of what came after
            self._shut[key] = (self.trace.now(), self.trace.now() + seconds)

    def _back(self, attempt: Try) -> None:
        self.trace.demand(attempt in attempt.station.out, "a ticket comes back once:", attempt)
        self.trace.demand(not attempt.open, "no ticket comes back before its body is closed:", attempt)
        attempt.station.out.remove(attempt)

    def _well(self, attempt: Try) -> None:
        if attempt.turn == attempt.station.turns:
            attempt.station.row = 0

    # ── the breaker turns ─────────────────────────────────────────────────────────────────────────

    def turned(self, station: Station, state: str, why: str) -> None:
        """The breaker of an upstream is in another state than before `why` happened."""
        trace, before = self.trace, station.state
        trace.say("breaker", station.name, before, "→", state, "after", why)
        if state == "open":
            needed = station.rules.failures if before == "closed" else 1
            trace.demand(why == "failed", "only a failure opens a breaker:", station.name, why)
            trace.demand(station.row >= needed, "faults open a breaker:", station.name, station.row, needed)
            station.opened, station.opened_by = trace.now(), station.rules
        elif state == "half_open":
            trace.demand(
                (before, why) == ("open", "let in"), "a probe opens half:", station.name, before, why
            )
        else:
            proved = before == "half_open" and why in ("began", "answered")
            trace.demand(proved, "only a probe closes a breaker:", station.name, before, why)
            station.closed, station.allowance, station.let_in, station.faults = trace.now(), 0.0, 0, 0
        station.state = state
        station.turns += 1
        station.row = 0
        for one in station.out:
            one.probe = False

    def stayed(self, station: Station) -> None:
        """A failure left the breaker as it was: so there was no reason to open it."""
        shut = station.state != "closed" or station.row < station.rules.failures
        self.trace.demand(shut, "a breaker opens in time:", station.name, station.row)

    # ── time moves, a call ends ───────────────────────────────────────────────────────────────────

    def look(self, upstreams: Mapping[str, UpstreamHealth]) -> None:
        """Time has moved: who lost a race was let go, and no free place is kept from those in line."""
        now = self.trace.now()
        if now == self._last_now:
            return
        self._last_now = now
        for name, station in self.stations.items():
            room = upstreams[name].places
            if station.limit is not None and (
                room._used != len(station.out) or (room.waiting and not room.full)
            ):
                self.trace.note("a place is taken at once or free:", name, room, *station.out)
                return
        for visit in self.racing:
            if visit.begun is not None and len(visit.under_way) > 1:
                self.trace.note("who lost a race is let go at once:", *visit.under_way)
                return

    def settled(self, visit: Visit, outcome: Outcome) -> None:
        """A call has come to its one outcome."""
        demand, now = self.trace.demand, self.trace.now()
        demand(visit.outcome is None, "a call has one outcome:", visit.call.id)
        visit.outcome = outcome
        visit.undisturbed = not visit.life.draining and self._heeds(visit)
        self.racing.pop(visit, None)
        demand(not visit.under_way, "no body outlives its call:", *visit.under_way)
        out = [one for one in visit.tries if one in one.station.out]
        demand(not out, "no ticket outlives its call:", *out)
        sent = sum(one.script is not None for one in visit.tries)
        demand(len(outcome.attempts) == sent, "an entry for each attempt:", visit.call.id, sent)
        late = now - visit.slept - SLACK_S
        demand(visit.gone or late < visit.end, "a call ends within its caller's patience:", visit.call.id)
        if visit.shown:
            demand(outcome.usage.total > 0, "what was shown was used:", visit.call.id)
        until_ms = 1000 * (visit.end - visit.began)
        cut = [one for one in outcome.attempts if one.detail == "too slow" and one.ended_ms >= until_ms]
        demand(not cut or outcome.usage.total > 0, "impatience is not free:", visit.call.id)
