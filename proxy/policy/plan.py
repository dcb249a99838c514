"""What to do next about a call: a pure machine, events in, instructions out.

`relay.py` drives it and only carries its instructions out; the tests drive the same machine without
a network. It takes a ticket from `health.py` before every attempt and hands it back exactly once,
on every path. It never sleeps, never sends, and starts nothing after the deadline.

    plan = Plan(candidates, health, PlanRules(attempts=2, deadline=None, wait_max_s=2.0), dice)
    todo = plan.start(now)              # Try(candidate, 1)
    todo = plan.on(Failed(signal), now) # Try the next | Wait | Stop
    todo = plan.on(Answered(), now)     # Done

A stream that breaks in the caller's hands ends the call, unless its route has another target mend it:
from then on only `Continue` or `Restart` is told, and whatever comes to nothing ends in the last break.
One attempt is under way at a time, but for the one that `hedge` orders beside another that is late.
"""

from collections.abc import Mapping, Sequence
from math import inf

from msgspec import Struct, field
from msgspec.structs import replace

from proxy.call import Kind, Passed, Phase, Signal
from proxy.errors import Failure
from proxy.policy import ending, retry
from proxy.policy.classify import Class, Verdict, classify
from proxy.policy.course import Course, Run
from proxy.policy.health import Health
from proxy.policy.leave import FULL, SATURATED, Closed, Ticket
from proxy.policy.patience import PlanRules
from proxy.policy.places import Turn
from proxy.policy.selection import Candidate, PassedOver
from proxy.policy.steps import (
    Answered,
    Broke,
    CalledOff,
    CallerGone,
    Continue,
    Done,
    Event,
    Failed,
    Instruction,
    Order,
    Queue,
    Rely,
    Restart,
    Skipped,
    Stop,
    Try,
    Wait,
    Woke,
)
from proxy.policy.windows import Windows
from proxy.ports import Dice
from proxy.table import OnMidstream

_ORDERS: Mapping[OnMidstream, type[Order]] = {
    OnMidstream.CONTINUE: Continue,
    OnMidstream.RESTART: Restart,
}


