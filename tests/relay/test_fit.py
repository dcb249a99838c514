"""Dialogues in which not every target can serve the call."""

import orjson
import pytest
from msgspec.structs import replace

from proxy.abilities import ModelFacts
from proxy.errors import CallerFault
from proxy.policy.degrade import BY_SCHEMA
from proxy.relay import answer
from proxy.table import Every, Limit, Per, Table, Unit
from proxy.usage import Price
from tests.kit.asking import PIXEL, WEATHER
from tests.kit.scripted_ports import (
    PRICE,
    REFUSED,
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

BLIND = ModelFacts(vision=False)
LOOK = [
    {"role": "user", "content": [{"type": "text", "text": "?"}, {"type": "image_url", "image_url": PIXEL}]}
]
DEAR = Price(9_000_000_000, 9_000_000_000)
LIMITS = (
    Limit(Unit.NANO_USD, 10**15, Every.DAY, Per.TENANT),
    Limit(Unit.REQUESTS, 1000, Every.DAY, Per.UPSTREAM),
)
TOO_LONG = fails(400, {"error": {"message": "too long", "code": "context_length_exceeded"}})


def knowing(book: Table, prices: dict | None = None, **facts: ModelFacts) -> Table:
    """The table with what is known of each upstream's model."""
    (route,) = book.routes
    targets = tuple(
        replace(
            target,
            facts=facts.get(target.upstream, ModelFacts()),
            price=(prices or {}).get(target.upstream, PRICE),
        )
        for target in route.targets
    )
    return replace(book, routes=(replace(route, targets=targets),))


def one(book, upstreams, asked):
    """Play one call to its end: (what the caller would be told before the status line, caller, desk)."""
    at, to = desk(book, upstreams), RecordingCaller()

    async def story():
        try:
            await answer(at, to, asked)
        except CallerFault as fault:
            return fault.told
        return None

    return play(story()), to, at


def test_a_picture_goes_past_the_blind_without_an_attempt_and_holds_nothing_for_them():
    book = knowing(table("a", "b", limits=LIMITS), {"a": DEAR}, a=BLIND)
    upstreams = ScriptedUpstreams(a=[stream("?")], b=[stream("a cat")])
    held = []
    at, caller = desk(book, upstreams), RecordingCaller()
    reserve = at.ledger.reserve

    async def noted(hold):
        held.append(hold)
        return await reserve(hold)

    at.ledger.reserve = noted
    play(answer(at, caller, call(messages=LOOK)))
    assert caller.text == "a cat"
    assert upstreams.asked == ["b"]
    assert caller.headers["x-fallthrough-attempts"] == "1"
    (hold,) = held
    assert [claim.upstream for claim in hold.claims] == [None, "b"]
    assert hold.nano_usd == PRICE.worst(hold.input_tokens, hold.output_tokens)
    assert [attempt.upstream for attempt in at.ledger.outcome.attempts] == ["b"]


@pytest.mark.parametrize("drop_params", [False, True])
def test_when_nobody_can_the_call_is_refused_before_anything_is_held_or_sent(drop_params):
    book = knowing(table("a", "b", limits=LIMITS, drop_params=drop_params), a=BLIND, b=BLIND)
    upstreams = ScriptedUpstreams(a=[], b=[])
    told, caller, at = one(book, upstreams, call(messages=LOOK))
    assert (told.status, told.type, told.code) == (400, "invalid_request_error", "unsupported_parameter")
    assert told.param == "messages[0].content[1]"
    assert told.message == (
        "No upstream of this model can serve the call: a/m (sees no pictures), b/m (sees no pictures)."
    )
    assert upstreams.asked == []
    assert (at.ledger.settled, at.ledger.open, caller.status) == ([], {}, None)


def test_a_prompt_that_cannot_fit_anywhere_is_refused_with_its_own_code():
    book = knowing(table("a"), a=ModelFacts(context=10))
    told, _, at = one(book, ScriptedUpstreams(a=[]), call(messages=[{"role": "user", "content": "x" * 88}]))
    assert (told.status, told.param, told.code) == (400, "messages", "context_length_exceeded")
    assert at.ledger.settled == []


def test_what_a_route_fills_in_is_needed_too():
    book = knowing(table("a", "b", defaults={"logprobs": True}), a=ModelFacts(logprobs=False))
    upstreams = ScriptedUpstreams(a=[stream("x")], b=[stream("x")])
    one(book, upstreams, call())
    one(book, upstreams, call(logprobs=False))
    assert upstreams.asked == ["b", "a"]


@pytest.mark.parametrize(
    ("default", "said"),
    [
        ({"max_tokens": 9}, {"max_completion_tokens": 2000}),
        ({"max_completion_tokens": 9}, {"max_tokens": 2000}),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, {"functions": [{"name": "g"}]}),
        ({"tool_choice": "none"}, {"function_call": "auto"}),
        ({"user": "route"}, {"safety_identifier": "caller"}),
    ],
)
def test_a_caller_who_says_it_by_its_other_name_is_not_silent(default, said):
    upstreams = ScriptedUpstreams(a=[stream("x")], b=[stream("x")])
    one(table("a", defaults=default), upstreams, call(**said))
    one(table("b", defaults=default), upstreams, call(**dict.fromkeys(said)))
    sent, silent = (orjson.loads(request.body) for request in upstreams.requests)
    assert sent.keys() & (default | said).keys() == said.keys()
    assert {name: silent[name] for name in default} == default


