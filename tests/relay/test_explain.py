"""Single explanations, beside the calls that they explain (generated ones: `test_explained_as_done.py`)."""

import pytest
from msgspec.structs import replace

from proxy.abilities import ModelFacts
from proxy.call import Memory
from proxy.errors import Failure
from proxy.explain import Sight, explain
from proxy.ports import Origin
from proxy.relay import answer
from proxy.table import Consent, Every, Limit, Per, Privacy, Target, Unit
from tests.kit.plans import OVERLOAD, Dialogue
from tests.kit.scripted_ports import (
    PRICE,
    Looking,
    RecordingCaller,
    ScriptedUpstreams,
    call,
    desk,
    fails,
    table,
    whole,
)
from tests.kit.virtual import play

TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def explained(at, asked, *, live=True):
    counters = Looking(at.ledger) if live else None
    sight = Sight(at.snapshot, at.recall, counters, at.clock.mono(), at.clock.wall_us())
    return explain(sight, asked)


def alone(book, asked, *, live=True):
    """An explanation, with nothing done."""

    async def story():
        return await explained(desk(book, ScriptedUpstreams()), asked, live=live)

    return play(story())


def turns(told):
    return [(one.target, one.turn, one.why) for one in told.targets]


def routed(book, **words):
    """The same table, its one route with other words."""
    return replace(book, routes=(replace(book.routes[0], **words),))


def test_every_reason_stands_on_the_attempt_that_they_led_to():
    """One lacks what is needed, one is open, one is spent, one cannot say it: the fifth answers."""
    spent = Limit(Unit.TOKENS, 1, Every.DAY, upstream="c")
    book = table("a", "b", "c", "d", "e", limits=(spent,))
    blind = Target("a", "m", PRICE, facts=ModelFacts(tools=False))
    upstreams = {**book.upstreams, "d": replace(book.upstreams["d"], dialect="anthropic")}
    book = replace(routed(book, targets=(blind, *book.routes[0].targets[1:])), upstreams=upstreams)
    asked = call(stream=False, tools=[TOOL], logprobs=True)

    async def story():
        at = desk(book, ScriptedUpstreams(e=[whole()]))
        for _ in range(5):
            talk = Dialogue("b", attempts=1, health=at.snapshot.health)
            talk.start()
            talk.say(OVERLOAD)
        told = await explained(at, asked)
        await answer(at, RecordingCaller(), asked)
        return told, at.ledger.outcome

    told, outcome = play(story())
    why = {one.target: one.why for one in told.targets}
    assert why == {
        "a/m": "calls no tools",
        "b/m": "open",
        "c/m": "limit spent",
        "d/m": "cannot express logprobs",
        "e/m": "",
    }
    (attempt,) = outcome.attempts
    assert attempt.upstream == "e"
    assert [(one.upstream, one.why) for one in attempt.passed] == [
        (name[0], said) for name, said in why.items() if said
    ]


def test_who_was_passed_over_stands_on_one_attempt_only():
    spent = Limit(Unit.TOKENS, 1, Every.DAY, upstream="a")

    async def story():
        at = desk(table("a", "b", "c", limits=(spent,)), ScriptedUpstreams(b=[fails(503)], c=[whole()]))
        await answer(at, RecordingCaller(), call(stream=False))
        return at.ledger.outcome

    first, second = play(story()).attempts
    assert [(one.upstream, one.model, one.why) for one in first.passed] == [("a", "m", "limit spent")]
    assert first.passed[0].until is not None
    assert second.passed == ()


def test_a_call_that_all_goes_well_with_passed_over_nobody():
    async def story():
        at = desk(table("a", "b"), ScriptedUpstreams(a=[whole()]))
        await answer(at, RecordingCaller(), call(stream=False))
        return at.ledger.outcome

    assert play(story()).attempts[0].passed == ()


