"""Dialogues about limits: what is held while a call runs, what is given back, what its caller is told."""

import asyncio
import contextlib
import itertools
import json

import pytest
from msgspec.structs import replace

from proxy.errors import Failure
from proxy.facts.models import facts_of
from proxy.holds import Spent
from proxy.policy.estimate import estimate
from proxy.policy.prompt import Prompt
from proxy.relay import answer
from proxy.table import Every, Limit, Per, Route, Target, Unit, Upstream
from proxy.usage import Price
from proxy.wire import DIALECTS
from tests.kit.scripted_ports import (
    DONE,
    PRICE,
    REFUSED,
    RESET,
    STALL,
    Pause,
    RecordingCaller,
    Says,
    ScriptedUpstreams,
    call,
    desk,
    event,
    fails,
    notes_of,
    stream,
    table,
    usage_event,
    whole,
)
from tests.kit.virtual import WALL_START_US, VirtualClock, play

AT_ONCE = Limit(Unit.STREAMS, 1, None, per=Per.TENANT)

ENDINGS = {
    "well": stream("x"),
    "broken after content": stream("x", steps=[RESET]),
    "failed everywhere": fails(500),
    "by the caller's own fault": fails(400),
    "unreachable": REFUSED,
    "never": Says(steps=[event({"content": "x"}), STALL]),
}


@pytest.mark.parametrize("script", ENDINGS.values(), ids=ENDINGS.keys())
def test_a_call_at_once_is_given_back_however_it_ends(script):
    async def story():
        at = desk(table("a", limits=(AT_ONCE,)), ScriptedUpstreams(a=[script]))
        running = asyncio.ensure_future(answer(at, RecordingCaller(), call(1)))
        done, _ = await asyncio.wait({running}, timeout=20)
        if not done:  # the caller leaves in the middle
            running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return at.ledger

    ledger = play(story())
    assert ledger.held == {("tenant=acme/streams", 0): 0}
    assert sum(ledger.used.values()) == 0


def test_one_call_too_many_at_once_is_refused_and_may_come_again_when_one_has_ended():
    async def story():
        slow = stream("slow", steps=[Pause(5), event(finish="stop"), b"data: [DONE]\n\n"])
        at = desk(table("a", limits=(AT_ONCE,)), ScriptedUpstreams(a=[slow, whole()]))
        running = asyncio.ensure_future(answer(at, RecordingCaller(), call(1)))
        await asyncio.sleep(1)
        with pytest.raises(Failure) as refused:
            await answer(at, RecordingCaller(), call(2, stream=False))
        await running
        await answer(at, RecordingCaller(), call(3, stream=False))
        return refused.value.told

    told = play(story())
    assert (told.status, told.code, told.should_retry) == (429, "rate_limit_exceeded", True)


@pytest.mark.parametrize("streamed", [True, False])
def test_an_answer_says_what_is_left_as_of_its_reservation(streamed):
    limits = (
        Limit(Unit.REQUESTS, 60, Every.MINUTE, per=Per.KEY),
        Limit(Unit.TOKENS, 100_000, Every.DAY, per=Per.TENANT),
        Limit(Unit.TOKENS, 10**9, Every.MONTH, per=Per.TENANT),
        Limit(Unit.REQUESTS, 5, Every.DAY, upstream="a"),
    )

    async def story():
        at = desk(table("a", limits=limits), ScriptedUpstreams(a=[stream("x") if streamed else whole()]))
        found = []
        for number in range(2):
            caller = RecordingCaller()
            await answer(at, caller, call(number, stream=streamed))
            found.append({k: v for k, v in caller.headers.items() if k.startswith("x-ratelimit")})
        return found, at

    (first, second), at = play(story())
    assert first["x-ratelimit-limit-requests"] == "60"
    assert (first["x-ratelimit-remaining-requests"], second["x-ratelimit-remaining-requests"]) == ("59", "58")
    assert first["x-ratelimit-limit-tokens"] == "100000"
    held = at.ledger.settled[0][1].outcome
    left = [int(each["x-ratelimit-remaining-tokens"]) for each in (first, second)]
    assert left[0] - left[1] == held.usage.total, "the worst case counts until a call has ended"
    assert first["x-ratelimit-reset-tokens"] == "24h0m0s"


def test_an_answer_under_no_limit_says_nothing_of_limits():
    async def story():
        at = desk(table("a"), ScriptedUpstreams(a=[stream("x")]))
        caller = RecordingCaller()
        await answer(at, caller, call())
        return caller.headers

    assert not [name for name in play(story()) if name.startswith("x-ratelimit")]