class Plan(Struct):
    """The course of one call over its candidates."""

    candidates: tuple[Candidate, ...]
    health: Health
    rules: PlanRules
    dice: Dice
    passed_over: tuple[PassedOver, ...] = ()
    """Named beside the others when nobody answers."""
    _courses: list[Course] = field(default_factory=list)
    _trail: ending.Trail = field(default_factory=ending.Trail)
    _windows: Windows = field(default_factory=Windows)
    _runs: dict[int, Run] = field(default_factory=dict)
    """By number; two only while one is asked beside another that is late."""
    _number: int = 0
    _waited: float = 0.0
    _pinned: Course | None = None
    """Waited for in place: it goes before the others once."""
    _turn: Turn | None = None
    """Our stand in the line of the last resort."""
    _line_end: float = 0.0
    _begun: bool = False
    """Whether the caller has the beginning of an answer."""
    _end: float = inf
    """When the caller's patience ends, as things stand."""
    _broken: Failure | None = None
    """The break that is being mended."""

    def __post_init__(self) -> None:
        self._courses = [*map(Course, self.candidates)]
        if self._courses:
            self._courses[-1].last = True
        if self.passed_over:
            self._trail = ending.Trail.of(self.passed_over)
        self._end = self.rules.first_word()

    def start(self, now: float) -> Instruction:
        """The first instruction."""
        return self._next(now)

    def on(self, event: Event, now: float, number: int | None = None) -> Instruction:
        """The next instruction after `event`, of the attempt of that number or else of the latest."""
        match event:
            case Answered():
                self.health.answered(self._ended(number).ticket, now)
                return Done()
            case CallerGone():
                self._leave()
                for one in tuple(self._runs):
                    self.health.left(self._ended(one).ticket)
                return Done()
            case Failed(signal, last):
                return self._failed(self._ended(number), signal, now, last=last)
            case Woke():
                return self._next(now)
            case Skipped():
                return self._skipped(self._ended(number), event, now)
            case Broke():
                return self._broke(self._ended(number), event, now)
            case CalledOff():
                run = self._ended(number)
                run.course.over = self._tired(run.course)
                self.health.left(run.ticket)
                return Rely()

    def began(self, now: float, number: int | None = None) -> None:
        """The first content has come; a half-open breaker may close before the answer ends."""
        run = self._runs.get(number or self._number)
        if run is None:
            return
        if not self._begun:
            self._begun, self._end = True, inf if self.rules.deadline is None else self.rules.deadline
            run.ticket.target.paces[self.rules.stream].took(now - run.started)
        self.health.began(run.ticket, now)

    def hedge(self, now: float) -> Order | None:
        """A target to ask beside the one that is late: the first that is free and was not asked yet.

        It is paid for like a second try, so that a slow hour does not double what everybody is asked.
        """
        if self._begun or len(self._runs) != 1 or now >= self._end:
            return None
        for course in self._courses:
            target = course.candidate.target
            if course.over or course.tries or now < course.ready or self._hopeless(course, now):
                continue
            if not self.health.may_retry(target, now) or self.health.saturated_until(target, now) is not None:
                continue
            door = self.health.admit(target, now, last=course.last, again=True)
            if isinstance(door, Ticket):
                return self._try(course, door, now)
        return None

    @property
    def holds(self) -> bool:
        """Whether a ticket or a stand in line is to be handed back, should the call end here."""
        return bool(self._runs) or self._turn is not None

    @property
    def passed(self) -> tuple[Passed, ...]:
        """Who was passed over since the last order."""
        return tuple(self._trail.passed)

    def _next(self, now: float) -> Instruction:
        """Try whoever is free, those tried least first; else one that is saturated; else wait or stop."""
        if self._runs:
            return Rely()
        if now >= self._end:
            return self._give_up(self._trail.too_late())
        saturated = []
        for course in self._in_order() if self._number else self._courses:
            if course.over or now < course.ready or (course.tries and self._dear(course, now)):
                continue
            if self._end != inf and self._hopeless(course, now):
                continue
            door = self._knock(course, now, last=course.last)
            if isinstance(door, Ticket):
                return self._try(course, door, now)
            if door.why == SATURATED:
                saturated.append(course)
        for course in saturated:  # nobody else is left: better late than never
            door = self._knock(course, now, last=True)
            if isinstance(door, Ticket):
                return self._try(course, door, now)
        return self._rest(now)

    def _in_order(self) -> Sequence[Course]:
        """All of them, those tried least first; but whoever is waited for in place goes before the others."""
        pinned, self._pinned = self._pinned, None
        return sorted(self._courses, key=lambda one: (one is not pinned, one.tries))

    def _knock(self, course: Course, now: float, *, last: bool) -> Ticket | Closed:
        """Ask whether this one may be tried, and note what stands against it."""
        again, target = course.tries > 0 or self.rules.repeated, course.candidate.target
        door = self.health.admit(target, now, last=last, again=again, turn=self._turn)
        if isinstance(door, Ticket):
            return door
        course.full = course.last and door.why == FULL
        # One that is only saturated is asked anew each time: it is what is left when the others fail.
        anew = course.full or (door.why == SATURATED and not last)
        course.ready, course.brief = now if anew else door.until, False
        self._trail.shut(target, door)
        return door

    def _try(self, course: Course, ticket: Ticket, now: float) -> Order:
        if self._turn is not None:
            self._leave()
        course.full = False
        course.tries += 1
        self._number += 1
        until = None
        if self._end != inf:
            others = any(not one.over and one.tries == 0 for one in self._courses)
            pace = ticket.target.paces[self.rules.stream]
            until = now + pace.share(self._end - now, others=others)
        passed: tuple[Passed, ...] = ()
        if self._trail.passed:
            passed, self._trail.passed = tuple(self._trail.passed), []
        self._runs[self._number] = Run(course, ticket, now, until, passed)
        order = Try if self._broken is None else _ORDERS[self.rules.on_midstream]
        return order(course.candidate, self._number, until, passed)

    def _give_up(self, failure: Failure) -> Stop:
        """A stream that could not be mended is told as what it is: broken. Nothing is waited for any more."""
        self._leave()
        return Stop(self._broken or failure)

    def _rest(self, now: float) -> Instruction:
        """Nobody is free: wait for the first who will be, within the caller's patience."""
        if (line := self._line(now)) is not None:
            return line
        waiting = [course for course in self._courses if not course.over]
        soonest = min(waiting, key=lambda course: course.ready, default=None)
        if soonest is None or soonest.ready >= self._end:
            return self._give_up(self._trail.failure(now))
        wait = soonest.ready - now
        if not soonest.brief:
            if self._waited + wait > self.rules.wait_max_s:
                return self._give_up(self._trail.failure(now))
            self._waited += wait
        return Wait(soonest.ready)

    def _line(self, now: float) -> Queue | None:
        """Stand in line for the last resort if it is full, until somebody else may be asked."""
        course = self._courses[-1] if self._courses else None
        if course is None or course.over or not course.full:
            self._leave()
            return None
        if self._turn is None:
            self._turn = self.health.join(course.candidate.target, self.rules.tenant)
            pace = self.health.pace(course.candidate.target, stream=self.rules.stream)
            first_token_s = course.candidate.timeouts.first_token_s
            self._line_end = min(now + first_token_s, pace.latest(self._end))
        if now >= self._line_end:
            self._leave()
            course.over = True
            return None
        others = [one.ready for one in self._courses if one is not course and not one.over]
        return Queue(self._turn, min([self._line_end, *others]))

    def _leave(self) -> None:
        if self._turn is not None:
            self.health.leave(self._turn)
            self._turn = None

    def _failed(self, run: Run, signal: Signal, now: float, *, last: bool) -> Instruction:
        if signal.phase is Phase.CONTENT:
            # Content that the caller never saw does not bind the call to its upstream.
            signal = replace(signal, phase=Phase.HEADERS)
        course = run.course
        verdict = classify(signal)
        self._report(run, verdict, signal, now)
        door = self.health.shut(course.candidate.target, now, last=course.last)
        until = None if door is None else door.until
        if verdict.cls is Class.UNABLE and signal.phase is Phase.CONNECT:
            self._trail.passed[:0] = run.passed  # nothing was sent: no attempt takes them along
        self._trail.failed(course.candidate.target, verdict, signal, until)
        if not verdict.elsewhere and self._broken is None:
            return Stop(ending.caller_fault(signal))
        if last:
            return self._give_up(self._trail.failure(now))
        if verdict.cls is Class.TOO_LONG:
            self._outgrown(course)
        course.over = not verdict.again or self._tired(course) or self._dear(course, now)
        if course.over:
            return self._next(now)
        return self._again(course, signal, until, now)

    def _outgrown(self, course: Course) -> None:
        """The prompt is too long here: so it is wherever the context is known to be no larger."""
        self._windows.refused(course.candidate.target.facts)
        for other in self._courses:
            target = other.candidate.target
            if not other.over and other is not course and not self._windows.may_hold(target.facts):
                other.over = True
                self._trail.too_small(target)

    def _again(self, course: Course, signal: Signal, until: float | None, now: float) -> Instruction:
        """The target may have another try: in place if its route would have it so, else after the others."""
        asked, most = retry.clamp(signal.retry_after_s), self.rules.in_place_s
        if asked is not None and asked > retry.IN_PLACE_MAX_S:
            asked = None  # then it is closed until then, or asked for what makes no sense
        if until is not None:
            course.ready, course.brief = until, False
        else:
            course.ready, course.brief = now + (self._pause(course) if asked is None else asked), True
        if most is None and asked is not None:
            most = retry.IN_PLACE_MAX_S
        if most is None or not retry.in_place(course.ready, now, self._end, most):
            return self._next(now)
        course.brief = True
        self._pinned = course
        return Rely() if self._runs else Wait(course.ready)

    def _pause(self, course: Course) -> float:
        return retry.backoff(course.tries, self.dice.roll(), cap_s=retry.IN_PLACE_MAX_S)

    def _skipped(self, run: Run, event: Skipped, now: float) -> Instruction:
        course = run.course
        self.health.left(run.ticket)
        self._trail.passed[:0] = run.passed
        self._trail.skipped(course.candidate.target, event.why, event.until)
        course.over = event.until is None or self._tired(course)
        course.ready, course.brief = event.until or now, False
        return self._next(now)

    def _broke(self, run: Run, event: Broke, now: float) -> Instruction:
        course, signal = run.course, event.signal
        verdict = classify(replace(signal, phase=Phase.CONTENT))
        self._report(run, verdict, signal, now)
        self._broken = ending.broken(course.candidate.target, signal)
        if self.rules.on_midstream is OnMidstream.ERROR or not event.mendable:
            return Stop(self._broken)
        course.over = signal.kind is Kind.TIMEOUT or self._tired(course) or self._dear(course, now)
        course.ready, course.brief = now + self._pause(course), True
        if self.rules.on_midstream is OnMidstream.CONTINUE:
            for other in self._courses:
                other.over = other.over or not other.candidate.goes_on
        return self._next(now)

    def _report(self, run: Run, verdict: Verdict, signal: Signal, now: float) -> None:
        """Hand the ticket back. An attempt cut short by the caller's own impatience blames nobody."""
        hurried = run.until is not None and now >= run.until and signal.phase is not Phase.CONTENT
        if signal.kind is Kind.TIMEOUT and (hurried or now >= self._end):
            self.health.left(run.ticket)
        else:
            self.health.failed(run.ticket, verdict, signal, now, self.dice)

    def _tired(self, course: Course) -> bool:
        """Whether it has had all its tries."""
        return course.tries >= (1 if self.rules.repeated else self.rules.attempts)

    def _dear(self, course: Course, now: float) -> bool:
        """Whether it would be a second try that its upstream cannot bear; then it gets none."""
        target = course.candidate.target
        if course.tries == 0 or self.health.may_retry(target, now):
            return False
        course.over = True
        self._trail.spared(target)
        return True

    def _hopeless(self, course: Course, now: float) -> bool:
        """Whether it has never been as quick as it would have to be now; then it is not asked."""
        target = course.candidate.target
        if self.health.pace(target, stream=self.rules.stream).least <= self._end - now:
            return False
        course.over = True
        self._trail.hopeless(target)
        return True

    def _ended(self, number: int | None) -> Run:
        """The attempt that just ended; from now on nobody holds its ticket."""
        run = self._runs.pop(number or self._number, None)
        if run is None:
            raise RuntimeError("the plan was told of an attempt that it did not order, or told twice")
        return run
