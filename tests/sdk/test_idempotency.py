"""A key that a program sends with a request: `extra_headers` of the official SDK, over a real port."""

import asyncio

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from tests.kit.processes import calls

ASK = [{"role": "user", "content": "hello"}]
REPLAYED = "x-fallthrough-replayed"


@pytest.fixture
def sdk(healthy):
    """A client as people make it, its retries included."""
    with OpenAI(base_url=healthy.base_url, api_key=healthy.key) as client:
        yield client


def under(key: str) -> dict:
    return {"model": "chat", "messages": ASK, "extra_headers": {"Idempotency-Key": key}}


def rows(built) -> int:
    """Calls in the ledger. One that was answered with its key again is settled: the second waits for that."""
    return len(calls(built, 1000))


def test_an_answer_is_given_twice_and_paid_once(sdk, healthy):
    before = rows(healthy)
    first = sdk.chat.completions.with_raw_response.create(**under("whole"))
    again = sdk.chat.completions.with_raw_response.create(**under("whole"))
    assert REPLAYED not in first.headers
    assert again.headers[REPLAYED] == "true"
    assert again.parse() == first.parse()
    assert again.headers["x-request-id"] != first.headers["x-request-id"]
    assert rows(healthy) == before + 1


def test_a_stream_is_given_twice_event_by_event(sdk, healthy):
    before = rows(healthy)
    first, again = (list(sdk.chat.completions.create(**under("stream"), stream=True)) for _ in range(2))
    assert first == again
    assert first[-1].choices[0].finish_reason == "stop"
    assert rows(healthy) == before + 1


async def test_twins_at_the_same_time_are_one_call(healthy):
    healthy.script("first: [{do: {chunk_delay: 20ms}}]")
    before = rows(healthy)
    async with AsyncOpenAI(base_url=healthy.base_url, api_key=healthy.key) as client:

        async def told():
            stream = await client.chat.completions.create(**under("twins"), stream=True)
            return [chunk async for chunk in stream]

        answers = await asyncio.gather(*(told() for _ in range(5)))
        answers.append(await told())
    assert all(answer == answers[0] for answer in answers)
    assert rows(healthy) == before + 1


def test_a_key_that_stands_for_another_request_is_a_typed_error(sdk):
    sdk.chat.completions.create(**under("reused"))
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        sdk.chat.completions.create(**under("reused"), temperature=0)
    assert caught.value.code == "idempotency_key_reused"
    assert caught.value.param == "idempotency-key"


def test_what_broke_after_content_is_a_conflict_that_no_sdk_retries(sdk, healthy):
    healthy.script("first: [{do: {cut: 4}}]")
    before = rows(healthy)
    with pytest.raises(openai.APIError):
        list(sdk.chat.completions.create(**under("broken"), stream=True))
    with pytest.raises(openai.ConflictError) as caught:
        list(sdk.chat.completions.create(**under("broken"), stream=True))
    assert caught.value.code == "idempotency_conflict"
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert rows(healthy) == before + 1


def test_what_cost_nothing_is_made_anew(sdk):
    for _ in range(2):
        with pytest.raises(openai.NotFoundError):
            sdk.chat.completions.create(**{**under("free"), "model": "no-such"})
    assert sdk.chat.completions.create(**under("free")).choices[0].message.content
