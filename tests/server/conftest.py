"""Fixtures of the server's tests."""

import pytest

from tests.server.running import House, opened
from tests.server.twins import Scripted, until


@pytest.fixture
async def house():
    """A server on fresh ports, with a stand-in for the story."""
    async with opened(House()) as running:
        yield running


@pytest.fixture
async def story(house):
    """A stand-in for the story that a test tells step by step; no call of it is forgotten."""
    house.answer = scripted = Scripted(house)
    yield scripted
    for line in house.lines:
        line.writer.transport.abort()
    await until(lambda: not house.twins._shared)
    assert not house.twins.bills._watched