def test_a_shadow_refuses_nobody_skips_nothing_and_is_seen_by_the_observers():
    limits = (
        Limit(Unit.REQUESTS, 1, Every.DAY, per=Per.TENANT, shadow=True),
        Limit(Unit.REQUESTS, 1, Every.DAY, upstream="a", shadow=True),
    )

    async def story():
        upstreams = ScriptedUpstreams(a=[stream("x")], b=[stream("never")])
        at = desk(table("a", "b", limits=limits), upstreams)
        for number in range(3):
            await answer(at, RecordingCaller(), call(number))
        return at, upstreams

    at, upstreams = play(story())
    assert upstreams.asked == ["a", "a", "a"]
    over = [[balance.over for balance in granted.balances] for granted in notes_of(at).reservations]
    assert over == [[False, False], [True, True], [True, True]]
    assert at.ledger.used["tenant=acme/requests/day/shadow", 1_767_225_600] == 3


def test_observers_hear_of_every_refusal_also_of_one_that_only_skips():
    mine = Limit(Unit.REQUESTS, 3, Every.DAY, per=Per.TENANT)
    limits = (mine, Limit(Unit.REQUESTS, 1, Every.DAY, upstream="a"))

    async def story():
        at = desk(table("a", "b", limits=limits), ScriptedUpstreams(a=[stream("x")], b=[stream("y")]))
        for number in range(4):
            with contextlib.suppress(Failure):
                await answer(at, RecordingCaller(), call(number))
        return notes_of(at).reservations

    refused = [(each.claim.upstream, each.used) for each in play(story()) if isinstance(each, Spent)]
    assert refused.count((None, 3)) == 1
    assert ("a", 1) in refused


@pytest.mark.parametrize(("begins_s", "served"), [(58.5, True), (30.0, False)])
def test_who_waits_for_the_next_window_of_a_targets_own_limit_is_held_in_it(begins_s, served):
    """It is waited for only where it comes soon; then what it brings must be there."""
    mine = Limit(Unit.REQUESTS, 1, Every.MINUTE, upstream="a")

    async def story():
        at = desk(table("a", limits=(mine,)), ScriptedUpstreams(a=[whole("first"), whole("second")]))
        await asyncio.sleep(begins_s)
        await answer(at, RecordingCaller(), call(1, stream=False))
        caller, failure = RecordingCaller(), None
        try:
            await answer(at, caller, call(2, stream=False))
        except Failure as error:
            failure = error
        return caller, failure, asyncio.get_running_loop().time(), at.ledger

    caller, failure, ended_s, ledger = play(story())
    if served:
        assert failure is None
        assert b"second" in caller.body
        assert ended_s == pytest.approx(60.0)
        assert sorted(ledger.used.values()) == [1, 1], "one in each minute"
    else:
        assert (failure.told.status, failure.told.retry_after_s) == (503, 30.0)
        assert ended_s == begins_s


class Behind(VirtualClock):
    """A clock by whose wall time whoever waited is there a little too early, as on a loop of milliseconds."""

    def wall_us(self):
        now_us = super().wall_us()
        return now_us - 400 if now_us >= WALL_START_US + 60_000_000 else now_us


def test_who_wakes_a_little_before_the_next_window_is_held_in_it_all_the_same():
    mine = Limit(Unit.REQUESTS, 1, Every.MINUTE, upstream="a")

    async def story():
        at = desk(table("a", limits=(mine,)), ScriptedUpstreams(a=[whole("first"), whole("second")]))
        at = replace(at, clock=Behind())
        await asyncio.sleep(58.5)
        await answer(at, RecordingCaller(), call(1, stream=False))
        caller = RecordingCaller()
        await answer(at, caller, call(2, stream=False))
        return caller, at.ledger

    caller, ledger = play(story())
    assert b"second" in caller.body
    assert sorted(ledger.used.values()) == [1, 1]


def spoken(words, pause):
    """A stream that says `words` with a pause after each."""
    steps = [step for word in words for step in (event({"content": word}), Pause(pause))]
    return Says(steps=[*steps, event(finish="stop"), usage_event(5, len(words)), DONE])


def test_a_long_streams_progress_is_noted_now_and_then_as_it_would_be_charged():
    limits = (
        Limit(Unit.TOKENS, 10**9, Every.DAY, per=Per.TENANT),
        Limit(Unit.REQUESTS, 5, Every.DAY, upstream="b"),
        AT_ONCE,
    )

    async def story():
        at = desk(
            table("a", "b", limits=limits),
            ScriptedUpstreams(a=[fails(500)], b=[spoken(["word "] * 600, 0.05)]),
        )
        await answer(at, RecordingCaller(), call())
        return at.ledger

    ledger = play(story())
    notes = ledger.notes
    assert 10 <= len(notes) <= 15, "30 s of stream, noted every 2 s"
    assert all(two.usage.output >= one.usage.output + 32 for one, two in itertools.pairwise(notes))
    last = notes[-1]
    assert (last.call_id, last.upstream, last.upstream_model) == ("req_1", "b", "m")
    amounts = {one.scope: one.amount for one in last.charges}
    assert amounts == {
        "tenant=acme/tokens/day": last.usage.total,
        "upstream=b/requests/day": 1,
        "tenant=acme/streams": 0,
    }
    assert last.nano_usd == last.usage.input * 1000 + last.usage.output * 2000
    assert ledger.outcome.usage.total == 605, "noting changes nothing of what is settled"
    assert ledger.outcome.nano_usd == 5 * 1000 + 600 * 2000


