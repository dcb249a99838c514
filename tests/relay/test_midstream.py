"""A stream that breaks in the caller's hands, and who goes on with it: dialogues over every cut."""

import random
from dataclasses import replace

import orjson
import pytest

from proxy.errors import Failure
from proxy.relay import answer
from proxy.table import (
    BreakerRules,
    Every,
    Limit,
    ModelFacts,
    OnMidstream,
    Per,
    Target,
    Timeouts,
    Unit,
    Upstream,
)
from proxy.usage import Source
from tests.kit.narrator import PROMPT_TOKENS, Narrator
from tests.kit.scripted_ports import (
    DONE,
    PRICE,
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
    stream,
    table,
    usage_event,
)
from tests.kit.virtual import play

TOKENS = (" 1", " 2", " é", " 4", "\n", "\n", "x", " ", "y ", "z")
SHORT = (" 1", " 2", " 3", " 4", " 5", " 6", " 7", " 8")
CONTINUE, RESTART = OnMidstream.CONTINUE, OnMidstream.RESTART
ROLE = event({"role": "assistant", "content": ""})


def one(book, upstreams, asked=None):
    """Play one call to its end: (caller, desk)."""
    at, caller = desk(book, upstreams), RecordingCaller()

    async def story():
        try:
            await answer(at, caller, asked or call())
        except Failure as failure:
            return failure
        return None

    assert play(story()) is None
    assert upstreams.open == 0, "a body leaked"
    assert at.snapshot.health.outstanding == 0
    return caller, at


def chunks(caller):
    """Everything the caller got, but `[DONE]`, parsed."""
    lines = [line for line in caller.body.split(b"\n\n") if line]
    return [orjson.loads(line.removeprefix(b"data: ")) for line in lines if line != b"data: [DONE]"]


def check_whole(caller, text):
    """One coherent answer: said once, from one head, with one role, one finish and one end."""
    assert caller.text == text
    assert caller.errors == []
    assert caller.body.count(b"[DONE]") == 1
    assert caller.body.endswith(DONE)
    said = chunks(caller)
    assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in said}) == 1
    choices = [chunk["choices"][0] for chunk in said if chunk["choices"]]
    assert sum(choice["delta"].get("role") is not None for choice in choices) == 1
    assert choices[0]["delta"]["role"] == "assistant"
    assert sum(choice["finish_reason"] is not None for choice in choices) == 1
    assert choices[-1]["finish_reason"] is not None


def check_broken(caller, text):
    """What was sent is a beginning of the answer, and the caller is told that it is no more."""
    assert text.startswith(caller.text)
    assert [error["code"] for error in caller.errors] == ["upstream_broken"]
    assert b"[DONE]" not in caller.body
    assert caller.finished


def plain(narrator):
    return narrator.stream({"messages": [{"role": "user", "content": "hi"}]})


ASKS_USAGE = {"stream_options": {"include_usage": True}}


