"""`fallthrough health`, for exec probes."""

import asyncio

from click.testing import CliRunner

from proxy.cli.health import health
from proxy.config.settings import Address
from proxy.server.listeners import open_listeners
from proxy.server.visit import Listener
from tests.server.running import House


async def ask(*arguments, env=None):
    return await asyncio.to_thread(CliRunner().invoke, health, arguments, env=env)


async def test_it_exits_0_while_the_proxy_is_well_and_1_when_it_is_not(house):
    base = f"http://127.0.0.1:{house.port(Listener.PROBES)}"
    assert (await ask("--url", f"{base}/readyz")).exit_code == 0
    assert (await ask("--url", base)).exit_code == 0
    assert (await ask(env={"FALLTHROUGH_HEALTH_URL": f"{base}/healthz"})).exit_code == 0
    house.gate.close()
    unready = await ask("--url", f"{base}/readyz")
    assert unready.exit_code == 1
    assert "draining" in unready.output


async def test_it_asks_a_unix_socket_as_the_settings_write_one(tmp_path):
    path, house = tmp_path / "proxy.sock", House()
    async with open_listeners(house.service(), {Listener.PROBES: Address(path=path)}):
        assert (await ask("--url", f"unix:{path}")).exit_code == 0
        assert (await ask("--url", f"unix:{path}:/readyz")).exit_code == 0
        house.gate.close()
        unready = await ask("--url", f"unix:{path}:/readyz")
        assert (unready.exit_code, "draining" in unready.output) == (1, True)
    assert (await ask("--url", f"unix:{path}")).exit_code == 1


async def test_it_exits_1_if_nobody_answers_or_the_address_makes_no_sense():
    for url in ("http://127.0.0.1:1/healthz", "ftp://x/", "nonsense", "http://[::1", "unix:", "unix:/\0"):
        assert (await ask("--url", url)).exit_code == 1
