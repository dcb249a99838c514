"""Sixteen faults of a primary upstream, as the official SDK and the upstream see them.

After the methodology of Failover Bench 0.1: what counts is what reaches the caller (the whole answer, once,
or a typed error; never a part of it sold as the whole) and what the upstream's own log says of who was
asked how often. Every healthy upstream says the same sixty tokens.

Where the methodology speaks of seconds, `tests/relay/test_sixteen_faults.py` plays the same on virtual time.
"""

import re
from pathlib import Path

import openai
import pytest

from tests.kit.processes import calls
from tests.kit.stage import (
    CUT,
    PROMPT_TOKENS,
    RST,
    SILENCE,
    TOKENS,
    chunk,
    events,
    fault,
    opening,
    said,
    stream,
)
from tests.sdk.faults.asking import ASK, FIRST, SECOND, alive, answered, on_one_loop, streamed, well


@on_one_loop
async def test_s01_a_429_that_names_a_time_is_asked_again_after_it_and_not_before(sdk, stage):
    stage.plays("s01-first", fault(429, retry_after="2"), well(FIRST))
    await answered(sdk, "s01", FIRST)
    assert stage.order == ["s01-first"] * 2


@on_one_loop
async def test_s02_a_429_that_never_ends_is_not_hammered(sdk, stage):
    stage.plays("s02-first", fault(429))
    stage.plays("s02-second", well(SECOND))
    await answered(sdk, "s02", SECOND)
    assert stage.order.count("s02-first") <= 2
    assert stage.order[-1] == "s02-second"
    assert stage.order.count("s02-second") == 1


@on_one_loop
async def test_s03_a_500_is_tried_again_where_it_came_from(sdk, stage):
    stage.plays("s03-first", fault(500), well(FIRST))
    await answered(sdk, "s03", FIRST)
    assert stage.order == ["s03-first"] * 2


@on_one_loop
async def test_s04_a_503_that_stays_is_left_for_the_next(sdk, stage):
    stage.plays("s04-first", fault(503))
    stage.plays("s04-second", well(SECOND))
    await answered(sdk, "s04", SECOND)
    assert stage.order == ["s04-first", "s04-first", "s04-second"]


@pytest.mark.fault("a7-reset")
@on_one_loop
async def test_s05_a_reset_before_any_byte_is_answered_by_the_next(sdk, stage):
    stage.plays("s05-first", [RST], well(FIRST))
    stage.plays("s05-second", well(SECOND))
    await answered(sdk, "s05", SECOND)
    assert stage.order == ["s05-first", "s05-second"]


@on_one_loop
async def test_s06_a_silent_upstream_is_given_up_after_its_time_and_not_asked_again(sdk, stage):
    stage.plays("s06-first", [SILENCE])
    stage.plays("s06-second", well(SECOND))
    await answered(sdk, "s06", SECOND)
    assert stage.order == ["s06-first", "s06-second"]


@on_one_loop
async def test_s07_a_first_token_that_is_late_is_not_waited_for(sdk, stage):
    role = chunk(said(FIRST, {"role": "assistant", "content": ""}))
    stage.plays("s07-first", [opening(), role, SILENCE])
    stage.plays("s07-second", well(SECOND))
    await answered(sdk, "s07", SECOND)
    assert stage.order == ["s07-first", "s07-second"]


@pytest.mark.parametrize("how", [RST, CUT], ids=["reset", "closed"])
@on_one_loop
async def test_s08_a_stream_that_is_cut_after_forty_tokens_reaches_the_caller_whole(sdk, stage, how):
    begun = [opening(), *(chunk(one) for one in events(FIRST)[:41])]
    stage.plays("s08-first", [*begun, how])
    stage.plays("s08-second", well(SECOND))
    await answered(sdk, "s08")
    assert stage.order == ["s08-first", "s08-second"]


@on_one_loop
async def test_s09_a_stream_that_stalls_is_mended_and_nothing_is_stuck_afterwards(sdk, stage):
    stage.plays("s09-first", [opening(), *(chunk(one) for one in events(FIRST)[:21]), SILENCE])
    stage.plays("s09-second", well(SECOND))
    await answered(sdk, "s09")
    assert stage.order == ["s09-first", "s09-second"]
    await alive(sdk, stage)


