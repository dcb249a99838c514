"""Workers who tell one another what they counted, and one who is killed as it speaks."""

import asyncio

import pytest

from proxy.server.siblings import METRICS, SIGHT, open_siblings
from proxy.server.worker import Worker

COUNTED = b"# HELP a_total All.\n# TYPE a_total counter\na_total 3.0\n"


@pytest.fixture
def workers(tmp_path):
    return [Worker(number, 2, tmp_path, leash=0, sockets={}) for number in (1, 2)]


def saying(text):
    return {METRICS: lambda: text, SIGHT: lambda: b""}


async def test_what_a_worker_says_is_added(workers):
    async with (
        open_siblings(workers[0], saying(COUNTED)) as asked,
        open_siblings(workers[1], saying(COUNTED)),
    ):
        assert b"a_total 6.0" in await asked.metrics()


async def test_who_is_cut_off_as_it_speaks_is_silent_and_what_it_last_counted_holds(workers):
    async with open_siblings(workers[0], saying(COUNTED)) as asked:
        async with open_siblings(workers[1], saying(COUNTED)):
            await asked.metrics()

        async def cut(reader, writer):
            await reader.readline()
            writer.write(COUNTED[:20])
            writer.close()

        async with await asyncio.start_unix_server(cut, workers[1].seat(2)):
            told = await asked.metrics()
            assert b"a_total 6.0" in told
            assert b"fallthrough_workers 1.0" in told
            assert len(await asked._all(SIGHT)) == 1
