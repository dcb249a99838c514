"""Bugs to be found: each one a slip that a tired hand could make, put into the real code for one test.

A simulation that finds none of them is theatre. They live here and nowhere else; `in_place` takes the slip
back when the test is over. `python -m tests.simulation SEED --plant NAME` shows what one of them does.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from math import inf
from typing import Any
from unittest import mock

from msgspec.structs import replace

from proxy.account import Account
from proxy.book import OpenAttempt
from proxy.call import Kind, Phase, Signal
from proxy.policy import retry, selection
from proxy.policy.breaker import Breaker, State
from proxy.policy.budget import RetryBudget
from proxy.policy.classify import classify
from proxy.policy.health import Health
from proxy.policy.patience import PlanRules
from proxy.policy.places import Places, Turn
from proxy.race import Race
from proxy.relay import _Story
from proxy.wire.openai_stream import _DONE, StreamReader
from proxy.wire.sent import Sent
from tests.kit.virtual import SeededDice


@dataclass(frozen=True, slots=True)
class Plant:
    """One slip."""

    name: str
    holder: Any
    attribute: str
    slip: Callable[[Any], Any]
    """The faulty thing, made of the right one."""

    def in_place(self) -> AbstractContextManager[Any]:
        """The house with this slip in it."""
        right = vars(self.holder)[self.attribute]
        return mock.patch.object(self.holder, self.attribute, self.slip(right))


def _nothing(right: Callable[..., Any]) -> Callable[..., Any]:
    """It does nothing, and so answers nothing."""
    return mock.Mock(return_value=None)


def _always(right: Callable[..., Any]) -> Callable[..., Any]:
    return mock.Mock(return_value=True)


def _never(right: Callable[..., Any]) -> Callable[..., Any]:
    return mock.Mock(return_value=False)


def _endless(right: Callable[..., Any]) -> Callable[..., Any]:
    return mock.Mock(return_value=inf)


def _not_on_hang_up(right: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, ending: None if ending.result == "caller_gone" else right(self, ending)


def _half(right: Callable[..., Any]) -> Callable[..., Any]:
    def clamp(asked: float | None) -> float | None:
        wait = right(asked)
        return None if wait is None else wait / 2

    return clamp


def _a_role_is_content(right: property) -> property:
    return property(lambda self: bool(self._choices))


def _whole_whatever_came(right: Callable[..., Any]) -> Callable[..., Any]:
    def done(self: StreamReader) -> bytes:
        if not self._choices:
            return right(self)
        self.ended = True
        return self._usage_event + _DONE

    return done


def _one_too_few(right: Callable[..., Any]) -> Callable[..., Any]:
    def resume(self: Sent, spent: Any, *, anew: bool) -> None:
        right(self, spent, anew=anew)
        self._ahead = self._ahead[:-1]

    return resume


def _shown_before_it_is_written(right: Callable[..., Any]) -> Callable[..., Any]:
    async def opened(self: Account) -> None:
        await right(self)
        self.durable = None

    return opened


def _not_held(right: Callable[..., Any]) -> Callable[..., Any]:
    async def add(self: Account, candidate: Any) -> None:
        return None

    return add


def _leaving_is_failing(right: Callable[..., Any]) -> Callable[..., Any]:
    def left(self: Health, ticket: Any) -> None:
        signal = Signal(Kind.RESET, Phase.SENT)
        Health.failed(self, ticket, classify(signal), signal, 0.0, SeededDice(0))

    return left


def _any_number_of_probes(right: Callable[..., Any]) -> Callable[..., Any]:
    def closed_until(self: Breaker, now: float, *, last: bool = False) -> float | None:
        return None if self.state is State.HALF_OPEN else right(self, now, last=last)

    return closed_until


def _old_news_counts(right: Callable[..., Any]) -> Callable[..., Any]:
    def success(self: Breaker, leave: Any, now: float) -> None:
        right(self, type(leave)(self._generation, leave.probe), now)

    return success


def _nobody_is_woken(right: Callable[..., Any]) -> Callable[..., Any]:
    def grant(self: Places) -> None:
        for line in self._lines.values():
            for turn in line:
                turn.wake = Turn("", "").wake
        right(self)

    return grant


def _last_first(right: Callable[..., Any]) -> Callable[..., Any]:
    def order(*values: Any) -> selection.Selection:
        found = right(*values)
        return replace(found, candidates=found.candidates[::-1])

    return order


PLANTS = (
    Plant("the slot of a probe leaks when its caller leaves", Breaker, "neutral", _nothing),
    Plant("any number of probes at once", Breaker, "closed_until", _any_number_of_probes),
    Plant("who has just risen is overrun", Breaker, "recovering_until", _nothing),
    Plant("an answer from before the outage closes the breaker", Breaker, "success", _old_news_counts),
    Plant("a caller who leaves counts as a failure", Health, "left", _leaving_is_failing),
    Plant("a reload forgets what was known", Health, "adopt", _nothing),
    Plant("a cool-down is shorter than Retry-After", retry, "clamp", _half),
    Plant("second tries are not counted", RetryBudget, "allows", _always),
    Plant("a place in line is lost with whoever leaves", Places, "leave", _nothing),
    Plant("nobody in line is woken", Places, "grant", _nobody_is_woken),
    Plant("the last target is asked first", selection, "order", _last_first),
    Plant("nobody looks at how patient the caller is", PlanRules, "first_word", _endless),
    Plant("who has lost a race goes on", Race, "_call_off", _nothing),
    Plant("a hang-up is not settled", Account, "close", _not_on_hang_up),
    Plant("a hang-up that was announced is free", OpenAttempt, "given_up", _never),
    Plant("an answer is shown before its row is written", Account, "open", _shown_before_it_is_written),
    Plant("the own limit of a later target is not held", Account, "add", _not_held),
    Plant("a role passes for content", StreamReader, "content", _a_role_is_content),
    Plant("a stream that was cut short gets its [DONE]", StreamReader, "_done", _whole_whatever_came),
    Plant("an answer begun anew is joined one character early", Sent, "resume", _one_too_few),
    Plant("the idle time does not begin anew", _Story, "_rest", _nothing),
)
