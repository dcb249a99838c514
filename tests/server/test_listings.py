"""The model list and the probes."""

import pytest

from proxy.server.visit import Listener
from tests.server.running import http


async def test_models_are_listed_in_openai_s_shape_without_patterns(house):
    reply = await house.send(http("GET", "/v1/models"))
    assert reply.json["object"] == "list"
    assert [model["id"] for model in reply.json["data"]] == ["gpt-4o", "acme/chat:v1"]
    for model in reply.json["data"]:
        assert set(model) == {"id", "object", "created", "owned_by"}
        assert (model["object"], type(model["created"])) == ("model", int)


@pytest.mark.parametrize("asked", ["acme/chat:v1", "acme%2Fchat%3Av1", "acme%2fchat:v1"])
async def test_a_model_s_name_may_hold_slashes_and_colons(house, asked):
    reply = await house.send(http("GET", f"/v1/models/{asked}"))
    assert (reply.status, reply.json["id"]) == (200, "acme/chat:v1")


@pytest.mark.parametrize(
    "asked", ["gpt-9", "gpt-*", "GPT-4O", "gpt-4o/", "%ff", "%0d%0aX-Evil:1", "x" * 3000]
)
async def test_an_unknown_model_is_404(house, asked):
    reply = await house.send(http("GET", f"/v1/models/{asked}"))
    assert (reply.status, reply.code, reply.json["error"]["param"]) == (404, "model_not_found", "model")
    assert len(reply.body) < 1000
    assert "x-evil" not in reply.headers


@pytest.mark.parametrize("listener", [Listener.PUBLIC, Listener.PROBES])
async def test_readiness_names_its_checks(house, listener):
    reply = await house.send(http("GET", "/readyz", key=None), listener)
    assert reply.status == 200
    assert reply.json == {"status": "ready", "checks": {"ledger": "ok", "table": "ok"}}


@pytest.mark.fault("d22-ready")
async def test_an_unusable_ledger_makes_it_unready_but_not_dead(house):
    house.troubles["ledger"] = "disk full"
    reply = await house.send(http("GET", "/readyz", key=None))
    assert (reply.status, reply.json["status"]) == (503, "unready")
    assert reply.json["checks"]["ledger"] == "disk full"
    assert (await house.send(http("GET", "/healthz", key=None))).status == 200


async def test_a_bad_table_beside_a_good_one_in_force_is_told_and_no_more(house):
    house.troubles["table"] = "the file has 2 faults; the last good one is in force"
    reply = await house.send(http("GET", "/readyz", key=None))
    assert (reply.status, reply.json["status"]) == (200, "ready")
    assert "2 faults" in reply.json["checks"]["table"]


async def test_metrics_are_text_and_not_for_the_public(house):
    for listener in (Listener.PROBES, Listener.ADMIN):
        reply = await house.send(http("GET", "/metrics", key=None), listener)
        assert reply.body == b"fallthrough_calls_total 1\n"
        assert reply.headers["content-type"].startswith("text/plain")
    assert (await house.send(http("GET", "/metrics"))).status == 404