@on_one_loop
async def test_s10_an_event_that_is_no_json_spoils_nothing(sdk, stage):
    told = events(FIRST)
    stage.plays("s10-first", stream([*told[:10], b'data: {"choices":[{"index":0,"del\n\n', *told[11:]]))
    stage.plays("s10-second", well(SECOND))
    await answered(sdk, "s10")
    assert stage.order == ["s10-first", "s10-second"]
    await alive(sdk, stage)


@pytest.mark.fault("c3-no-done")
@on_one_loop
async def test_s11_an_answer_that_lacks_only_its_done_is_whole_and_counted(sdk, stage):
    stage.plays("s11-first", stream(events(FIRST)[:-1]))
    completion = await answered(sdk, "s11", FIRST)
    assert completion.usage.total_tokens == PROMPT_TOKENS + len(TOKENS)
    assert stage.order == ["s11-first"]


@on_one_loop
async def test_s12_a_prompt_too_long_for_one_is_asked_once_there_and_then_where_there_is_room(sdk, stage):
    stage.plays("s12-first", fault(400, "context_length_exceeded"))
    stage.plays("s12-second", well(SECOND))
    await answered(sdk, "s12", SECOND)
    assert stage.order == ["s12-first", "s12-second"]


@on_one_loop
async def test_s13_a_refused_content_is_told_as_it_was_and_carried_nowhere_else(sdk, stage):
    stage.plays("s13-first", fault(400, "content_policy_violation", "Against the rules."))
    stage.plays("s13-second", well(SECOND))
    with pytest.raises(openai.BadRequestError) as caught:
        await streamed(sdk, "s13")
    assert caught.value.code == "content_policy_violation"
    assert "Against the rules." in caught.value.message
    assert stage.order == ["s13-first"]


@on_one_loop
async def test_s14_nobody_is_made_to_go_on_who_cannot(sdk, stage):
    stage.plays("s14-first", [opening(), *(chunk(one) for one in events(FIRST)[:41]), RST])
    stage.plays("s14-second", well(SECOND))
    await answered(sdk, "s14")
    assert stage.order == ["s14-first", "s14-second"]
    assert [asked.body["messages"] for asked in stage.asked] == [ASK, ASK], "no prefill"


@on_one_loop
async def test_s15_an_outage_costs_probes_and_ends_with_the_primary_in_use_again(sdk, stage):
    stage.plays("s15-first", fault(503))
    stage.plays("s15-second", well(SECOND))
    for _ in range(20):
        await answered(sdk, "s15", SECOND)
    assert stage.order.count("s15-second") == 20, "every call was answered in the outage"
    assert stage.order.count("s15-first") < 40, "fewer than two tries a call: it was given up"
    stage.plays("s15-first", well(FIRST))
    while (await streamed(sdk, "s15")).model != FIRST:
        pass
    assert stage.order[-1] == "s15-first"


@on_one_loop
async def test_s16_the_answer_is_booked_on_whom_it_came_from_and_a_failure_costs_nothing(sdk, stage, built):
    stage.plays("s16-first", fault(503))
    stage.plays("s16-second", well(SECOND))
    completion = await answered(sdk, "s16", SECOND)
    assert completion.usage.total_tokens == PROMPT_TOKENS + len(TOKENS)
    (row,) = calls(built, 1)
    assert (row["upstream"], row["result"]) == ("s16-second", "ok")
    assert row["nano_usd"] == PROMPT_TOKENS * 3000 + len(TOKENS) * 4000
    assert [(one["upstream"], one["billed"]) for one in row["attempts"]] == [
        ("s16-first", "no"),
        ("s16-first", "no"),
        ("s16-second", "yes"),
    ]


def test_the_page_names_a_test_for_each_of_the_sixteen_and_they_exist():
    """`docs/faults.md` lists S01 to S16 with their tests: no row without one, no test without a row."""
    page = (Path(__file__).parents[3] / "docs" / "faults.md").read_text("utf-8")
    rows = re.findall(r"^\| S(\d\d) \|.*\| `(test_s\1_\w+)` \|$", page, re.MULTILINE)
    assert [number for number, _ in rows] == [f"{number:02}" for number in range(1, 17)]
    assert [name for _, name in rows] == sorted(name for name in globals() if re.match(r"test_s\d\d_", name))
