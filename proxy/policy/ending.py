"""What the caller is told when a plan gives up.

`plan.py` keeps a trail of what happened with each target and asks it for the one failure that sums
it up. The status follows the consequence: come back later (429, 503), too slow (504), or failed
(502). No message holds more than target names, classes and statuses.
"""

from msgspec import Struct, field
from msgspec.structs import replace

from proxy.call import Kind, Passed, Phase, Signal
from proxy.errors import AllFailed, Broken, CallerFault, Failure, Told, bad_request
from proxy.policy.classify import Class, Verdict
from proxy.policy.fit import Ability
from proxy.policy.leave import Closed
from proxy.policy.retry import RETRY_AFTER_MAX_S, clamp
from proxy.policy.selection import PassedOver
from proxy.table import Target

LASTING = frozenset({Class.AUTH.value, Class.MODEL.value})
"""Closed by these, a target does not come back by waiting: people have to mend it."""
LENGTH = "context_length_exceeded"
UNSUPPORTED = "unsupported_parameter"
TOO_SMALL = "context no larger"
TOO_LATE = "too little time left"
OFF_SCHEMA = "off_schema"
SOON_S = 1.0
"""The least Retry-After told, so that nobody is invited to a busy loop."""


class _Mark(Struct, frozen=True):
    """How it last stood with one target."""

    word: str
    """The class, or why it was not tried."""
    until: float | None
    """When it may be usable again; None: waiting does not help."""
    timeout: bool = False


class Trail(Struct):
    """What happened at each target of a call."""

    passed: list[Passed] = field(default_factory=list)
    """Who was not tried, in order, as far as no order has taken it along yet."""
    _steps: list[str] = field(default_factory=list)
    """For the message, in order."""
    _marks: dict[Target, _Mark] = field(default_factory=dict)
    """Of targets that could have answered; one that cannot take this call has none."""
    _too_long: list[Signal] = field(default_factory=list)
    _unable: list[Signal] = field(default_factory=list)

    @classmethod
    def of(cls, passed_over: tuple[PassedOver, ...]) -> "Trail":
        """Begins with targets that were never to be tried: they are named, and change nothing else."""
        passed = [Passed(one.target.upstream, one.target.model, one.why) for one in passed_over]
        return cls(passed, [str(one) for one in passed_over])

    def failed(self, target: Target, verdict: Verdict, signal: Signal, until: float | None) -> None:
        """An attempt failed; `until`: its target is closed until then, None: it is not."""
        status = f" {signal.status}" if signal.status else ""
        self._steps.append(f"{target} ({verdict.cls}{status})")
        self._marks.pop(target, None)
        match verdict.cls:
            case Class.UNABLE:
                self._unable.append(signal)
                if signal.phase is Phase.CONNECT:  # nothing was sent, so that no attempt is on record
                    self._pass(target, signal.detail or verdict.cls.value)
            case Class.TOO_LONG:
                self._too_long.append(signal)
            case _:
                self._marks[target] = _mark(verdict, signal, until)

    def shut(self, target: Target, door: Closed) -> None:
        """A target was closed, so nothing was tried there."""
        self._passed_over(target, door.why, None if door.why in LASTING else door.until)

    def skipped(self, target: Target, why: str, until: float | None) -> None:
        """A target could not be used, for a reason of ours."""
        self._passed_over(target, why, until)

    def too_small(self, target: Target) -> None:
        """A target needs no try, since a context as large as its own was found too small."""
        self._steps.append(f"{target} ({TOO_SMALL})")
        self._pass(target, TOO_SMALL)
        self._marks.pop(target, None)

    def spared(self, target: Target) -> None:
        """A target gets no second try, because too many others have had one."""
        step = f"{target} (retry budget spent)"
        if step not in self._steps:
            self._steps.append(step)

    def hopeless(self, target: Target) -> None:
        """A target is not asked, because it never answered in as little time as is left."""
        self._steps.append(f"{target} ({TOO_LATE})")
        self._pass(target, TOO_LATE)
        self._marks[target] = _Mark("hopeless", None, timeout=True)

    def failure(self, now: float) -> Failure:
        """Nobody answered: the one error that says so."""
        if not self._marks:
            return self._nobody_able()
        lasting = [mark for mark in self._marks.values() if mark.until is None]
        if not lasting:
            return self._later(now)
        if any(mark.word == Class.OFF_SCHEMA.value for mark in lasting):
            return self._off_schema()
        if all(mark.timeout for mark in lasting):
            return self._told(504, "upstream_timeout")
        return self._told(502, "upstream_error")

    def too_late(self) -> Failure:
        """The deadline passed before anybody answered."""
        return self._told(504, "upstream_timeout")

    def _passed_over(self, target: Target, why: str, until: float | None) -> None:
        step = f"{target} ({why})"
        if step not in self._steps:
            self._steps.append(step)
            self._pass(target, why, until)
        self._marks[target] = _Mark(why, until)

    def _pass(self, target: Target, why: str, until: float | None = None) -> None:
        self.passed.append(Passed(target.upstream, target.model, why, until))

    def _later(self, now: float) -> Failure:
        soonest = min(mark.until for mark in self._marks.values() if mark.until is not None)
        wait = max(SOON_S, soonest - now)
        limited = all(mark.word == Class.RATE_LIMIT.value for mark in self._marks.values())
        told = Told(
            429 if limited else 503,
            self._message(),
            "rate_limit_error" if limited else "server_error",
            "rate_limit_exceeded" if limited else "upstream_unavailable",
            retry_after_s=wait,
            # Nothing was spent: every trouble that passes with time is one that is not billed.
            should_retry=wait <= RETRY_AFTER_MAX_S,
        )
        return AllFailed(told)

    def _told(self, status: int, code: str) -> Failure:
        return AllFailed(Told(status, self._message(), "server_error", code, should_retry=False))

    def _off_schema(self) -> Failure:
        """There were answers, paid for, and none that the caller could use: the schema may be at fault."""
        message = f"No answer kept to the schema in 'response_format': {', '.join(self._steps)}."
        told = Told(502, message, "server_error", OFF_SCHEMA, "response_format", should_retry=False)
        return AllFailed(told)

    def _nobody_able(self) -> Failure:
        if self._too_long:
            fault = caller_fault(self._too_long[-1])
            return CallerFault(replace(fault.told, code=LENGTH))
        if not self._unable:
            return self._told(502, "upstream_error")
        if self._unable[0].told is not None:
            return caller_fault(self._unable[0])
        message = f"No upstream of this model can express the request: {', '.join(self._steps)}."
        return CallerFault(Told(400, message, "invalid_request_error", UNSUPPORTED))

    def _message(self) -> str:
        if not self._steps:
            return "No upstream could be tried in time."
        return f"All upstreams failed: {', '.join(self._steps)}."


