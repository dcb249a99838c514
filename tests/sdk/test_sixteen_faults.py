"""Sixteen faults of a primary upstream, and the harder ones, as the official SDK and the upstream see them.

After the methodology of Failover Bench 0.1: what counts is what reaches the caller (the whole answer, once,
or a typed error; never a part of it sold as the whole) and what the upstream's own log says of who was
asked how often. Every healthy upstream says the same sixty tokens. One proxy, configured as its users would;
each scenario has a route and upstreams of its own, so that what one of them breaks is no other's.

Where the methodology speaks of seconds, `tests/relay/test_sixteen_faults.py` plays the same on virtual time.
"""

import gzip

import openai
import pytest
import pytest_asyncio
from openai import AsyncOpenAI

from tests.kit.processes import TABLE, House, calls, free_ports
from tests.kit.stage import (
    CUT,
    LAST,
    PROMPT_TOKENS,
    RST,
    SILENCE,
    TEXT,
    TOKENS,
    Drip,
    answer,
    chunk,
    event,
    events,
    fault,
    opening,
    said,
    staged,
    stream,
    whole,
)

HEAD, _, _ = TABLE.partition("upstreams:")
FIRST, SECOND, THIRD = "primary", "fallback", "spare"
"""The models' names at the three upstreams."""
ASK = [{"role": "user", "content": "Count to sixty."}]
SHORT = "{{first_token: 500ms, idle: 500ms}}"
SILENT = ("s06", "s07", "s09")
"""Scenarios in which the first upstream is waited for until its time is over."""
NAMES = (*(f"s{number:02}" for number in range(1, 17)), "hard")


def upstream(name: str, port: int | str) -> str:
    quick = f", timeouts: {SHORT}" if name.startswith(SILENT) and name.endswith("first") else ""
    quick += ", breaker: {{failures: 3, open: 50ms, open_max: 50ms}}" if name == "s15-first" else ""
    quick += ", breaker: {{failures: 1000}}" if name.startswith("hard") else ""
    return f"  {name}: {{{{base_url: 'http://127.0.0.1:{port}/{name}/v1', api_key: sk-x, capabilities: openai{quick}}}}}\n"


def route(name: str, *targets: str) -> str:
    listed = ", ".join(targets)
    return (
        f"  - model: {name}\n    targets: [{listed}]\n"
        "    retry: {{attempts: 2, in_place: 3s}}\n    on_midstream: restart\n"
    )


def table(port: int) -> str:
    (dead,) = free_ports(1)
    lines = [HEAD, "upstreams:\n"]
    lines += [upstream(f"{name}-{place}", port) for name in NAMES for place in ("first", "second")]
    lines += [upstream("hard-third", port), upstream("dead", dead), "routes:\n"]
    lines += [route(name, f"{name}-first/{FIRST}", f"{name}-second/{SECOND}") for name in NAMES]
    lines += [route("three", f"dead/{FIRST}", f"hard-second/{SECOND}", f"hard-third/{THIRD}")]
    lines += ["models:\n  'dead/*': {{context: 8000}}\n"]
    lines += ["prices:\n", "  '*/primary': {{input: 1, output: 2}}\n", "  '*': {{input: 3, output: 4}}\n"]
    return "".join(lines)


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def playing(tmp_path_factory):
    """The proxy and the stage behind it, for all tests here."""
    async with staged() as (stage, port):
        built = House(tmp_path_factory.mktemp("house"), table=table(port))
        try:
            built.key = built.new_key("acme")
            built.serve()
            yield built, stage
        finally:
            built.close()


@pytest.fixture
def built(playing):
    return playing[0]


@pytest.fixture
def stage(playing):
    """The upstreams, whom nobody has asked yet."""
    playing[1].asked.clear()
    return playing[1]


@pytest_asyncio.fixture(loop_scope="module")
async def sdk(playing):
    """A client as people make it, its own two retries included: ours must not be multiplied by them."""
    async with AsyncOpenAI(base_url=playing[0].base_url, api_key=playing[0].key) as client:
        yield client


async def streamed(sdk, model):
    """One answer through the SDK's own accumulator."""
    options = {"include_usage": True}
    asked = sdk.chat.completions.stream(model=model, messages=ASK, stream_options=options)
    async with asked as chunks:
        return await chunks.get_final_completion()


async def answered(sdk, model, by=None):
    """The whole answer, said once, ended as it was, counted, and under the name of the model `by`.

    Where a stream breaks, either name is right: what breaks together with its first content begins nothing.
    """
    completion = await streamed(sdk, model)
    (choice,) = completion.choices
    assert (choice.message.role, choice.message.content) == ("assistant", TEXT)
    assert choice.finish_reason == "stop"
    assert completion.model in ({FIRST, SECOND} if by is None else {by})
    assert completion.usage.prompt_tokens >= PROMPT_TOKENS
    assert completion.usage.completion_tokens >= len(TOKENS)
    return completion


def well(model, **more):
    return stream(events(model, **more))


# ── the sixteen ───────────────────────────────────────────────────────────────────────────────────────


async def test_s01_a_429_that_names_a_time_is_asked_again_after_it_and_not_before(sdk, stage):
    stage.plays("s01-first", fault(429, retry_after="2"), well(FIRST))
    await answered(sdk, "s01", FIRST)
    assert stage.order == ["s01-first"] * 2


