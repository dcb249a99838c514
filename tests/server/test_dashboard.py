"""The dashboard from outside: to whom it is shown, what it tells, and who may watch."""

import asyncio
import json
from contextlib import suppress

import pytest

from proxy.call import Attempt, Billed, Identity, Outcome
from proxy.config.settings import Address
from proxy.server.listeners import open_listeners
from proxy.server.views.dashboard import WATCHERS_MAX
from proxy.server.views.fresh import SHARE, Fresh
from proxy.server.visit import Listener
from proxy.store import StoreRefused
from proxy.store.view import Counter, Crossed
from proxy.usage import Source, Usage
from tests.server.running import House, Line, http, opened
from tests.server.test_views import TABLE, fails
from tests.server.twins import until

ADMIN = Listener.ADMIN


@pytest.fixture
async def served():
    async with opened(House(table=TABLE)) as running:
        yield running


def asked(path="/admin/state", *, host="localhost", **headers):
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return http("GET", path, key=None, headers=named).replace(b"Host: localhost", f"Host: {host}".encode())


async def state(house):
    house.clock.now += 1
    reply = await house.send(asked(), ADMIN)
    assert reply.status == 200
    return reply.json


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/", "text/html"), ("/dashboard.css", "text/css"), ("/dashboard.js", "text/javascript")],
)
async def test_its_files_come_with_the_strictest_policy(served, path, kind):
    reply = await served.send(asked(path), ADMIN)
    assert reply.status == 200
    assert reply.headers["content-type"] == f"{kind}; charset=utf-8"
    policy = reply.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["cross-origin-resource-policy"] == "same-origin"


async def test_the_page_has_nothing_inline_and_nothing_from_elsewhere(served):
    page = (await served.send(asked("/"), ADMIN)).body.decode()
    assert "<style" not in page
    assert " style=" not in page
    assert "://" not in page.replace("http://www.w3.org/2000/svg", "")
    assert page.count("<script") == 1
    script = (await served.send(asked("/dashboard.js"), ADMIN)).body.decode()
    for sink in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "Function("):
        assert sink not in script


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8081", "127.0.0.1", "127.0.0.1:9", "[::1]", "[::1]:8081", "10.0.0.7:80"]
)
async def test_it_is_shown_by_address_or_as_localhost(served, host):
    for path in ("/", "/admin/state"):
        assert (await served.send(asked(path, host=host), ADMIN)).status == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8081", "localhost.evil.example", "127.0.0.1.evil.example", "1.2.3", "",
     "evil.example:127.0.0.1", "a.localhost", "[::1].evil.example", "127.0.0.1@evil.example", "localhost."],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/", "/dashboard.js", "/admin/state", "/admin/events"])
async def test_a_name_that_a_dns_server_could_have_given_out_is_refused(served, path, host):
    reply = await served.send(asked(path, host=host), ADMIN)
    assert (reply.status, reply.code) == (403, "wrong_host")


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize("path", ["/admin/state", "/admin/events", "/dashboard.js"])
async def test_another_site_s_page_gets_nothing(served, path, site):
    reply = await served.send(asked(path, sec_fetch_site=site), ADMIN)
    assert (reply.status, reply.code) == (403, "cross_site")


async def test_a_link_from_elsewhere_may_lead_to_it(served):
    assert (await served.send(asked("/", sec_fetch_site="cross-site"), ADMIN)).status == 200
    assert (await served.send(asked(sec_fetch_site="same-origin"), ADMIN)).status == 200


async def test_over_a_socket_file_no_name_is_wrong(tmp_path):
    """No browser gets there but through a proxy of the operator's own."""
    house = House(table=TABLE)
    path = tmp_path / "admin.sock"
    async with open_listeners(house.service(), {ADMIN: Address(path=path)}):
        line = Line(*await asyncio.open_unix_connection(path))
        line.send(asked(host="dashboard.example"))
        assert (await line.answer()).status == 200
        line.close()
    house.thread.shutdown()


async def test_its_own_name_is_the_one_in_the_settings(served):
    house = House(table=TABLE)
    views = house.views()
    house.views = lambda: type(views)(views.sights, views.glance, admin_host="Proxy.Internal")
    async with opened(house):
        assert (await house.send(asked(host="proxy.internal:8081"), ADMIN)).status == 200
        assert (await house.send(asked(host="other.internal"), ADMIN)).status == 403


async def test_the_public_has_no_dashboard(served):
    for path in ("/", "/dashboard.js", "/admin/state", "/admin/events"):
        for listener in (Listener.PUBLIC, Listener.PROBES):
            assert (await served.send(asked(path), listener)).status == 404


def settle(house):
    attempts = (
        Attempt("first", "gpt-4o", "overload", 503, "headers", 0, None, 50, Billed.NO, None, "too many"),
        Attempt("second", "llama", "ok", 200, "content", 60, 160, 460, Billed.YES),
    )
    for each in attempts:
        house.recent.attempted(each)
    house.recent.settled(
        Outcome(
            call_id="req_1",
            identity=Identity("acme", "key_1", "p_canary"),
            model="chat",
            stream=True,
            status=200,
            result="ok",
            upstream="second",
            upstream_model="llama",
            usage=Usage(100, 20, source=Source.REPORTED),
            nano_usd=2_500_000,
            attempts=attempts,
            started_us=house.clock.wall_us() - 460_000,
            first_ms=160,
            total_ms=460,
            fallback=True,
        )
    )


