"""A process that is stopped for a while, that has no file left, or whose log nobody reads."""

import asyncio
import os
import resource
import signal
import subprocess
from pathlib import Path

import pytest
import uvloop

from tests.kit.beside import beside
from tests.kit.one_loop import DONE, LAST, TOKENS, joined, until
from tests.kit.processes import eventually

FILES = 160
MANY = 400
NO_HTTP = b"\x16\x03\x01 nonsense\r\n\r\n"


def whole(got: bytes) -> bool:
    return DONE in got and all(word.encode() in got for word in TOKENS)


@pytest.mark.fault("d3-stopped")
def test_what_was_told_to_a_process_that_stood_still_is_whole_when_it_goes_on(tmp_path):
    async def story():
        async with beside(tmp_path) as proxy:
            callers = [await proxy.caller(f"4 {number}") for number in range(20)]
            await until(lambda: all(b" one" in caller.got for caller in callers))
            process = proxy.house.processes["proxy"]
            os.kill(process.pid, signal.SIGSTOP)
            proxy.upstreams.let_go()
            late = [await proxy.caller("well") for _ in range(20)]
            leaves = await proxy.caller("4 leaves")
            leaves.leave("reset")
            os.kill(process.pid, signal.SIGCONT)
            assert all([whole(await caller.until(LAST)) for caller in callers + late])
            await asyncio.to_thread(eventually, proxy.ready)
            assert len(proxy.upstreams.heard) <= 41, "nobody was asked twice"

    uvloop.run(story())


def few_files() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))


@pytest.mark.fault("d15-files")
def test_without_a_file_left_those_inside_go_on_and_newcomers_come_in_when_there_is_room(tmp_path):
    async def story():
        async with beside(tmp_path, preexec_fn=few_files) as proxy:
            inside = [await proxy.caller(f"4 {number}") for number in range(10)]
            await until(lambda: all(b" one" in caller.got for caller in inside))
            flood = [await joined(proxy.house.ports["proxy"]) for _ in range(MANY)]
            files = Path(f"/proc/{proxy.house.processes['proxy'].pid}/fd")
            await until(lambda: len(list(files.iterdir())) >= FILES - 5)
            proxy.upstreams.let_go()
            assert all([whole(await caller.until(LAST)) for caller in inside])
            for caller in flood:
                caller.leave("close")
            await asyncio.to_thread(eventually, proxy.ready)
            newcomer = await proxy.caller("well")
            assert whole(await newcomer.until(LAST))

    uvloop.run(story())


@pytest.mark.fault("d16-pipe")
def test_a_log_that_nobody_reads_stops_no_call(tmp_path):
    async def story():
        async with beside(tmp_path, stdout=subprocess.PIPE) as proxy:
            process = proxy.house.processes["proxy"]
            for _ in range(MANY * 2):  # a line each, and much more than a pipe holds
                caller = await joined(proxy.house.ports["proxy"])
                caller.transport.write(NO_HTTP)
                await until(lambda caller=caller: caller.got)
                caller.leave("close")
            assert whole(await (await proxy.caller("well")).until(LAST))
            read = asyncio.to_thread(process.stdout.read)
            os.kill(process.pid, signal.SIGTERM)
            text = (await read).decode()
        assert '"event": "lines of the log found no room"' in text
        assert "Traceback" not in text
        process.stdout.close()

    uvloop.run(story())
