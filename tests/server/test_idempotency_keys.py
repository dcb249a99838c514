"""What an `idempotency-key` may be, and what it stands for."""

import hashlib

import pytest

from proxy.call import Identity
from proxy.ports import Grant
from proxy.server.calls import call_of
from proxy.server.idempotency import question
from tests.server.running import CHAT, chat
from tests.server.twins import BODY, END, KEY, ONE, ask, until


@pytest.mark.parametrize("given", ["", "x" * 256, "caf\xe9", "a\tb"])
async def test_a_key_that_is_none_is_400(house, given):
    reply = await house.send(ask(key=given))
    assert (reply.status, reply.code) == (400, "bad_header")
    assert not house.calls


async def test_two_keys_are_400(house):
    reply = await house.send(ask(headers=[("idempotency-key", KEY)]))
    assert (reply.status, reply.code) == (400, "bad_header")


def test_the_same_question_under_another_key_has_another_digest():
    """It is in the ledger for a day, beside the pseudonym: none may try there whether anna asked `Hello`."""
    body = {**CHAT, "user": "anna"}
    call = call_of(body, 40, id="req_1", created=1, identity=Identity("acme", "key_1"))
    first, second = question(call, "9f3c-1"), question(call, "9f3c-2")
    assert first == question(call, "9f3c-1")
    assert first.digest != second.digest


OTHER_QUESTIONS = {
    "body": {"body": {"temperature": 1}},
    "streamed or not": {"body": {"stream": False}},
    "upstream": {"headers": [("x-preferred-upstream", "vllm")]},
    "consent": {"headers": [("x-user-consent", "true")]},
}


@pytest.mark.fault("d21-other")
@pytest.mark.parametrize("other", OTHER_QUESTIONS)
@pytest.mark.parametrize("ended", [False, True])
async def test_a_key_that_stands_for_another_question_is_422_and_no_call(house, story, other, ended):
    line, telling = await story.joined(ask())
    telling.say(ONE, *((END,) if ended else ()))
    if ended:
        await line.answer()
        await until(lambda: not house.twins._shared)
    reply = await house.send(ask(**OTHER_QUESTIONS[other]))
    assert (reply.status, reply.code) == (422, "idempotency_key_reused")
    assert reply.headers["x-should-retry"] == "false"
    assert len(house.calls) == 1


async def test_the_order_of_members_and_the_patience_of_a_caller_make_no_other_question(house, story):
    await story.answered(ask({"stream": False, "top_p": 1}), BODY, END)
    turned = dict(reversed({**CHAT, "stream": False, "top_p": 1}.items()))
    raw = ask(turned, headers=[("x-request-timeout", "5s"), ("x-stainless-retry-count", "1")])
    assert (await house.send(raw)).headers["x-fallthrough-replayed"] == "true"


async def test_a_large_question_is_compared_too(house, story):
    body = {"stream": False, "messages": [{"role": "user", "content": "x" * 600_000}]}
    await story.answered(ask(body), BODY, END)
    assert (await house.send(ask(body))).body == BODY
    body["messages"][0]["content"] += "y"
    assert (await house.send(ask(body))).status == 422


async def test_the_same_key_of_another_tenant_is_another_key(house, story):
    other = "ft-" + "f" * 48
    digest = hashlib.sha256(other.encode()).digest()
    house.keys.grants[digest] = Grant("key_2", "globex")
    await story.answered(ask({"stream": False}), BODY, END)
    line = await house.connect()
    line.send(chat({"stream": False}, key=other, headers=[("Idempotency-Key", KEY)]))
    (await story.telling(1)).say(b"{}", END)
    assert (await line.answer()).body == b"{}"
    assert [call.identity.tenant for call in house.calls] == ["acme", "globex"]


async def test_another_key_of_the_same_tenant_is_a_twin(house, story):
    other = "ft-" + "e" * 48
    house.keys.grants[hashlib.sha256(other.encode()).digest()] = Grant("key_3", "acme")
    await story.answered(ask({"stream": False}), BODY, END)
    raw = chat({"stream": False}, key=other, headers=[("Idempotency-Key", KEY)])
    assert (await house.send(raw)).body == BODY
    assert len(house.calls) == 1