async def test_s02_a_429_that_never_ends_is_not_hammered(sdk, stage):
    stage.plays("s02-first", fault(429))
    stage.plays("s02-second", well(SECOND))
    await answered(sdk, "s02", SECOND)
    assert stage.order.count("s02-first") <= 2
    assert stage.order[-1] == "s02-second"
    assert stage.order.count("s02-second") == 1


async def test_s03_a_500_is_tried_again_where_it_came_from(sdk, stage):
    stage.plays("s03-first", fault(500), well(FIRST))
    await answered(sdk, "s03", FIRST)
    assert stage.order == ["s03-first"] * 2


async def test_s04_a_503_that_stays_is_left_for_the_next(sdk, stage):
    stage.plays("s04-first", fault(503))
    stage.plays("s04-second", well(SECOND))
    await answered(sdk, "s04", SECOND)
    assert stage.order == ["s04-first", "s04-first", "s04-second"]


async def test_s05_a_reset_before_any_byte_is_answered_by_the_next(sdk, stage):
    stage.plays("s05-first", [RST], well(FIRST))
    stage.plays("s05-second", well(SECOND))
    await answered(sdk, "s05", SECOND)
    assert stage.order == ["s05-first", "s05-second"]


async def test_s06_a_silent_upstream_is_given_up_after_its_time_and_not_asked_again(sdk, stage):
    stage.plays("s06-first", [SILENCE])
    stage.plays("s06-second", well(SECOND))
    await answered(sdk, "s06", SECOND)
    assert stage.order == ["s06-first", "s06-second"]


async def test_s07_a_first_token_that_is_late_is_not_waited_for(sdk, stage):
    role = chunk(said(FIRST, {"role": "assistant", "content": ""}))
    stage.plays("s07-first", [opening(), role, SILENCE])
    stage.plays("s07-second", well(SECOND))
    await answered(sdk, "s07", SECOND)
    assert stage.order == ["s07-first", "s07-second"]


@pytest.mark.parametrize("how", [RST, CUT], ids=["reset", "closed"])
async def test_s08_a_stream_that_is_cut_after_forty_tokens_reaches_the_caller_whole(sdk, stage, how):
    begun = [opening(), *(chunk(one) for one in events(FIRST)[:41])]
    stage.plays("s08-first", [*begun, how])
    stage.plays("s08-second", well(SECOND))
    await answered(sdk, "s08")
    assert stage.order == ["s08-first", "s08-second"]


async def test_s09_a_stream_that_stalls_is_mended_and_nothing_is_stuck_afterwards(sdk, stage):
    stage.plays("s09-first", [opening(), *(chunk(one) for one in events(FIRST)[:21]), SILENCE])
    stage.plays("s09-second", well(SECOND))
    await answered(sdk, "s09")
    assert stage.order == ["s09-first", "s09-second"]
    await alive(sdk, stage)


async def test_s10_an_event_that_is_no_json_spoils_nothing(sdk, stage):
    told = events(FIRST)
    stage.plays("s10-first", stream([*told[:10], b'data: {"choices":[{"index":0,"del\n\n', *told[11:]]))
    stage.plays("s10-second", well(SECOND))
    await answered(sdk, "s10")
    assert stage.order == ["s10-first", "s10-second"]
    await alive(sdk, stage)


async def test_s11_an_answer_that_lacks_only_its_done_is_whole_and_counted(sdk, stage):
    stage.plays("s11-first", stream(events(FIRST)[:-1]))
    completion = await answered(sdk, "s11", FIRST)
    assert completion.usage.total_tokens == PROMPT_TOKENS + len(TOKENS)
    assert stage.order == ["s11-first"]


async def test_s12_a_prompt_too_long_for_one_is_asked_once_there_and_then_where_there_is_room(sdk, stage):
    stage.plays("s12-first", fault(400, "context_length_exceeded"))
    stage.plays("s12-second", well(SECOND))
    await answered(sdk, "s12", SECOND)
    assert stage.order == ["s12-first", "s12-second"]


async def test_s13_a_refused_content_is_told_as_it_was_and_carried_nowhere_else(sdk, stage):
    stage.plays("s13-first", fault(400, "content_policy_violation", "Against the rules."))
    stage.plays("s13-second", well(SECOND))
    with pytest.raises(openai.BadRequestError) as caught:
        await streamed(sdk, "s13")
    assert caught.value.code == "content_policy_violation"
    assert "Against the rules." in caught.value.message
    assert stage.order == ["s13-first"]


async def test_s14_nobody_is_made_to_go_on_who_cannot(sdk, stage):
    stage.plays("s14-first", [opening(), *(chunk(one) for one in events(FIRST)[:41]), RST])
    stage.plays("s14-second", well(SECOND))
    await answered(sdk, "s14")
    assert stage.order == ["s14-first", "s14-second"]
    assert [asked.body["messages"] for asked in stage.asked] == [ASK, ASK], "no prefill"


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


async def alive(sdk, stage):
    """A healthy call after the trouble."""
    stage.plays("hard-first", well(FIRST))
    await answered(sdk, "hard", FIRST)
