"""One proxy for each file here, and the stage behind it."""

import pytest
import pytest_asyncio
from openai import AsyncOpenAI

from tests.kit.processes import House
from tests.kit.stage import staged
from tests.sdk.faults.asking import table


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
