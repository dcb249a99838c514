"""Who may go on with a stream that broke, what is gone on with, and what is told when nobody can."""

import orjson
import pytest
from msgspec.structs import replace

from proxy.abilities import ModelFacts
from proxy.policy.estimate import estimate
from proxy.policy.prompt import Prompt
from proxy.relay import answer
from proxy.table import BreakerRules, Every, Limit, Per, Target, Timeouts, Unit, Upstream
from proxy.usage import Source
from tests.kit.mending import (
    ASKS_USAGE,
    CONTINUE,
    RESTART,
    ROLE,
    SHORT,
    TOKENS,
    check_broken,
    check_whole,
    chunks,
    one,
    plain,
)
from tests.kit.narrator import Narrator
from tests.kit.scripted_ports import (
    DONE,
    PRICE,
    RESET,
    STALL,
    MemoryLedger,
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


@pytest.mark.parametrize(("names", "parts"), [(("a", "b"), 1), (("a", "vllm"), 2)])
def test_only_a_call_that_somebody_could_mend_holds_as_much_again(names, parts):
    limit = Limit(Unit.TOKENS, 10**6, Every.DAY, per=Per.TENANT)
    book = table(*names, limits=(limit,), max_output_tokens=8, on_midstream=CONTINUE)
    at = desk(book, ScriptedUpstreams(a=[stream("x")]))
    held = []

    class Watched(MemoryLedger):
        async def reserve(self, hold):
            held.append(hold)
            return await super().reserve(hold)

    play(answer(replace(at, ledger=Watched()), RecordingCaller(), call()))
    most = estimate(call(), book.routes[0], Prompt.of(call().body))
    assert held[0].claims[0].amount == parts * most.total


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


def test_who_goes_on_and_does_not_say_what_it_read_is_charged_for_what_it_was_sent_of_the_answer_too():
    said = "a" + " word" * 80
    upstreams = ScriptedUpstreams(
        **{
            "vllm-a": [answers(event({"content": said}))],
            "vllm-b": [Says(steps=[ROLE, event({"content": " end"}), event(finish="stop"), DONE])],
        }
    )
    caller, at = one(table("vllm-a", "vllm-b", on_midstream=CONTINUE), upstreams)
    check_whole(caller, said + " end")
    first, second = at.ledger.outcome.attempts
    assert second.usage.source is Source.OBSERVED
    more = second.usage.input - first.usage.input
    assert len(said.encode()) / 4 <= more <= len(said.encode()) / 4 + 20, "four bytes a token, and a frame"


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


def test_after_one_that_strayed_another_may_still_give_what_is_missing():
    first, strays = answers(event({"content": "so"})), stream("other")
    upstreams = ScriptedUpstreams(a=[first], b=[strays], c=[stream("so", " far")])
    caller, at = one(table("a", "b", "c", on_midstream=RESTART), upstreams)
    check_whole(caller, "so far")
    assert [one.result for one in at.ledger.outcome.attempts] == ["broken", "strayed", "ok"]


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


def test_a_second_half_that_comes_as_thoughts_is_not_passed_off_as_the_end():
    thinks = Says(steps=[ROLE, event({"reasoning_content": " far"}), event(finish="stop"), DONE])
    upstreams = ScriptedUpstreams(a=[answers(event({"content": "so"}))], vllm=[thinks])
    caller, at = one(table("a", "vllm", on_midstream=CONTINUE), upstreams)
    check_broken(caller, "so")
    assert [one.result for one in at.ledger.outcome.attempts] == ["broken", "strayed"]


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
        check_broken(caller, "so ")
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
    assert caller.body == plain(Narrator(TOKENS), counts=False)