async def test_the_state_tells_of_everything(served):
    settle(served)
    fails(served)
    served.troubles["table"] = "2 faults"
    served.faults = ["proxy.yaml:3: routes: wrong; mend it"]
    counter = Counter("tenant=acme/tokens/day", 0, 1_800_057_600, "tokens", 40_000, 400, 50_000, (75, 90))
    served.view.found = (counter,)
    served.view.crossed = (Crossed(0, "tenant=acme/user=p_canary/tokens/day", 0, "tokens", 8, 75, 10),)
    found = await state(served)
    first, second = (next(e for e in found["upstreams"] if e["name"] == name) for name in ("first", "second"))
    assert (first["state"], first["why"], second["state"]) == ("down", "open", "up")
    missing = found["upstreams"][-2]
    assert (missing["name"], missing["state"]) == ("missing", "off")
    assert missing["why"] == "CANARY_VARIABLE is not set"
    assert len(found["minutes"]) == 60
    assert found["minutes"][-1] == {
        "at_s": 1_800_000_000,
        "calls": 1,
        "ok": 1,
        "fallbacks": 1,
        "input_tokens": 100,
        "output_tokens": 20,
        "nano_usd": 2_500_000,
    }
    (call,) = found["calls"]
    assert (call["tenant"], call["result"], call["at"]) == ("acme", "ok", "2027-01-15T08:00:00Z")
    assert [(each["upstream"], each["result"], each["status"]) for each in call["attempts"]] == [
        ("first", "overload", 503),
        ("second", "ok", 200),
    ]
    assert found["faults"] == served.faults
    assert found["checks"] == {"ledger": "ok", "table": "2 faults"}
    (limit,) = found["limits"]
    assert (limit["whose"], limit["used"], limit["marks"]) == ({"tenant": "acme"}, 40_000, [75, 90, 100])
    assert found["alerts"][0]["scope"] == "tenant=acme/user=*/tokens/day"
    assert (found["workers"], found["ledger"]) == ([], "ok")
    told = json.dumps(found)
    assert not any(word in told for word in ("p_canary", "sk-canary", "canary-host", "x-canary"))


async def test_a_ledger_that_cannot_be_read_leaves_the_rest_to_be_seen(served):
    settle(served)
    served.view.trouble = StoreRefused("/somewhere", "it is gone", "find it")
    found = await state(served)
    assert found["ledger"] == "The ledger cannot be read now."
    assert (len(found["calls"]), found["limits"]) == (1, [])


async def watch(house):
    line = await house.connect(ADMIN)
    line.send(asked("/admin/events"))
    status, headers = await line.head()
    return line, status, headers


async def event(line):
    told = (await line.chunk()).decode()
    assert told.startswith("data: ")
    assert told.endswith("\n\n")
    return json.loads(told[6:])


async def test_who_watches_is_told_once_a_second_what_has_changed(served):
    line, status, headers = await watch(served)
    assert (status, headers["content-type"]) == (200, "text/event-stream")
    assert "default-src 'none'" in headers["content-security-policy"]
    assert (await event(line))["calls"] == []
    settle(served)
    served.ticks.release()
    assert len((await event(line))["calls"]) == 1


async def test_however_many_watch_the_work_is_done_once(served):
    lines = [(await watch(served))[0] for _ in range(5)]
    assert {(await event(line))["at"] for line in lines} == {"2027-01-15T08:00:00Z"}
    assert served.view.looks <= 5, "the clock went on by a second with each"
    looks = served.view.looks
    for line in lines:
        line.close()
    await until(lambda: not served.ticks._waiters or all(waiter.done() for waiter in served.ticks._waiters))
    for _ in range(5):
        served.ticks.release()
    assert (await served.send(http("GET", "/healthz", key=None))).status == 200
    assert served.view.looks == looks, "nobody watches, so nobody looks"


async def test_only_so_many_may_watch_and_a_place_is_free_again_when_one_leaves(served):
    lines = [(await watch(served))[0] for _ in range(WATCHERS_MAX)]
    reply = await served.send(asked("/admin/events"), ADMIN)
    assert (reply.status, reply.code, reply.headers["retry-after"]) == (503, "too_many_watchers", "5")
    lines[0].close()

    for _ in range(100):  # that it left is noticed a moment later
        _, status, _ = await watch(served)
        if status == 200:
            return
    raise AssertionError("the place was not free again")


async def test_a_drain_ends_the_watching(served):
    line, _, _ = await watch(served)
    await event(line)
    served.gate.close()
    served.ticks.release()
    assert await line.chunk() == b""


async def test_what_is_asked_for_at_once_is_worked_out_once_and_heavy_work_more_rarely():
    now, made = 0.0, []
    ready = asyncio.Event()

    async def make():
        nonlocal now
        await ready.wait()
        now += 2.0
        made.append(now)
        return len(made)

    fresh = Fresh(make, lambda: now)
    asking = [asyncio.ensure_future(fresh.get()) for _ in range(5)]
    asking[0].cancel()
    ready.set()
    with suppress(asyncio.CancelledError):
        await asking[0]
    assert [await each for each in asking[1:]] == [1, 1, 1, 1]
    now += SHARE * 2.0 - 1
    assert await fresh.get() == 1
    now += 2
    assert await fresh.get() == 2
