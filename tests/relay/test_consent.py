"""Consent as the story keeps it: who is asked, what is held, what the ledger is told."""

import pytest
from msgspec.structs import replace

from proxy.errors import Failure
from proxy.relay import answer
from proxy.table import Consent, Every, Limit, Per, Privacy, Unit
from tests.kit.scripted_ports import (
    REFUSED,
    MemoryLedger,
    RecordingCaller,
    ScriptedUpstreams,
    call,
    desk,
    stream,
    table,
)
from tests.kit.virtual import play

LIMIT = Limit(Unit.REQUESTS, 10, Every.DAY, Per.TENANT)


class Watched(MemoryLedger):
    """Keeps every hold that was asked for."""

    def __init__(self):
        super().__init__()
        self.holds = []

    async def reserve(self, hold):
        self.holds.append(hold)
        return await super().reserve(hold)


def told(rule, given, *, tags=("self-hosted",), preferred=None, **scripts):
    """One call at a table of `abroad` and `home`; the desk, who was asked, and the caller."""
    book = replace(table("abroad", "home", limits=(LIMIT,)), privacy=Privacy(rule))
    home = replace(book.upstreams["home"], tags=frozenset(tags))
    book = replace(book, upstreams={**book.upstreams, "home": home})
    upstreams = ScriptedUpstreams(**{"abroad": [stream("abroad")], "home": [stream("home")], **scripts})
    caller = RecordingCaller()

    async def story():
        at = replace(desk(book, upstreams), ledger=Watched())
        try:
            await answer(at, caller, replace(call(preferred=preferred), consent=given))
        except Failure as refused:
            return at, refused
        return at, None

    at, refused = play(story())
    return at.ledger, upstreams.asked, caller, refused


def test_without_consent_only_the_house_answers_whatever_is_preferred():
    for given, preferred in ((None, None), (False, None), (None, "abroad")):
        ledger, asked, caller, refused = told(Consent.SELF_HOSTED_WITHOUT, given, preferred=preferred)
        assert (asked, caller.text, refused) == (["home"], "home", None)
        assert ledger.holds[0].consent is given


def test_a_failure_at_home_does_not_lead_abroad():
    _, asked, _, _ = told(Consent.SELF_HOSTED_WITHOUT, None, home=[REFUSED])
    assert set(asked) == {"home"}


def test_with_consent_everybody_may_answer():
    ledger, asked, _, refused = told(Consent.SELF_HOSTED_WITHOUT, True, abroad=[REFUSED])
    assert (asked[0], asked[-1], refused) == ("abroad", "home", None)
    assert ledger.holds[0].consent is True


@pytest.mark.parametrize(
    ("rule", "tags"), [(Consent.REQUIRED, ("self-hosted",)), (Consent.SELF_HOSTED_WITHOUT, ())]
)
def test_a_call_that_nobody_may_answer_is_refused_before_anything_is_held(rule, tags):
    ledger, asked, caller, refused = told(rule, None, tags=tags)
    assert (refused.told.status, refused.told.code) == (403, "consent_required")
    assert (ledger.holds, ledger.settled, asked, caller.status) == ([], [], [], None)
