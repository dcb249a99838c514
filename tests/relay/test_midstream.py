"""A stream that breaks at any byte in the caller's hands, and another that goes on with it."""

import random

import pytest

from proxy.table import (
    Every,
    Limit,
    Per,
    Unit,
)
from proxy.usage import Source
from tests.kit.mending import (
    ASKS_USAGE,
    CONTINUE,
    RESTART,
    SHORT,
    TOKENS,
    check_broken,
    check_whole,
    chunks,
    one,
    plain,
)
from tests.kit.narrator import PROMPT_TOKENS, Narrator
from tests.kit.scripted_ports import (
    PRICE,
    call,
    table,
)


@pytest.mark.fault("c2-mended")
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


@pytest.mark.parametrize("together", [2, 3, 5])
def test_the_maximum_is_kept_where_a_busy_server_sends_many_tokens_at_once(together):
    whole = plain(Narrator(SHORT, together=together))
    for cut in range(whole.index(b" 1"), whole.index(b"finish", whole.index(b" 5"))):
        upstreams = Narrator(SHORT, [cut], together=together)
        caller, at = one(table("vllm-a", "vllm-b", on_midstream=CONTINUE), upstreams, call(max_tokens=7))
        check_whole(caller, " 1 2 3 4 5 6 7")
        assert at.ledger.outcome.usage.output == 7


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
    assert outcome.usage.source is Source.REPORTED, "the engine was asked to count as it goes"
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