def _mark(verdict: Verdict, signal: Signal, until: float | None) -> _Mark:
    passes = verdict.cls in (Class.RATE_LIMIT, Class.SATURATED, Class.MONEY)
    asked = verdict.cls is Class.OVERLOAD and clamp(signal.retry_after_s) is not None
    wait = (until or 0.0) if passes or asked else None
    return _Mark(verdict.cls.value, wait, signal.kind is Kind.TIMEOUT)


def nobody_able(passed_over: tuple[PassedOver, ...]) -> CallerFault:
    """No target of the route can serve the call, so none is asked: the first thing lacking is at fault.

    Length is blamed only if nothing else is: who shortens a prompt should not find another refusal behind.
    """
    lacking = [lack for one in passed_over for lack in one.lacks]
    lack = next((lack for lack in lacking if lack.ability is not Ability.CONTEXT), lacking[0])
    code = LENGTH if lack.ability is Ability.CONTEXT else UNSUPPORTED
    message = f"No upstream of this model can serve the call: {', '.join(map(str, passed_over))}."
    return bad_request(message, param=lack.param, code=code)


def caller_fault(signal: Signal) -> CallerFault:
    """The upstream proved that the request itself is wrong: its error, passed through."""
    if signal.told is None:
        status = signal.status if signal.status is not None and 400 <= signal.status < 500 else 400
        return CallerFault(Told(status, "The upstream refused the request.", "invalid_request_error"))
    return CallerFault(replace(signal.told, retry_after_s=None, should_retry=None))


def broken(target: Target, signal: Signal) -> Broken:
    """The answer stopped short in the caller's hands."""
    message = f"The answer of {target} broke off before its end ({signal.kind})."
    return Broken(Told(502, message, "server_error", "upstream_broken", should_retry=False))