def test_what_may_be_asked_beside_the_first_is_held_for_and_said():
    plain = alone(table("a", "b"), call())
    hedged = alone(table("a", "b", hedge_s=3.0), call())
    assert (plain.bounds.answers, hedged.bounds.answers) == (1, 2)
    assert hedged.bounds.nano_usd == 2 * plain.bounds.nano_usd
    assert hedged.bounds.output_tokens == plain.bounds.output_tokens
    assert [one.nano_usd for one in hedged.targets] == [plain.bounds.nano_usd] * 2


def test_what_is_put_back_into_the_prompt_is_counted():
    history = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "tool_calls": [{"id": "call_1", "type": "function", "function": {}}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "x"},
    ]
    asked = call(messages=history)

    async def story():
        at = desk(table("a"), ScriptedUpstreams())
        before = await explained(at, asked)
        at.recall.keep(asked.identity, Origin("openai", "m"), Memory(("call_1",), b"s" * 500))
        return before, await explained(at, asked)

    before, after = play(story())
    assert after.bounds.input_tokens == before.bounds.input_tokens + 500


def test_a_spent_limit_of_the_caller_refuses_and_the_order_is_told_all_the_same():
    book = table("a", "b", limits=(Limit(Unit.TOKENS, 10, Every.DAY, Per.TENANT),))

    async def story():
        at = desk(book, ScriptedUpstreams())
        told = await explained(at, call())
        with pytest.raises(Failure) as refused:
            await answer(at, RecordingCaller(), call())
        return told, refused.value.told

    told, refused = play(story())
    assert (told.refused.status, told.refused.message) == (429, refused.message)
    assert turns(told) == [("a/m", 1, ""), ("b/m", 2, "")]
    (counter,) = told.counters
    assert (counter.spent, counter.used, counter.held, counter.ceiling) == (True, 0, 0, 10)


def test_a_shadow_refuses_nobody_and_is_not_called_spent():
    shadow = Limit(Unit.TOKENS, 10, Every.DAY, Per.TENANT, shadow=True)
    told = alone(table("a", limits=(shadow,)), call())
    assert told.refused is None
    assert [(one.shadow, one.spent) for one in told.counters] == [(True, False)]


def test_by_the_table_alone_nothing_is_spent_and_nothing_is_claimed_to_be_known():
    told = alone(table("a", limits=(Limit(Unit.TOKENS, 10**6, Every.DAY, Per.TENANT),)), call(), live=False)
    assert told.live is False
    assert [(one.used, one.held, one.spent) for one in told.counters] == [(None, None, False)]
    assert told.upstreams == ()


def test_what_would_be_left_out_for_a_target_is_named():
    book = routed(table("a"), targets=(Target("a", "m", facts=ModelFacts(tools=False)),), drop_params=True)
    told = alone(book, call(tools=[TOOL]))
    assert [(one.turn, one.dropped, one.nano_usd) for one in told.targets] == [(1, ("tools",), None)]


def test_nobody_may_answer_without_consent_and_each_target_says_so():
    book = replace(table("a", "b"), privacy=Privacy(Consent.REQUIRED))
    told = alone(book, call())
    assert (told.refused.status, told.refused.code) == (403, "consent_required")
    assert turns(told) == [("a/m", None, "no consent"), ("b/m", None, "no consent")]


def test_targets_whose_upstream_is_off_come_last_with_the_reason():
    book = routed(replace(table("a"), off={"x": "X_KEY is not set"}), off=(Target("x", "m"),))
    assert turns(alone(book, call())) == [("a/m", 1, ""), ("x/m", None, "off (X_KEY is not set)")]


def test_a_pause_that_is_short_enough_is_waited_for():
    async def story():
        at = desk(
            table("a", "b", attempts=1), ScriptedUpstreams(a=[fails(429, retry_after="1")], b=[whole()])
        )
        await answer(at, RecordingCaller(), call(1, stream=False))
        return await explained(at, call(2, stream=False))

    told = play(story())
    assert turns(told) == [("b/m", 1, ""), ("a/m", 2, "overload")]
    assert told.targets[1].after_s == pytest.approx(1.0)
    assert told.targets[1].until_us is not None
