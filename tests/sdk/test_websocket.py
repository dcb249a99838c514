"""The whole program over a WebSocket: the same table, limits and ledger as over HTTP."""

import aiohttp
import pytest

from tests.kit.processes import calls, eventually, house
from tests.server.sockets import frames, said

ASK = {"type": "request", "body": {"model": "chat", "messages": [{"role": "user", "content": "hello"}]}}


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """A proxy of its own: what other tests did to the upstreams of theirs would decide who answers here."""
    with house(tmp_path_factory.mktemp("house")) as built:
        yield built


@pytest.fixture
async def socket(healthy):
    async with aiohttp.ClientSession() as session:
        url = healthy.base_url + "/chat/stream"
        async with session.ws_connect(url, headers={"api-key": healthy.key}) as opened:
            yield opened


def row_of(built, call_id):
    return next((row for row in calls(built) if row["call_id"] == call_id), None)


async def test_a_failover_before_content_is_silent_and_in_the_ledger(healthy, socket):
    healthy.script("first: [{do: {error: overload}}]")
    told = await said(socket, ASK)
    assert [each["type"] for each in (told[0], told[1], told[-1])] == ["start", "chunk", "complete"]
    assert (told[0]["upstream"], told[0]["headers"]["x-fallthrough-attempts"]) != ("first", "1")
    assert (told[0]["upstream"], told[0]["model"]) == ("vllm", "mixtral")
    text = "".join(
        choice["delta"].get("content") or "" for each in told[1:-1] for choice in each["data"]["choices"]
    )
    assert text
    assert told[-1]["finish_reason"] == "stop"
    row = row_of(healthy, told[0]["id"])
    assert (row["result"], row["upstream"], row["stream"]) == ("ok", "vllm", True)
    assert row["output_tokens"] == told[-1]["usage"]["completion_tokens"]


async def test_a_stop_ends_the_call_upstream_and_is_a_caller_who_left(healthy, socket):
    healthy.script("first: [{do: {chunk_delay: 200ms}}]")
    await socket.send_json(ASK)
    start = await socket.receive_json()
    await socket.receive_json()
    await socket.send_json({"type": "stop"})
    assert (await frames(socket))[-1]["error"]["code"] == "stopped"
    assert eventually(lambda: row_of(healthy, start["id"]))["result"] == "caller_gone"
    healthy.script("{}")
    assert (await said(socket, ASK))[-1]["type"] == "complete"


async def test_an_unknown_model_is_told_as_over_http(socket):
    (error,) = await said(socket, {**ASK, "body": {**ASK["body"], "model": "nobody"}})
    assert (error["status"], error["error"]["code"], error["error"]["param"]) == (
        404, "model_not_found", "model",
    )  # fmt: skip
