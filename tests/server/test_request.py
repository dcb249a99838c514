"""A request as it grows, and whoever waits for its body."""

import asyncio

import pytest

from proxy.errors import CallerFault, Told
from proxy.server.request import Request

SPOILT = CallerFault(Told(400, "spoilt", "invalid_request_error", "bad_request"))


async def awaited(request):
    """Whoever waits for its body, and stands there already."""
    waiting = asyncio.create_task(request.arrival())
    await asyncio.sleep(0)
    assert not waiting.done()
    return waiting


async def test_whoever_waits_is_told_of_a_body_that_is_too_large_at_once():
    request = Request(2, lambda: None)
    waiting = await awaited(request)
    request.add([b"ab"])
    await asyncio.sleep(0)
    assert not waiting.done()
    request.add([b"c"])
    await waiting
    assert request.too_large
    assert not request.whole
    assert request.body == b"", "what is too much is not kept"


async def test_whoever_waits_is_told_of_a_body_that_is_whole():
    request = Request(3, lambda: None)
    waiting = await awaited(request)
    request.add([b"ab", b"c"])
    request.end()
    await waiting
    assert (request.whole, request.too_large, request.body) == (True, False, b"abc")


async def test_whoever_waits_is_told_of_a_body_that_was_spoilt():
    request = Request(3, lambda: None)
    waiting = await awaited(request)
    request.spoil(SPOILT)
    with pytest.raises(CallerFault) as told:
        await waiting
    assert told.value is SPOILT