@pytest.mark.parametrize(
    "script",
    [spoken(["word "] * 30, 0.05), spoken(["word "] * 20, 3), whole()],
    ids=["a short stream", "a slow one of few tokens", "a whole answer"],
)
def test_what_is_short_is_not_noted(script):
    async def story():
        at = desk(table("a"), ScriptedUpstreams(a=[script]))
        await answer(at, RecordingCaller(), call(stream=script.headers["content-type"] != "application/json"))
        return at.ledger.notes

    assert len(play(story())) <= 1


def test_a_dearer_target_further_down_is_held_from_the_start_and_an_answer_there_overdraws_nothing():
    limit = Limit(Unit.NANO_USD, 10**12, Every.DAY, per=Per.TENANT)
    book = table("cheap", "dear", limits=(limit,), max_output_tokens=100)
    cheap, dear = book.routes[0].targets
    dear = replace(dear, price=Price(100 * PRICE.input, 100 * PRICE.output))
    book = replace(book, routes=(replace(book.routes[0], targets=(cheap, dear)),))

    async def story():
        at = desk(book, ScriptedUpstreams(cheap=[fails(500)], dear=[stream("x", "y")]))
        await answer(at, RecordingCaller(), call())
        return at

    at = play(story())
    (granted, *_) = notes_of(at).reservations
    outcome = at.ledger.outcome
    assert outcome.upstream == "dear"
    assert granted.balances[0].claim.amount >= 100 * (5 * 1000 + 100 * 2000) > outcome.nano_usd


@pytest.mark.fault("c8-more")
def test_what_an_upstream_says_beyond_its_maximum_is_recorded_and_overdraws_the_limit():
    limit = Limit(Unit.TOKENS, 500, Every.DAY, per=Per.TENANT)

    async def story():
        chatty = Says(steps=[event({"content": "x"}), event(finish="stop"), usage_event(5, 9_000), DONE])
        at = desk(table("a", limits=(limit,)), ScriptedUpstreams(a=[chatty]))
        await answer(at, RecordingCaller(), call(1, max_completion_tokens=10))
        with pytest.raises(Failure) as refused:
            await answer(at, RecordingCaller(), call(2, max_completion_tokens=10))
        return at, refused.value.told

    at, told = play(story())
    assert at.ledger.used["tenant=acme/tokens/day", 1_767_225_600] == 9_005
    assert "used 9005" in told.message


BOUNDED = {
    "openai": ("openai", "gpt-5", ("max_completion_tokens", "max_tokens")),
    "vllm": ("vllm", "m", ("max_completion_tokens", "max_tokens")),
    "claude with budgets": ("anthropic", "claude-sonnet-4-5", ("max_tokens",)),
    "claude of today": ("anthropic", "claude-opus-5", ("max_tokens",)),
    "gemini": ("gemini", "gemini-2.5-pro", ("maxOutputTokens",)),
}


@pytest.mark.parametrize("dialect", BOUNDED.values(), ids=BOUNDED.keys())
@pytest.mark.parametrize(
    "members",
    [
        {},
        {"max_tokens": 5000},
        {"max_completion_tokens": 5000, "reasoning_effort": "high"},
        {"max_completion_tokens": 5000, "thinking": {"type": "enabled", "budget_tokens": 4000}},
        {"reasoning_effort": "high"},
    ],
    ids=str,
)
def test_no_dialect_asks_for_more_than_is_held(dialect, members):
    """The maximum that goes upstream, thinking included, is at most what the estimate says."""
    name, model, spellings = dialect
    asked = replace(call(**members), output_cap=4096)
    upstream = Upstream("u", name, "http://u")
    request = DIALECTS[name].request(asked, Target("u", model, facts=facts_of(name, model)), upstream, {})
    sent = json.loads(request.body)
    limits = {**sent, **sent.get("generationConfig", {})}
    maxima = [limits[spelling] for spelling in spellings if spelling in limits]
    route = Route("chat", (), max_output_tokens=4096)
    held = estimate(asked, route, Prompt.of(asked.body)).output_tokens
    assert maxima
    assert max(maxima) <= held
    assert limits.get("thinking", {}).get("budget_tokens", 0) < max(maxima)


@pytest.mark.parametrize("reported", [None, 900], ids=["nobody counts", "counted"])
def test_a_picture_whose_tokens_nobody_reports_is_charged_as_one_and_not_by_its_base64(reported):
    link = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "iVBORw0KGgoA" * 50_000}}
    steps = None if reported is None else [event(finish="stop"), usage_event(reported, 1), DONE]
    said = stream("It is", steps=[event(finish="stop"), DONE] if steps is None else steps)
    at = desk(table("a"), ScriptedUpstreams(a=[said]))
    play(answer(at, RecordingCaller(), call(messages=[{"role": "user", "content": [link]}])))
    bound = Target("a", "m").media.image
    charged = at.ledger.outcome.usage.input
    assert charged == 900 if reported else bound <= charged <= bound + 100
