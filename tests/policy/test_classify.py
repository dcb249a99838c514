"""Every kind of trouble in every phase has exactly one verdict."""

from itertools import product

import pytest

from proxy.call import Billed, Kind, Phase, Signal
from proxy.policy.classify import Blame, Class, Verdict, classify

# class, same target again, another target, blame, billed: before any content
BEFORE = {
    Kind.UNREACHABLE: ("unreachable", True, True, "upstream", "no"),
    Kind.RESET: ("ambiguous", False, True, "upstream", "unknown"),
    Kind.TIMEOUT: ("ambiguous", False, True, "upstream", "unknown"),
    Kind.HELD_UP: ("broken", False, True, "none", "yes"),
    Kind.RATE_LIMITED: ("rate_limit", True, True, "model", "no"),
    Kind.OVERLOADED: ("overload", True, True, "upstream", "no"),
    Kind.SATURATED: ("saturated", True, True, "none", "no"),
    Kind.NO_CREDIT: ("money", False, True, "account", "no"),
    Kind.BAD_KEY: ("auth", False, True, "account", "no"),
    Kind.NO_MODEL: ("model", False, True, "model", "no"),
    Kind.BAD_REQUEST: ("caller", False, False, "none", "no"),
    Kind.TOO_LONG: ("too_long", False, True, "none", "no"),
    Kind.FILTERED: ("caller", False, False, "none", "no"),
    Kind.BAD_ANSWER: ("bad_answer", False, True, "upstream", "unknown"),
    Kind.OFF_SCHEMA: ("off_schema", True, True, Blame.NONE, Billed.YES),
    Kind.TRUNCATED: ("bad_answer", False, True, "upstream", "unknown"),
    Kind.STRAYED: ("strayed", False, True, Blame.NONE, Billed.YES),
    Kind.UNABLE: ("unable", False, True, "none", "no"),
    Kind.UNSAYABLE: ("unable", False, True, "none", "unknown"),
}


def expected(kind, phase):
    cls, again, elsewhere, blame, billed = BEFORE[kind]
    if phase is Phase.CONTENT:
        return Verdict(Class.BROKEN, False, False, Blame(blame), Billed.YES)
    if phase is Phase.CONNECT and kind in (Kind.RESET, Kind.TIMEOUT):
        return Verdict(Class.UNREACHABLE, True, True, Blame.UPSTREAM, Billed.NO)
    return Verdict(Class(cls), again, elsewhere, Blame(blame), Billed(billed))


@pytest.mark.parametrize(("kind", "phase"), list(product(Kind, Phase)))
def test_a_verdict_for_every_kind_in_every_phase(kind, phase):
    assert classify(Signal(kind, phase)) == expected(kind, phase)


def test_every_class_is_reached():
    assert {classify(Signal(kind, phase)).cls for kind, phase in product(Kind, Phase)} == set(Class)


def test_the_verdict_hangs_on_nothing_but_kind_and_phase():
    plain = Signal(Kind.OVERLOADED, Phase.HEADERS)
    full = Signal(Kind.OVERLOADED, Phase.HEADERS, 529, 30.0, None, "insufficient_quota")
    assert classify(plain) == classify(full)


def test_trouble_that_passes_with_time_is_never_billed():
    """A final 429 or 503 may invite a retry only because nothing was spent on the way to it."""
    passing = (Class.RATE_LIMIT, Class.SATURATED, Class.OVERLOAD, Class.MONEY)
    verdicts = [classify(Signal(kind, phase)) for kind, phase in product(Kind, Phase)]
    assert all(verdict.billed is Billed.NO for verdict in verdicts if verdict.cls in passing)
