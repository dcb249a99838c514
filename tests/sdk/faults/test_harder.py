"""Faults of upstreams that are harder to bear than the sixteen: odd bytes, odd framing, half an answer."""

import gzip

import pytest

from tests.kit.stage import (
    CUT,
    LAST,
    RST,
    TEXT,
    Drip,
    answer,
    chunk,
    event,
    events,
    opening,
    said,
    stream,
    whole,
)
from tests.sdk.faults.asking import FIRST, SECOND, THIRD, answered, mended, on_one_loop, streamed, text, well

WIDE = (" é", " 漢字", " 👩‍🚀", " naïve", " ½")
"""Tokens of one to many bytes a character."""


@pytest.mark.fault("c7-bytes")
@on_one_loop
async def test_an_answer_that_comes_byte_by_byte_is_whole(sdk, stage):
    stage.plays("hard-first", [Drip(b"".join(well(FIRST)))])
    await answered(sdk, "hard", FIRST)
    assert stage.order == ["hard-first"]


@on_one_loop
async def test_characters_split_between_pieces_come_out_whole(sdk, stage):
    stage.plays("hard-first", [Drip(b"".join(well(FIRST, tokens=WIDE)))])
    completion = await streamed(sdk, "hard")
    assert completion.choices[0].message.content == "".join(WIDE)


@on_one_loop
async def test_a_stream_cut_inside_a_character_reaches_the_caller_whole(sdk, stage):
    told = b"".join(events(FIRST, WIDE))
    for cut in range(told.index("字".encode()), told.index("👩".encode()) + 4):
        stage.asked.clear()
        stage.plays("hard-first", [opening(), chunk(told[:cut]), CUT])
        stage.plays("hard-second", well(SECOND, tokens=WIDE))
        completion = await streamed(sdk, "hard")
        assert completion.choices[0].message.content == "".join(WIDE)
        assert stage.order == ["hard-first", "hard-second"]


@pytest.mark.parametrize("end", [b"\r\n", b"\r"], ids=["CRLF", "CR"])
@on_one_loop
async def test_lines_may_end_as_the_standard_lets_them_wherever_they_are_split(sdk, stage, end):
    told = [one.replace(b"\n", end) for one in events(FIRST)]
    stage.plays("hard-first", [opening(), *(Drip(chunk(one)) for one in told), LAST])
    await answered(sdk, "hard", FIRST)
    assert stage.order == ["hard-first"]


@pytest.mark.fault("c9-gzip")
@pytest.mark.parametrize("streams", [True, False], ids=["streamed", "whole"])
@on_one_loop
async def test_gzip_that_nobody_asked_for_is_left_for_an_answer_that_can_be_read(sdk, stage, streams):
    packed = gzip.compress(b"".join(events(FIRST)))
    squeezed = [opening(content_encoding="gzip"), chunk(packed), LAST]
    if not streams:
        squeezed = answer(200, gzip.compress(body_of(whole(FIRST))), content_encoding="gzip")
    assert await mended(sdk, stage, squeezed, streams=streams) == ["hard-first", "hard-second"]


@on_one_loop
async def test_a_reset_inside_a_chunk_reaches_the_caller_whole(sdk, stage):
    told = [chunk(one) for one in events(FIRST)]
    half = told[30][: len(told[30]) // 2]
    assert await mended(sdk, stage, [opening(), *told[:30], half, RST]) == ["hard-first", "hard-second"]


@pytest.mark.fault("c5-error-first")
@on_one_loop
async def test_an_error_after_the_role_is_answered_by_the_next_and_leaves_no_trace(sdk, stage):
    role = said(FIRST, {"role": "assistant", "content": ""})
    error = event({"error": {"message": "overloaded", "type": "server_error", "param": None, "code": 503}})
    stage.plays("hard-first", stream([role, error]))
    stage.plays("hard-second", well(SECOND))
    await answered(sdk, "hard", SECOND)
    assert stage.order[-1] == "hard-second"


ERROR = b'{"error":{"message":"no","type":"server_error","param":null,"code":null}}'
BAD_SUCCESS = {
    "a page": (b"<!doctype html><title>Sign in</title>", "text/html"),
    "a page that says it is JSON": (b"<!doctype html>", "application/json"),
    "an error": (ERROR, "application/json"),
    "nothing": (b"", "application/json"),
}


@pytest.mark.fault("b8-page", "b10-inside")
@pytest.mark.parametrize("streams", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize(("body", "content_type"), BAD_SUCCESS.values(), ids=BAD_SUCCESS.keys())
@on_one_loop
async def test_a_success_that_holds_no_answer_is_none(sdk, stage, body, content_type, streams):
    order = await mended(sdk, stage, answer(200, body, content_type), streams=streams)
    assert order[-1] == "hard-second"
    assert order.count("hard-first") <= 2


@pytest.mark.parametrize("streams", [True, False], ids=["streamed", "whole"])
@on_one_loop
async def test_with_two_of_three_dead_the_third_answers(sdk, stage, streams):
    stage.plays("three-second", [RST])
    stage.plays("three-third", well(THIRD) if streams else whole(THIRD))
    assert await text(sdk, "three", streams=streams) == TEXT
    assert stage.order == ["three-second", "three-third"], "where the first should be nobody listens"


def body_of(steps):
    return b"".join(steps).partition(b"\r\n\r\n")[2]
