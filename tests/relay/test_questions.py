"""A call whose `idempotency-key` the ledger knows: refused before anything is held, sent or shown."""

import pytest
from msgspec.structs import replace

from proxy.errors import Failure
from proxy.question import Question, Repeated
from proxy.relay import answer
from tests.kit.scripted_ports import (
    MemoryLedger,
    RecordingCaller,
    ScriptedUpstreams,
    call,
    desk,
    notes_of,
    stream,
    table,
)
from tests.kit.virtual import play

QUESTION = Question(b"n" * 32, b"d" * 32)


class Knowing(MemoryLedger):
    """A ledger that was asked this question before; what it is handed is kept."""

    def __init__(self, *, same: bool) -> None:
        super().__init__()
        self.same = same
        self.asked: list[Question | None] = []

    async def reserve(self, hold):
        self.asked.append(hold.question)
        return Repeated(self.same)


@pytest.mark.parametrize(
    ("same", "status", "code"), [(True, 409, "idempotency_conflict"), (False, 422, "idempotency_key_reused")]
)
def test_what_was_asked_before_is_refused_and_no_upstream_hears_of_it(same, status, code):
    upstreams, ledger, caller = ScriptedUpstreams(a=[stream("x")]), Knowing(same=same), RecordingCaller()
    at = replace(desk(table("a"), upstreams), ledger=ledger)

    async def story():
        with pytest.raises(Failure) as caught:
            await answer(at, caller, replace(call(), question=QUESTION))
        return caught.value.told

    told = play(story())
    assert (told.status, told.code, told.param, told.should_retry) == (status, code, "idempotency-key", False)
    assert ledger.asked == [QUESTION]
    assert ledger.settled == [], "nothing was held, so nothing is settled"
    assert upstreams.asked == []
    assert caller.status is None
    [outcome] = notes_of(at).outcomes
    assert (outcome.status, outcome.result, outcome.attempts) == (status, code, ())


def test_the_settlement_of_a_call_names_its_question_so_that_a_release_frees_it():
    at, caller = desk(table("a"), ScriptedUpstreams(a=[stream("x")])), RecordingCaller()
    play(answer(at, caller, replace(call(), question=QUESTION)))
    [(_, settlement)] = at.ledger.settled
    assert settlement.question == QUESTION
