"""A key that was used is known to whoever comes after: the process after a killed one, another replica."""

import asyncio
import contextlib
import signal

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from tests.kit.processes import TABLE, calls, eventually, house

ASK = [{"role": "user", "content": "hello"}]


def under(key: str, **more) -> dict:
    return {"model": "chat", "messages": ASK, "extra_headers": {"Idempotency-Key": key}, **more}


def client(built) -> OpenAI:
    """As people make it, its retries included; the caller's tenant is the same everywhere."""
    return OpenAI(base_url=built.base_url, api_key=built.key)


def refused(built, key: str) -> None:
    """The key is known: no second call, and no other question."""
    with client(built) as sdk:
        with pytest.raises(openai.ConflictError) as caught:
            sdk.chat.completions.create(**under(key))
        assert caught.value.code == "idempotency_conflict"
        assert caught.value.response.headers["x-should-retry"] == "false"
        with pytest.raises(openai.UnprocessableEntityError) as caught:
            sdk.chat.completions.create(**under(key), temperature=0)
        assert caught.value.code == "idempotency_key_reused"


@pytest.mark.fault("d21-crash")
def test_a_killed_process_leaves_its_keys_to_the_next(tmp_path):
    with house(tmp_path) as built:
        with client(built) as sdk:
            sdk.chat.completions.create(**under("whole"))
            built.script("first: [{do: {stall: 4}}]")
            broken = sdk.chat.completions.create(**under("broken"), stream=True)
            while not next(broken).choices[0].delta.content:
                pass
            built.kill("proxy")
            broken.close()
        built.script("{}")
        built.serve()
        before = len(calls(built, 100))
        with client(built) as sdk, pytest.raises(openai.ConflictError):
            sdk.chat.completions.create(**under("broken"), stream=True)
        refused(built, "whole")
        assert len(calls(built, 100)) == before, "nothing was asked of anybody"
        with client(built) as sdk:
            assert sdk.chat.completions.create(**under("fresh")).choices[0].message.content


RESETS = "{first: [{do: {reset: true}}], vllm: [{do: {reset: true}}]}"
"""Who has read the whole request, and may have billed it."""


@pytest.mark.fault("d21-failed")
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_a_key_whose_call_failed_though_it_may_have_been_billed_is_used_after_a_restart_too(tmp_path, end):
    with house(tmp_path) as built:
        built.script(RESETS)
        with client(built) as sdk, pytest.raises(openai.InternalServerError) as caught:
            sdk.chat.completions.create(**under("failed"))
        assert caught.value.status_code == 502
        eventually(lambda: calls(built))
        refused(built, "failed")
        built.processes["proxy"].send_signal(end)
        built.processes["proxy"].wait(timeout=20)
        built.script("{}")
        built.serve()
        refused(built, "failed")
        [call] = calls(built, 100)
        assert (call["kind"], call["input_tokens"], call["nano_usd"]) == ("commit", 0, 0)


def test_what_failed_at_one_replica_though_it_may_have_been_billed_no_other_asks_again(tmp_path, database):
    table = TABLE.replace("sqlite:///{folder}/ledger.db", database.url)
    with contextlib.ExitStack() as stack:
        one, other = (
            stack.enter_context(house(made(tmp_path / name), table=table)) for name in ("one", "other")
        )
        one.script(RESETS)
        with client(one) as sdk, pytest.raises(openai.InternalServerError):
            sdk.chat.completions.create(**under("failed"))
        eventually(lambda: calls(one))
        refused(other, "failed")
        assert len(calls(other, 100)) == 1


def test_a_key_whose_call_cost_nothing_is_free_after_a_restart(tmp_path):
    with house(tmp_path) as built:
        built.script("{first: [{do: {status: 401}}], vllm: [{do: {status: 401}}]}")
        with client(built) as sdk, pytest.raises(openai.APIStatusError):
            sdk.chat.completions.create(**under("free"))
        eventually(lambda: calls(built))  # its settlement follows its answer within milliseconds
        built.kill("proxy")
        built.script("{}")
        built.serve()
        with client(built) as sdk:
            assert sdk.chat.completions.create(**under("free")).choices[0].message.content


def test_what_one_replica_was_asked_no_other_asks_again(tmp_path, database):
    table = TABLE.replace("sqlite:///{folder}/ledger.db", database.url)
    with contextlib.ExitStack() as stack:
        one, other = (
            stack.enter_context(house(made(tmp_path / name), table=table)) for name in ("one", "other")
        )
        with client(one) as sdk:
            first = sdk.chat.completions.create(**under("order"))
            assert sdk.chat.completions.create(**under("order")) == first
        refused(other, "order")
        assert len(calls(other, 100)) == 1
        assert asyncio.run(twins((one, other, one, other))) == 1


async def twins(houses) -> int:
    """Of those who ask at once, with one key, in two places: how many different answers they get."""
    async with contextlib.AsyncExitStack() as stack:
        made_by = [
            await stack.enter_async_context(AsyncOpenAI(base_url=each.base_url, api_key=each.key))
            for each in houses
        ]
        asked = [each.chat.completions.with_raw_response.create(**under("twins")) for each in made_by]
        answers = await asyncio.gather(*asked, return_exceptions=True)
    assert all(isinstance(each, openai.ConflictError) for each in answers if isinstance(each, Exception))
    told = [each.parse().id for each in answers if not isinstance(each, Exception)]
    assert told
    return len(set(told))


def made(folder):
    folder.mkdir()
    return folder
