"""Fixtures of the server's tests."""

import pytest

from tests.server.running import House, opened


@pytest.fixture
async def house():
    """A server on fresh ports, with a stand-in for the story."""
    async with opened(House()) as running:
        yield running