def test_the_last_who_can_is_the_last_resort():
    """It is probed a second after it opened, though one who cannot is listed behind it."""
    book = knowing(table("a", "b"), b=BLIND)
    upstreams = ScriptedUpstreams(a=[REFUSED] * 8 + [stream("x")], b=[])
    at = desk(book, upstreams)

    async def outage():
        for _ in range(5):
            caller = RecordingCaller()
            with pytest.raises(Exception, match="sees no pictures"):
                await answer(at, caller, call(messages=LOOK))
        await answer(at, caller := RecordingCaller(), call(messages=LOOK))
        return caller.text

    assert play(outage()) == "x"


def test_a_degraded_target_is_asked_for_less_and_the_caller_is_told_of_it():
    book = knowing(
        table("a", "b", drop_params=True),
        a=ModelFacts(choices=False, logprobs=False, forced_tools=False),
    )
    upstreams = ScriptedUpstreams(a=[stream("x")])
    asked = call(n=2, logprobs=True, tools=[WEATHER], tool_choice="required")
    before = orjson.dumps(asked.body)
    told, caller, _ = one(book, upstreams, asked)
    assert (told, caller.text) == (None, "x")
    assert caller.headers["x-fallthrough-degraded"] == "logprobs, n, tool_choice"
    sent = orjson.loads(upstreams.requests[0].body)
    assert sent["tool_choice"] == "auto"
    assert not {"n", "logprobs"} & set(sent)
    assert orjson.dumps(asked.body) == before


def test_only_the_target_that_cannot_gets_less():
    book = knowing(table("a", "b", drop_params=True), a=ModelFacts(logprobs=False))
    upstreams = ScriptedUpstreams(a=[REFUSED], b=[whole("x")])
    _, caller, _ = one(book, upstreams, call(stream=False, logprobs=True))
    first, last = (orjson.loads(request.body) for request in (upstreams.requests[0], upstreams.requests[-1]))
    assert ("logprobs" in first, last["logprobs"]) == (False, True)
    assert "x-fallthrough-degraded" not in caller.headers


def test_a_schema_is_asked_for_in_words_where_it_cannot_be_enforced():
    book = knowing(table("a", drop_params=True), a=ModelFacts(schemas=False))
    upstreams = ScriptedUpstreams(a=[stream("{}")])
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
    _, caller, _ = one(book, upstreams, call(response_format=schema))
    sent = orjson.loads(upstreams.requests[0].body)
    assert sent["response_format"] == {"type": "json_object"}
    assert sent["messages"][0] == {"role": "system", "content": BY_SCHEMA + '{"type":"object"}'}
    assert caller.headers["x-fallthrough-degraded"] == "response_format"


def test_losses_to_the_proxy_and_to_the_dialect_are_named_once_in_order():
    """The dialect leaves out what its wire cannot say; both lists become one."""
    book = knowing(table("a", drop_params=True), a=ModelFacts(choices=False, thinking=frozenset()))
    upstream = book.upstreams["a"]
    able = replace(upstream.capabilities, strip=frozenset({"stop", "temperature"}))
    book = replace(book, upstreams={"a": replace(upstream, capabilities=able)})
    asked = call(n=2, reasoning_effort="low", temperature=0.5, stop="x")
    _, caller, _ = one(book, ScriptedUpstreams(a=[stream("x")]), asked)
    assert caller.headers["x-fallthrough-degraded"] == "n, reasoning_effort, temperature, stop"


def test_a_strict_route_passes_over_what_a_lenient_one_degrades():
    for drop_params, asked in ((False, ["b"]), (True, ["a"])):
        book = knowing(table("a", "b", drop_params=drop_params), a=ModelFacts(logprobs=False))
        upstreams = ScriptedUpstreams(a=[stream("x")], b=[stream("x")])
        one(book, upstreams, call(logprobs=True))
        assert upstreams.asked == asked


def test_a_prompt_too_long_for_one_moves_to_a_larger_context_only():
    facts = {name: ModelFacts(context=size) for name, size in (("a", 8), ("b", 8), ("c", 16))}
    upstreams = ScriptedUpstreams(a=[TOO_LONG], b=[stream("no")], c=[stream("yes")])
    told, caller, at = one(knowing(table("a", "b", "c"), **facts), upstreams, call())
    assert (told, caller.text) == (None, "yes")
    assert upstreams.asked == ["a", "c"]
    assert [attempt.result for attempt in at.ledger.outcome.attempts] == ["too_long", "ok"]
    assert notes_of(at).breakers == []


def test_a_prompt_too_long_for_the_largest_context_is_the_callers():
    facts = {name: ModelFacts(context=size) for name, size in (("a", 16), ("b", 8))}
    upstreams = ScriptedUpstreams(a=[TOO_LONG], b=[stream("no")])
    told, _, at = one(knowing(table("a", "b"), **facts), upstreams, call())
    assert (told.status, told.code, told.message) == (400, "context_length_exceeded", "too long")
    assert upstreams.asked == ["a"]
    assert at.ledger.outcome.result == "context_length_exceeded"
