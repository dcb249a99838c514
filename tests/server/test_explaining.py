"""`POST /admin/explain` over a real port: what would become of a call, told to the operator alone."""

import logging

import pytest

from proxy.errors import unavailable
from proxy.explain import Sight, explain
from proxy.holds import Claim
from proxy.policy.health import Health
from proxy.policy.terms import Terms
from proxy.server.visit import Listener
from proxy.snapshot import Snapshot
from proxy.store.recall import MemoryRecall
from proxy.table import BreakerRules, Every, Limit, Per, Route, Table, Target, Unit, Upstream
from tests.kit.plans import OVERLOAD, Dialogue
from tests.server.running import CHAT, http

RULES = BreakerRules(failures=1, open_s=60.0)
NAMES = ("openai", "vllm")
TABLE = Table(
    {name: Upstream(name, "openai", "http://127.0.0.1:1/v1", breaker=RULES) for name in NAMES},
    (Route("gpt-4o", tuple(Target(name, "gpt-4o") for name in NAMES)),),
    (
        Limit(Unit.TOKENS, 50_000, Every.DAY, Per.TENANT),
        Limit(Unit.REQUESTS, 10, Every.DAY, Per.USER),
        Limit(Unit.TOKENS, 9, Every.DAY, upstream="vllm"),
    ),
)
USED = {"tenant=acme/tokens/day": (1000, 200), "tenant=acme/user=p_acme_ann/requests/day": (3, 0)}


class Counters:
    """The Counters port of a ledger in which something has been used."""

    trouble = None

    async def look(self, claims: tuple[Claim, ...]):
        if self.trouble is not None:
            raise self.trouble
        return {one.counter: USED[one.scope] for one in claims if one.scope in USED}


@pytest.fixture
def counters():
    return Counters()


@pytest.fixture
async def explaining(house, counters):
    """A house that explains by a table of two upstreams, the first of which is open."""
    health = Health(dict.fromkeys(NAMES, RULES))
    talk = Dialogue(("openai",), attempts=1, health=health, roll=0.0)
    talk.start(now=100.0)
    talk.say(OVERLOAD, now=100.0)
    clock = house.clock
    sight = Sight(
        Snapshot(Terms.of(TABLE), health), MemoryRecall(clock), counters, clock.mono(), clock.wall_us()
    )
    house.explained = []

    async def told(call):
        house.explained.append(call)
        return await explain(sight, call)

    house.explain = told
    return house


async def ask(house, body=None, **headers):
    named = [(name.replace("_", "-"), value) for name, value in headers.items()]
    raw = http("POST", "/admin/explain", CHAT if body is None else body, key=None, headers=named)
    return await house.send(raw, Listener.ADMIN)


async def test_the_live_state_is_in_it(explaining):
    reply = await ask(explaining, x_fallthrough_tenant="acme")
    assert reply.status == 200
    told = reply.json
    assert (told["live"], told["route"], told["tenant"]) == (True, "gpt-4o", "acme")
    first, second = told["targets"]
    assert (first["target"], first["turn"], first["why"]) == ("openai/gpt-4o", None, "open")
    assert first["until_us"] == explaining.clock.wall_us() + 60_000_000
    assert (second["target"], second["turn"], second["why"]) == ("vllm/gpt-4o", None, "limit spent")
    assert {one["upstream"]: one["state"] for one in told["upstreams"]} == {
        "openai": "open",
        "vllm": "closed",
    }
    counters = {one["scope"]: (one["used"], one["held"], one["spent"]) for one in told["counters"]}
    assert counters["tenant=acme/tokens/day"] == (1000, 200, False)
    assert counters["upstream=vllm/tokens/day"] == (0, 0, True)
    assert (told["refused"]["status"], told["refused"]["code"]) == (503, "upstream_unavailable")


async def test_a_persons_own_counter_is_found_without_making_anybody_known(explaining):
    body = {**CHAT, "user": "ann"}
    told = (await ask(explaining, body, x_fallthrough_tenant="acme")).json
    counters = {one["scope"]: one["used"] for one in told["counters"]}
    assert counters["tenant=acme/user=p_acme_ann/requests/day"] == 3


async def test_headers_are_heard_as_a_real_call_s_are(explaining):
    told = (await ask(explaining, x_preferred_upstream="vllm", x_user_consent="true")).json
    assert [one["target"] for one in told["targets"]] == ["openai/gpt-4o", "vllm/gpt-4o"]
    (call,) = explaining.explained
    assert (call.preferred, call.consent, call.identity.tenant, call.identity.key_id) == (
        "vllm",
        True,
        "default",
        "none",
    )


async def test_nothing_of_the_body_is_told_back_or_logged(explaining, caplog):
    caplog.set_level(logging.DEBUG)
    reply = await ask(explaining)
    assert b"canary" not in reply.body
    broken = await ask(explaining, b'{"model": "canary-prompt-7731"')
    assert broken.status == 400
    assert b"canary" not in broken.body
    assert "canary" not in caplog.text


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"x_fallthrough_tenant": "no spaces"}, "bad_header"),
        ({"x_fallthrough_key": "\udcff"}, "bad_header"),
        ({"x_user_consent": "perhaps"}, "bad_header"),
    ],
)
async def test_a_wrong_header_is_told(explaining, headers, code):
    reply = await ask(explaining, **headers)
    assert (reply.status, reply.code) == (400, code)


async def test_counters_that_cannot_be_read_are_503_and_no_guess(explaining, counters):
    counters.trouble = unavailable("The counters of limits cannot be read just now.", "ledger_unavailable")
    reply = await ask(explaining)
    assert (reply.status, reply.code) == (503, "ledger_unavailable")


@pytest.mark.parametrize("listener", [Listener.PUBLIC, Listener.PROBES])
async def test_no_other_listener_explains(explaining, listener):
    reply = await explaining.send(http("POST", "/admin/explain", CHAT), listener)
    assert reply.status == 404
    assert explaining.explained == []


async def test_no_call_is_made_and_no_place_taken_at_the_gate(explaining):
    await ask(explaining)
    assert explaining.calls == []
    assert explaining.gate.live == 0


async def test_a_call_for_no_route_is_explained_too(explaining):
    told = (await ask(explaining, {**CHAT, "model": "nope"})).json
    assert (told["route"], told["targets"], told["refused"]["status"]) == (None, [], 404)


async def test_a_page_that_made_its_name_mean_this_machine_is_refused(explaining):
    raw = http("POST", "/admin/explain", CHAT, key=None).replace(b"Host: localhost", b"Host: evil.example")
    assert b"evil.example" in raw
    reply = await explaining.send(raw, Listener.ADMIN)
    assert (reply.status, reply.code, explaining.explained) == (403, "wrong_host", [])


async def test_another_site_s_page_is_explained_nothing(explaining):
    reply = await ask(explaining, sec_fetch_site="cross-site")
    assert (reply.status, reply.code, explaining.explained) == (403, "cross_site", [])