@pytest.mark.parametrize("how", [CONTINUE, RESTART])
def test_a_stream_cut_at_any_byte_comes_out_whole_once_another_goes_on(how):
    whole = plain(Narrator(TOKENS))
    finish = whole.index(b'"stop"')
    ends = whole.index(b"\n\n", finish) + 2
    for cut in range(len(whole)):
        upstreams = Narrator(TOKENS, [cut])
        caller, at = one(table("vllm-a", "vllm-b", on_midstream=how), upstreams, call(**ASKS_USAGE))
        if cut < ends:
            assert upstreams.asked == ["vllm-a", "vllm-b"]
            check_whole(caller, "".join(TOKENS))
            outcome = at.ledger.outcome
            assert outcome.result == "ok"
            (usage,) = [chunk["usage"] for chunk in chunks(caller) if chunk.get("usage")]
            shown = (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"])
            assert shown == (outcome.usage.input, outcome.usage.output, outcome.usage.total)
        elif cut < len(whole) - 2:  # the SDK needs no blank line after [DONE], and neither do we
            check_broken(caller, "".join(TOKENS))


@pytest.mark.parametrize("how", [CONTINUE, RESTART])
def test_breaks_one_after_another_in_pieces_of_any_size_lose_and_double_nothing(how):
    whole = len(plain(Narrator(TOKENS)))
    for seed in range(300):
        dice = random.Random(seed)
        cuts = [dice.randrange(-1, whole // 4) for _ in range(dice.randrange(1, 4))]
        upstreams = Narrator(TOKENS, cuts, piece=dice.randrange(1, 400))
        book = table("vllm-a", "vllm-b", "vllm-c", "vllm-d", on_midstream=how)
        caller, at = one(book, upstreams, call(max_tokens=500))
        check_whole(caller, "".join(TOKENS))
        assert len(upstreams.asked) == len(cuts) + 1, "nobody is asked twice for one break"
        assert at.ledger.outcome.attempts[-1].result == "ok"


def test_what_goes_on_is_asked_for_no_more_than_is_left_of_the_callers_maximum():
    whole = plain(Narrator(SHORT))
    for cut in range(whole.index(b" 1"), whole.index(b" 6")):
        upstreams = Narrator(SHORT, [cut])
        caller, at = one(
            table("vllm-a", "vllm-b", on_midstream=CONTINUE), upstreams, call(max_tokens=6, **ASKS_USAGE)
        )
        check_whole(caller, " 1 2 3 4 5 6")
        assert chunks(caller)[-2]["choices"][0]["finish_reason"] == "length"
        assert at.ledger.outcome.usage.output == 6
        second = upstreams.bodies[1]
        if second.get("continue_final_message"):
            said = second["messages"][-1]["content"]
            assert second["max_tokens"] == 6 - len(said) // 2


def test_the_cap_of_a_limit_is_kept_too():
    limits = (Limit(Unit.TOKENS, 10**6, Every.DAY, per=Per.TENANT),)
    book = table("vllm-a", "vllm-b", limits=limits, max_output_tokens=6, on_midstream=CONTINUE)
    upstreams = Narrator(SHORT, [plain(Narrator(SHORT)).index(b" 4")])
    caller, _ = one(book, upstreams)
    check_whole(caller, " 1 2 3 4 5 6")
    assert [body["max_completion_tokens"] for body in upstreams.bodies] == [6, 3]


def test_an_answer_cut_after_the_last_token_it_may_have_is_told_as_broken():
    whole = plain(Narrator(SHORT))
    caller, _ = one(
        table("vllm-a", "vllm-b", on_midstream=CONTINUE),
        Narrator(SHORT, [whole.index(b" 4") + 60]),
        call(max_tokens=3),
    )
    check_broken(caller, " 1 2 3")


def test_nobody_is_told_to_go_on_in_words_and_white_space_at_the_end_is_not_part_of_what_is_sent():
    whole = plain(Narrator(TOKENS))
    upstreams = Narrator(TOKENS, [whole.index(b"y ") + 60])
    asked = call(temperature=0.5)
    one(table("vllm-a", "vllm-b", on_midstream=CONTINUE), upstreams, asked)
    first, second = upstreams.bodies
    assert second["messages"] == [
        *first["messages"],
        {"role": "assistant", "content": " 1 2 é 4\n\nx y"},
    ]
    assert {**second, "messages": first["messages"]} == {
        **first,
        "continue_final_message": True,
        "add_generation_prompt": False,
    }


def test_both_attempts_are_in_the_ledger_and_charged():
    limit = Limit(Unit.TOKENS, 10**6, Every.DAY, upstream="vllm-b")
    upstreams = Narrator(SHORT, [plain(Narrator(SHORT)).index(b" 4")])
    _, at = one(table("vllm-a", "vllm-b", limits=(limit,), on_midstream=CONTINUE), upstreams)
    outcome = at.ledger.outcome
    assert [(one.upstream, one.result, one.usage.output) for one in outcome.attempts] == [
        ("vllm-a", "broken", 3),
        ("vllm-b", "ok", 5),
    ]
    assert outcome.attempts[1].usage.input == PROMPT_TOKENS + 3
    assert outcome.usage.output == 8
    assert outcome.usage.source is Source.OBSERVED
    assert outcome.nano_usd == sum(PRICE.cost(one.usage) for one in outcome.attempts)
    assert sum(at.ledger.used.values()) == outcome.attempts[1].usage.total, "the second upstream's own limit"


@pytest.mark.parametrize("how", [CONTINUE, RESTART])
def test_no_limit_is_overshot_however_often_an_answer_breaks(how):
    limit = Limit(Unit.TOKENS, 1_000, Every.DAY, per=Per.TENANT)
    whole = plain(Narrator(SHORT))
    begun = whole.index(b" 2")
    for seed in range(100):
        dice = random.Random(seed)
        cuts = [dice.randrange(begun, len(whole)), *(dice.randrange(len(whole)) for _ in range(7))]
        book = table("vllm-a", "vllm-b", limits=(limit,), attempts=4, max_output_tokens=8, on_midstream=how)
        _, at = one(book, Narrator(SHORT, cuts))
        (_, settlement), *_ = at.ledger.settled
        assert settlement.charges[0].amount <= 2 * (call().prompt_bytes + 8)


def answers(*steps):
    return Says(steps=[ROLE, *steps, RESET])


TOOL = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}
NOT_TEXT = {
    "a tool call": ({}, answers(event({"content": "so"}), event({"tool_calls": [TOOL]}))),
    "only thoughts": ({}, answers(event({"reasoning_content": "hm"}))),
    "a refusal": ({}, answers(event({"refusal": "no"}))),
    "a finish": ({}, answers(event({"content": "so"}), event(finish="stop"))),
}
NOT_FREE = {
    "several choices": {"n": 2},
    "a form": {"response_format": {"type": "json_object"}},
    "a grammar": {"structured_outputs": {"regex": "a"}},
    "a forced call": {"tool_choice": "required", "tools": [{"type": "function", "function": {"name": "f"}}]},
    "an answer that the caller began": {
        "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    },
}


@pytest.mark.parametrize("how", [CONTINUE, RESTART])
@pytest.mark.parametrize(("members", "script"), NOT_TEXT.values(), ids=NOT_TEXT.keys())
def test_only_text_is_gone_on_with(how, members, script):
    upstreams = ScriptedUpstreams(**{"vllm-a": [script], "vllm-b": [stream("never")]})
    caller, _ = one(table("vllm-a", "vllm-b", on_midstream=how), upstreams, call(**members))
    assert [error["code"] for error in caller.errors] == ["upstream_broken"]
    assert upstreams.asked == ["vllm-a"]


@pytest.mark.parametrize("members", NOT_FREE.values(), ids=NOT_FREE.keys())
def test_an_answer_held_to_a_form_is_not_gone_on_with(members):
    upstreams = ScriptedUpstreams(
        **{"vllm-a": [answers(event({"content": "so"}))], "vllm-b": [stream("never")]}
    )
    caller, _ = one(table("vllm-a", "vllm-b", on_midstream=CONTINUE), upstreams, call(**members))
    assert [error["code"] for error in caller.errors] == ["upstream_broken"]
    assert upstreams.asked == ["vllm-a"]


def test_only_those_who_can_go_on_are_asked_to():
    broken = answers(event({"content": "so"}))
    upstreams = ScriptedUpstreams(a=[broken], b=[stream("never")], vllm=[stream(" far")])
    caller, _ = one(table("a", "b", "vllm", on_midstream=CONTINUE), upstreams)
    check_whole(caller, "so far")
    assert upstreams.asked == ["a", "vllm"]


def test_who_refuses_to_go_on_does_not_hide_the_break():
    refusal = {"error": {"message": "no prefill", "type": "BadRequestError", "param": None, "code": 400}}
    upstreams = ScriptedUpstreams(
        **{"a": [answers(event({"content": "so"}))], "vllm": [fails(400, refusal)], "vllm-b": [fails(503)]}
    )
    caller, at = one(table("a", "vllm", "vllm-b", attempts=1, on_midstream=CONTINUE), upstreams)
    check_broken(caller, "so")
    assert "a/m broke off" in caller.errors[0]["message"].replace("The answer of ", "")
    assert upstreams.asked == ["a", "vllm", "vllm-b"]
    assert at.ledger.outcome.result == "broken"


def test_a_broken_target_is_asked_again_only_after_the_others_and_a_silent_one_never():
    book = table("vllm-a", on_midstream=CONTINUE)
    at = plain(Narrator(SHORT)).index(b" 4")
    caller, _ = one(book, Narrator(SHORT, [at]))
    check_whole(caller, "".join(SHORT))
    upstreams = Narrator(SHORT, [at], how=STALL)
    caller, _ = one(book, upstreams)
    check_broken(caller, "".join(SHORT))
    assert upstreams.asked == ["vllm-a"]


def test_a_stall_is_gone_on_with_elsewhere():
    upstreams = Narrator(SHORT, [plain(Narrator(SHORT)).index(b" 4")], how=STALL)
    caller, at = one(table("vllm-a", "vllm-b", on_midstream=CONTINUE), upstreams)
    check_whole(caller, "".join(SHORT))
    assert at.ledger.outcome.total_ms == 60_000


def test_who_answers_anew_gives_only_what_is_missing():
    upstreams = ScriptedUpstreams(
        a=[answers(event({"content": "so f"}))], b=[stream("s", "o", " far", " good")]
    )
    caller, at = one(table("a", "b", on_midstream=RESTART), upstreams)
    check_whole(caller, "so far good")
    assert [chunk["choices"][0]["delta"].get("content") for chunk in chunks(caller)] == [
        "", "so f", "ar", " good", None,
    ]  # fmt: skip
    assert at.ledger.outcome.usage.output == 1 + 2


STRAYS = {
    "another word": [stream("so what")],
    "too short": [stream("s")],
    "a call": [Says(steps=[ROLE, event({"tool_calls": [TOOL]}), event(finish="tool_calls"), DONE])],
}


@pytest.mark.parametrize("second", STRAYS.values(), ids=STRAYS.keys())
def test_another_answer_is_never_spliced_on_and_blames_nobody(second):
    upstreams = ScriptedUpstreams(a=[answers(event({"content": "so far"}))], b=second)
    book = table("a", "b", on_midstream=RESTART)
    strict = replace(
        book, upstreams={n: replace(u, breaker=BreakerRules(failures=1)) for n, u in book.upstreams.items()}
    )
    caller, at = one(strict, upstreams)
    check_broken(caller, "so far")
    assert caller.text == "so far"
    assert [one.result for one in at.ledger.outcome.attempts][1] == "strayed"
    assert at.snapshot.health.state("b", 1.0) == "closed"


def test_thoughts_of_who_answers_anew_are_not_sent_before_what_is_missing():
    anew = Says(
        steps=[
            ROLE,
            event({"reasoning_content": "hm"}),
            event({"content": "so far"}),
            event(finish="stop"),
            DONE,
        ]
    )
    upstreams = ScriptedUpstreams(a=[answers(event({"content": "so"}))], b=[anew])
    caller, _ = one(table("a", "b", on_midstream=RESTART), upstreams)
    check_whole(caller, "so far")
    assert b"hm" not in caller.body


def test_who_answers_anew_is_alive_while_it_repeats_what_is_known():
    words = [f" {n}" for n in range(30)]
    slow = [step for word in words for step in (Pause(5), event({"content": word}))]
    anew = Says(steps=[ROLE, *slow, event(finish="stop"), usage_event(), DONE])
    known = "".join(words[:25])
    upstreams = ScriptedUpstreams(a=[answers(event({"content": known}))], b=[anew])
    caller, _ = one(
        table("a", "b", timeouts=Timeouts(first_token_s=20, idle_s=20), on_midstream=RESTART), upstreams
    )
    check_whole(caller, "".join(words))


def test_a_tool_call_may_follow_in_the_second_half():
    second = Says(
        steps=[
            ROLE,
            event({"content": " far"}),
            event({"tool_calls": [TOOL]}),
            event(finish="tool_calls"),
            DONE,
        ]
    )
    upstreams = ScriptedUpstreams(a=[answers(event({"content": "so "}))], vllm=[second])
    caller, _ = one(table("a", "vllm", on_midstream=CONTINUE), upstreams)
    check_whole(caller, "so far")
    assert b'"c1"' in caller.body


def messages(*texts, cut=False):
    """A stream in the words of Messages."""

    def said(kind, **members):
        return b"event: " + kind.encode() + b"\ndata: " + orjson.dumps({"type": kind, **members}) + b"\n\n"

    usage = {"input_tokens": 9, "output_tokens": 1}
    steps = [said("message_start", message={"model": "claude", "usage": usage})]
    steps.append(said("content_block_start", index=0, content_block={"type": "text", "text": ""}))
    steps += [
        said("content_block_delta", index=0, delta={"type": "text_delta", "text": text}) for text in texts
    ]
    if cut:
        return Says(steps=[*steps, RESET])
    steps.append(said("content_block_stop", index=0))
    steps.append(
        said("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": len(texts)})
    )
    return Says(steps=[*steps, said("message_stop")])


@pytest.mark.parametrize(("prefill", "whole"), [(True, True), (False, False), (None, False)])
def test_a_model_known_to_take_a_prefill_goes_on_and_no_other_does(prefill, whole):
    book = table("a", "c", on_midstream=CONTINUE)
    claude = Target("c", "m", PRICE, ModelFacts(prefill=prefill))
    route = replace(book.routes[0], targets=(book.routes[0].targets[0], claude))
    upstreams = {**book.upstreams, "c": Upstream("c", "anthropic", "http://c/v1")}
    asked = ScriptedUpstreams(a=[answers(event({"content": "so "}))], c=[messages(" far", " good")])
    caller, _ = one(replace(book, upstreams=upstreams, routes=(route,)), asked)
    if whole:
        check_whole(caller, "so far good")
        assert orjson.loads(asked.requests[1].body)["messages"][-1] == {
            "role": "assistant",
            "content": [{"type": "text", "text": "so"}],
        }
    else:
        check_broken(caller, "so")
        assert asked.asked == ["a"]


def test_a_dialect_without_a_way_to_go_on_is_not_asked():
    book = table("a", "g", on_midstream=CONTINUE)
    gemini = Target("g", "m", PRICE, ModelFacts(prefill=True))
    route = replace(book.routes[0], targets=(book.routes[0].targets[0], gemini))
    upstreams = {**book.upstreams, "g": Upstream("g", "gemini", "http://g/v1")}
    asked = ScriptedUpstreams(a=[answers(event({"content": "so"}))], g=[RESET])
    caller, _ = one(replace(book, upstreams=upstreams, routes=(route,)), asked)
    check_broken(caller, "so")
    assert asked.asked == ["a"]


def test_an_error_event_in_the_middle_is_mended_like_a_cut():
    boom = b'data: {"error":{"message":"boom","code":500}}\n\n'
    first = Says(steps=[ROLE, event({"content": "so"}), boom, DONE])
    upstreams = ScriptedUpstreams(a=[first], vllm=[stream(" far")])
    caller, _ = one(table("a", "vllm", on_midstream=CONTINUE), upstreams)
    check_whole(caller, "so far")


def test_the_callers_patience_ends_mending_too():
    upstreams = Narrator(SHORT, [plain(Narrator(SHORT)).index(b" 4")], how=STALL)
    caller, at = one(table("vllm-a", "vllm-b", on_midstream=CONTINUE), upstreams, call(patience_s=10.0))
    check_broken(caller, "".join(SHORT))
    assert at.ledger.outcome.total_ms == 10_000


def test_a_route_that_does_not_mend_passes_bytes_on_as_they_came():
    upstreams = Narrator(TOKENS)
    caller, _ = one(table("vllm-a"), upstreams, call(**ASKS_USAGE))
    assert caller.body == plain(Narrator(TOKENS))
