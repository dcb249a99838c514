"""What a signal of trouble means: whose fault, who may be tried next, who pays.

One pure function over vendor-free signals, called by `plan.py`. It must never see a vendor's
words; turning those into a `Signal` is the dialects' work. What happens after the first content is
always `broken`: the answer belongs to one upstream by then.
"""

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct

from proxy.call import Billed, Kind, Phase, Signal


class Class(StrEnum):
    """Classes of trouble, as they stand in the ledger and in messages."""

    UNREACHABLE = "unreachable"
    """No connection; nothing was sent."""
    AMBIGUOUS = "ambiguous"
    """Lost after sending: the upstream may have done the work."""
    OVERLOAD = "overload"
    """The upstream is failing or full."""
    SATURATED = "saturated"
    """The upstream is well and full; it passes in a moment."""
    RATE_LIMIT = "rate_limit"
    """Too much, too fast; it passes with time."""
    MONEY = "money"
    """The operator's account cannot pay."""
    AUTH = "auth"
    """The operator's credential was refused."""
    MODEL = "model"
    """The upstream does not have the model."""
    TOO_LONG = "too_long"
    """The prompt exceeds this model's context; one with a larger context may take it."""
    CALLER = "caller"
    """The request is wrong, whoever answers."""
    BAD_ANSWER = "bad_answer"
    """A success that holds no answer."""
    OFF_SCHEMA = "off_schema"
    """A whole answer that is not what the caller's schema asks for; the caller has nothing of it."""
    BROKEN = "broken"
    """Trouble after the first content."""
    STRAYED = "strayed"
    """A second answer, asked for because the first one broke, that does not begin as the first did."""
    UNABLE = "unable"
    """The upstream cannot express the request, and nothing was sent; or no completion can hold its answer."""


class Blame(StrEnum):
    """What an attempt's failure counts against."""

    NONE = "none"
    UPSTREAM = "upstream"
    MODEL = "model"
    """One model at one upstream."""
    ACCOUNT = "account"
    """All models behind the upstream's credential."""


class Verdict(Struct, frozen=True):
    """What follows from a signal."""

    cls: Class
    again: bool
    """The same target may be tried again, after a short wait."""
    elsewhere: bool
    """Another target may be tried."""
    blame: Blame
    billed: Billed


_UNREACHABLE = Verdict(Class.UNREACHABLE, True, True, Blame.UPSTREAM, Billed.NO)
_AMBIGUOUS = Verdict(Class.AMBIGUOUS, False, True, Blame.UPSTREAM, Billed.UNKNOWN)
_CALLER = Verdict(Class.CALLER, False, False, Blame.NONE, Billed.NO)
# A success status came, so the upstream may well charge for what it sent.
_BAD_ANSWER = Verdict(Class.BAD_ANSWER, False, True, Blame.UPSTREAM, Billed.UNKNOWN)

_BEFORE_CONTENT: Mapping[Kind, Verdict] = {
    Kind.UNREACHABLE: _UNREACHABLE,
    Kind.RESET: _AMBIGUOUS,
    Kind.TIMEOUT: _AMBIGUOUS,
    Kind.HELD_UP: Verdict(Class.BROKEN, False, True, Blame.NONE, Billed.YES),
    Kind.RATE_LIMITED: Verdict(Class.RATE_LIMIT, True, True, Blame.MODEL, Billed.NO),
    Kind.OVERLOADED: Verdict(Class.OVERLOAD, True, True, Blame.UPSTREAM, Billed.NO),
    Kind.SATURATED: Verdict(Class.SATURATED, True, True, Blame.NONE, Billed.NO),
    Kind.NO_CREDIT: Verdict(Class.MONEY, False, True, Blame.ACCOUNT, Billed.NO),
    Kind.BAD_KEY: Verdict(Class.AUTH, False, True, Blame.ACCOUNT, Billed.NO),
    Kind.NO_MODEL: Verdict(Class.MODEL, False, True, Blame.MODEL, Billed.NO),
    Kind.BAD_REQUEST: _CALLER,
    Kind.TOO_LONG: Verdict(Class.TOO_LONG, False, True, Blame.NONE, Billed.NO),
    Kind.FILTERED: _CALLER,
    Kind.BAD_ANSWER: _BAD_ANSWER,
    Kind.OFF_SCHEMA: Verdict(Class.OFF_SCHEMA, True, True, Blame.NONE, Billed.YES),
    Kind.TRUNCATED: _BAD_ANSWER,
    Kind.STRAYED: Verdict(Class.STRAYED, False, True, Blame.NONE, Billed.YES),
    Kind.UNABLE: Verdict(Class.UNABLE, False, True, Blame.NONE, Billed.NO),
    # As with a bad answer: it was made, and nobody but the vendor knows whether it is charged for.
    Kind.UNSAYABLE: Verdict(Class.UNABLE, False, True, Blame.NONE, Billed.UNKNOWN),
}


def classify(signal: Signal) -> Verdict:
    """The verdict on one attempt's trouble."""
    verdict = _BEFORE_CONTENT[signal.kind]
    if signal.phase is Phase.CONTENT:
        return Verdict(Class.BROKEN, False, False, verdict.blame, Billed.YES)
    if signal.phase is Phase.CONNECT and verdict is _AMBIGUOUS:
        return _UNREACHABLE
    return verdict
