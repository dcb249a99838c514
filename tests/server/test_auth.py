"""Keys: found by digest, refused in every other case, and never an identity out of a failure."""

import hashlib

import pytest

from proxy.server.guard import MISSING, UNKNOWN, UNREADABLE
from tests.server.running import KEY, House, chat, http, opened


async def test_a_key_may_come_as_bearer_or_as_api_key(house):
    for headers in (
        [("Authorization", f"Bearer {KEY}")],
        [("authorization", f"bearer   {KEY} ")],
        [("api-key", KEY)],
        [("API-Key", KEY), ("Authorization", f"Bearer {KEY}")],
    ):
        reply = await house.send(chat(key=None, headers=headers))
        assert reply.status == 200, headers
    assert {call.identity.key_id for call in house.calls} == {"key_1"}
    assert {call.identity.tenant for call in house.calls} == {"acme"}


REFUSED = {
    "none": ([], MISSING),
    "unknown": ([("Authorization", "Bearer ft-nobody")], UNKNOWN),
    "prefix": ([("Authorization", f"Bearer {KEY[:-1]}")], UNKNOWN),
    "longer": ([("Authorization", f"Bearer {KEY}0")], UNKNOWN),
    "upper case": ([("Authorization", f"Bearer {KEY.upper()}")], UNKNOWN),
    "its digest": ([("Authorization", "Bearer " + hashlib.sha256(KEY.encode()).hexdigest())], UNKNOWN),
    "quotes": ([("Authorization", "Bearer ' OR '1'='1")], UNKNOWN),
    "cyrillic": ([("Authorization", "Bearer ключ")], UNKNOWN),
    "not utf-8": ([("Authorization", "Bearer \udcff\udcfe")], UNKNOWN),
    "empty": ([("Authorization", "Bearer ")], UNREADABLE),
    "only the scheme": ([("Authorization", "Bearer")], UNREADABLE),
    "no scheme": ([("Authorization", KEY)], UNREADABLE),
    "basic": ([("Authorization", f"Basic {KEY}")], UNREADABLE),
    "too long": ([("Authorization", "Bearer " + "x" * 600)], UNREADABLE),
    "two": ([("Authorization", f"Bearer {KEY}"), ("Authorization", "Bearer x")], UNREADABLE),
    "twice the same": ([("Authorization", f"Bearer {KEY}")] * 2, UNREADABLE),
    "two that differ": ([("Authorization", f"Bearer {KEY}"), ("api-key", "x")], UNREADABLE),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_whatever_is_not_a_known_key_is_401(house, case):
    headers, message = REFUSED[case]
    reply = await house.send(chat(key=None, headers=headers))
    assert reply.status == 401
    assert reply.json["error"]["message"] == message
    assert reply.code == "invalid_api_key"
    assert reply.headers["x-should-retry"] == "false"
    assert not house.calls


async def test_a_nul_in_a_key_never_gets_in(house):
    reply = await house.send(chat(key=KEY[:10] + "\0" + KEY[10:]))
    assert reply.status in {400, 401}
    assert not house.calls


async def test_any_failure_of_authentication_is_401(house):
    house.keys.broken = True
    reply = await house.send(chat())
    assert reply.status == 401
    assert b"canary" not in reply.body
    assert not house.calls


async def test_the_key_is_judged_before_the_body_is_read(house):
    """A body that is announced and never sent does not delay the refusal."""
    head = http("POST", "/v1/chat/completions", key="ft-nobody", headers=[("Content-Length", "1000000")])
    assert (await house.send(head)).status == 401


async def test_only_digests_reach_the_store(house):
    await house.send(chat())
    assert house.keys.digests == [hashlib.sha256(KEY.encode()).digest()]


async def test_with_auth_none_everybody_is_the_default_tenant():
    async with opened(House(open_to_all=True)) as house:
        assert (await house.send(chat(key=None))).status == 200
        assert (await house.send(chat(key="anything"))).status == 200
        assert (await house.send(http("GET", "/v1/models", key=None))).status == 200
    assert {(call.identity.tenant, call.identity.key_id) for call in house.calls} == {("default", "none")}
    assert not house.keys.digests


@pytest.mark.parametrize(
    "said",
    [
        [("Origin", "https://evil.example")],
        [("Origin", "null")],
        [("Origin", "https://chat.example"), ("Origin", "https://evil.example")],
        [("Sec-Fetch-Site", "cross-site")],
        [("Sec-Fetch-Site", "same-site")],
    ],
    ids=str,
)
async def test_with_auth_none_a_stranger_s_page_may_not_spend(said):
    """A browser sends a plain POST for any page, unasked, and says whose page that was."""
    async with opened(House(open_to_all=True, origins=frozenset({"https://chat.example"}))) as house:
        reply = await house.send(chat(key=None, headers=said))
        assert (reply.status, reply.code, house.calls) == (403, "origin_not_allowed", [])


async def test_with_auth_none_a_page_that_the_settings_name_may():
    async with opened(House(open_to_all=True, origins=frozenset({"https://chat.example"}))) as house:
        assert (await house.send(chat(key=None, headers=[("Origin", "https://chat.example")]))).status == 200
        assert (await house.send(chat(key=None, headers=[("Sec-Fetch-Site", "none")]))).status == 200


async def test_who_has_a_key_may_call_from_any_page(house):
    assert (await house.send(chat(headers=[("Origin", "https://any.example")]))).status == 200
