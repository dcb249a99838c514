"""Whole answers held to their caller's schema: told only if they keep to it, paid for in any case."""

import pytest

from proxy.call import Billed
from proxy.errors import CallerFault
from proxy.table import Every, Limit, Per, Unit
from tests.kit.scripted_ports import (
    RecordingCaller,
    ScriptedUpstreams,
    call,
    desk,
    fails,
    notes_of,
    stream,
    table,
    whole,
)
from tests.kit.virtual import play
from tests.relay.test_story import one, told

GOOD = whole('{"city":"Paris"}')
BAD = whole("Paris, of course!")
FORM = {
    "type": "json_schema",
    "json_schema": {
        "name": "place",
        "schema": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


def asked(**members):
    return call(stream=False, response_format=FORM, **members)


def results(at):
    return [attempt.result for attempt in at.ledger.outcome.attempts]


def test_an_answer_off_its_schema_is_not_shown_and_the_next_target_is_asked():
    upstreams = ScriptedUpstreams(a=[BAD], b=[GOOD])
    failure, caller, at = one(table("a", "b", checks_answers=True), upstreams, asked())
    assert failure is None
    assert b"Paris" in caller.body
    assert b"of course" not in caller.body
    assert (caller.headers["x-fallthrough-upstream"], caller.headers["x-fallthrough-attempts"]) == ("b", "2")
    outcome = at.ledger.outcome
    assert results(at) == ["off_schema", "ok"]
    first = outcome.attempts[0]
    assert (first.billed, first.usage.output, first.status, first.detail) == (Billed.YES, 2, 200, "not JSON")


def test_what_was_paid_for_is_charged_though_it_was_not_shown():
    upstreams = ScriptedUpstreams(a=[BAD], b=[GOOD])
    _, _, at = one(table("a", "b", checks_answers=True), upstreams, asked())
    assert at.ledger.outcome.nano_usd == 2 * (5 * 1000 + 2 * 2000)
    assert at.ledger.outcome.usage.total == 14
    assert at.ledger.settled[0][0] == "commit"


def test_a_single_target_is_asked_again():
    upstreams = ScriptedUpstreams(a=[BAD, GOOD])
    failure, caller, at = one(table("a", checks_answers=True), upstreams, asked())
    assert failure is None
    assert caller.status == 200
    assert results(at) == ["off_schema", "ok"]


def test_when_no_answer_keeps_to_it_the_caller_is_told_so():
    upstreams = ScriptedUpstreams(a=[BAD, BAD], b=[BAD, BAD])
    failure, caller, at = one(table("a", "b", checks_answers=True), upstreams, asked())
    words = failure.told
    assert (words.status, words.code, words.param) == (502, "off_schema", "response_format")
    assert words.should_retry is False
    assert "a/m (off_schema 200)" in words.message
    assert "Paris" not in words.message
    assert not caller.body
    outcome = at.ledger.outcome
    assert (outcome.status, outcome.result) == (502, "off_schema")
    assert outcome.nano_usd == len(outcome.attempts) * (5 * 1000 + 2 * 2000)
    assert at.ledger.settled[0][0] == "commit"


def test_one_that_failed_otherwise_beside_it_changes_nothing():
    upstreams = ScriptedUpstreams(a=[BAD, fails(500)], b=[fails(500)])
    failure, _, _ = one(table("a", "b", attempts=1, checks_answers=True), upstreams, asked())
    assert failure.told.code == "off_schema"


def test_it_blames_no_upstream():
    upstreams = ScriptedUpstreams(a=[BAD] * 20, b=[GOOD] * 20)
    at = desk(table("a", "b", checks_answers=True), upstreams)
    for number in range(20):
        one_more(at, number)
    assert not notes_of(at).breakers


def one_more(at, number):
    ask = call(number, stream=False, response_format=FORM)
    assert play(told(at, RecordingCaller(), ask)) is None


def test_no_answer_is_asked_for_that_is_not_held_for():
    """The first answer alone took more than one may: there is nothing to pay a second one with."""
    long = whole("x")
    long.steps[0] = long.steps[0].replace(b'"completion_tokens":2', b'"completion_tokens":99999')
    upstreams = ScriptedUpstreams(a=[long], b=[GOOD])
    limit = Limit(Unit.TOKENS, 1_000_000, Every.DAY, Per.TENANT)
    book = table("a", "b", limits=(limit,), checks_answers=True)
    failure, _, at = one(book, upstreams, asked(max_tokens=10))
    assert failure.told.code == "off_schema"
    assert results(at) == ["off_schema"]


def test_as_much_again_is_held_where_a_second_answer_may_be_needed():
    limit = Limit(Unit.TOKENS, 1_000_000, Every.DAY, Per.TENANT)

    def held(*names, ask=None, **route):
        upstreams = ScriptedUpstreams(**{name: [GOOD] for name in names})
        _, _, at = one(table(*names, limits=(limit,), **route), upstreams, ask or asked(max_tokens=10))
        return notes_of(at).reservations[0].balances[0].held

    plain = held("a", "b")
    assert held("a", "b", checks_answers=True) == 2 * plain
    assert held("a", checks_answers=True) == 2 * plain
    assert held("a", checks_answers=True, attempts=1) == plain
    bare = call(stream=False, max_tokens=10)
    assert held("a", "b", ask=bare, checks_answers=True) == held("a", "b", ask=bare)


@pytest.mark.parametrize("route", [{}, {"checks_answers": True}])
def test_a_stream_is_never_held_back_for_it(route):
    upstreams = ScriptedUpstreams(a=[stream("no ", "JSON")], b=[stream("{}")])
    failure, caller, _ = one(table("a", "b", **route), upstreams, call(response_format=FORM))
    assert failure is None
    assert caller.text == "no JSON"
    assert caller.headers["x-fallthrough-upstream"] == "a"


def test_a_route_that_does_not_say_so_passes_anything_on():
    _, caller, _ = one(table("a", "b"), ScriptedUpstreams(a=[BAD], b=[GOOD]), asked())
    assert b"of course" in caller.body


def test_a_schema_that_cannot_be_used_is_refused_before_anything_is_asked():
    form = {"type": "json_schema", "json_schema": {"schema": {"$ref": "https://evil.example/"}}}
    upstreams = ScriptedUpstreams(a=[GOOD])
    ask = call(stream=False, response_format=form)
    failure, _, at = one(table("a", checks_answers=True), upstreams, ask)
    assert isinstance(failure, CallerFault)
    assert failure.told.code == "invalid_schema"
    assert not at.ledger.settled
