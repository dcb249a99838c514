"""What `fallthrough usage` reads, beside a ledger that is being written."""

import pytest

from proxy.store import StoreRefused, report
from proxy.usage import Source, Usage
from tests.store.making import WALL_US, attempt, charge, claim, hold, settlement
from tests.store.stores import beside

DIRECT = (attempt("openai", "ok", 200),)
FELL = (attempt("openai", "overload", 503), attempt("vllm", "ok", 200))
FAILED = (attempt("openai", "overload", 503), attempt("vllm", "unreachable", None))


def sums(store, **narrowed):
    return beside(lambda: report.sums(store.place, **narrowed))


@pytest.fixture
async def served(store):
    async with store.open() as ledger:
        calls = (
            ("c1", DIRECT, "ok"),
            ("c2", FELL, "ok"),
            ("c3", FELL, "ok"),
            ("c4", FAILED, "upstream_error"),
        )
        for call_id, attempts, result in calls:
            await ledger.reserve(hold(call_id, claim(10)))
            usage = Usage(3, 5, cached=1, reasoning=2, source=Source.REPORTED) if result == "ok" else Usage()
            nano_usd = 7 if result == "ok" else 0
            told = settlement(
                call_id, charge(8), usage=usage, result=result, attempts=attempts, nano_usd=nano_usd
            )
            await ledger.commit(told)
        await ledger.reserve(hold("open", claim(10)))
        yield store


async def test_sums_are_by_tenant_model_and_who_answered(served):
    nobody, openai, vllm = sums(served)
    assert (nobody.upstream, nobody.calls, nobody.ok, nobody.failed, nobody.nano_usd) == ("-", 1, 0, 1, 0)
    assert (openai.upstream, openai.calls, openai.ok, openai.fallbacks) == ("openai", 1, 1, 0)
    assert (vllm.upstream, vllm.calls, vllm.ok, vllm.fallbacks, vllm.nano_usd) == ("vllm", 2, 2, 2, 14)
    assert (vllm.input_tokens, vllm.cached_tokens, vllm.output_tokens, vllm.reasoning_tokens) == (6, 2, 10, 4)
    assert {each.tenant for each in (nobody, openai, vllm)} == {"acme"}


async def test_sums_narrow_by_tenant_and_time(served):
    assert sums(served, tenant="globex") == ()
    assert len(sums(served, tenant="acme", since_us=WALL_US)) == 3
    assert sums(served, since_us=WALL_US + 10**9) == ()


async def test_the_last_calls_come_newest_first_with_their_attempts(served):
    failed, fell = beside(lambda: report.last_calls(served.place, 2))
    assert (failed.call_id, failed.result, failed.status, failed.upstream) == (
        "c4",
        "upstream_error",
        502,
        None,
    )
    assert [(each["upstream"], each["result"], each["status"]) for each in fell.attempts] == [
        ("openai", "overload", 503),
        ("vllm", "ok", 200),
    ]


async def test_counters_are_those_whose_window_is_not_over(served):
    found = beside(lambda: report.counters(served.place, now_us=WALL_US))
    assert [(each.scope, each.used, each.held, each.ceiling) for each in found] == [
        ("tenant=acme/tokens/day", 32, 10, 1000)
    ]
    assert beside(lambda: report.counters(served.place, now_us=WALL_US + 86_400_000_000)) == ()


def test_a_ledger_that_is_not_there_is_said_so_and_not_made(place):
    with pytest.raises(StoreRefused, match="there is no ledger here"):
        report.sums(place)


def test_a_file_that_is_not_there_is_not_made(tmp_path):
    with pytest.raises(StoreRefused, match="there is no ledger here"):
        report.sums(tmp_path / "ledger.db")
    assert list(tmp_path.iterdir()) == []
