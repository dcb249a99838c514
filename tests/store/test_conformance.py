"""What every ledger promises, whatever database is beneath it."""

import asyncio

import pytest
from msgspec.structs import replace

from proxy.call import Passed
from proxy.holds import Balance, Granted, Spent
from proxy.store.fault import Misuse
from proxy.store.pace import Pace
from proxy.table import Unit
from proxy.usage import Source, Usage
from tests.store.making import DAY, attempt, charge, claim, hold, settlement, shadow
from tests.store.test_faults import until

USD = "tenant=acme/nano_usd/month"


async def test_a_granted_reservation_is_held_and_its_commit_is_used(store):
    async with store.open() as ledger:
        assert isinstance(await ledger.reserve(hold("c1", claim(10))), Granted)
        assert store.balance() == (0, 10)
        await ledger.commit(settlement("c1", charge(8)))
        assert store.balance() == (8, 0)
    assert store.kinds("c1") == ["reserve", "commit"]


async def test_a_grant_tells_each_counter_as_it_left_it(store):
    async with store.open() as ledger:
        day, minute = claim(10), claim(1, 60, scope="requests", unit=Unit.REQUESTS, window=60)
        both = Granted((Balance(day, 0, 10), Balance(minute, 0, 1)))
        assert await ledger.reserve(hold("c1", day, minute)) == both
        await ledger.commit(settlement("c1", charge(8), charge(1, scope="requests", window=60)))
        assert await ledger.reserve(hold("c2", day)) == Granted((Balance(day, 8, 10),))
        assert await ledger.reserve(hold("c3", day)) == Granted((Balance(day, 8, 20),))
        upstream = claim(10, scope="upstream=vllm")
        assert await ledger.move("c3", (upstream,)) == Granted((Balance(upstream, 0, 10),))
        assert await ledger.reserve(hold("c4")) == Granted(())
        for name in ("c2", "c3", "c4"):
            await ledger.release(settlement(name))


async def test_a_reservation_behind_a_settlement_finds_it_settled_though_nobody_waited(store):
    async with store.open() as ledger:
        for number in range(40):
            granted = await ledger.reserve(hold(f"c{number}", claim(60, 100)))
            assert isinstance(granted, Granted), number
            last = ledger.commit(settlement(f"c{number}", charge(1)))
        await last
        assert store.balance() == (40, 0)


async def test_a_release_frees_all(store):
    async with store.open() as ledger:
        await ledger.reserve(hold("c1", claim(10)))
        await ledger.release(settlement("c1", charge(0), result="upstream_error"))
        assert store.balance() == (0, 0)
    assert store.kinds("c1") == ["reserve", "release"]


async def test_a_claim_that_fits_exactly_is_granted_and_one_more_token_is_not(store):
    async with store.open() as ledger:
        assert isinstance(await ledger.reserve(hold("c1", claim(60, 100))), Granted)
        assert isinstance(await ledger.reserve(hold("c2", claim(40, 100))), Granted)
        refused = claim(1, 100)
        assert await ledger.reserve(hold("c3", refused)) == Spent(refused, used=0, held=100)
        await ledger.commit(settlement("c1", charge(50)))
        await ledger.commit(settlement("c2", charge(40)))
        refused = claim(11, 100)
        assert await ledger.reserve(hold("c4", refused)) == Spent(refused, used=90, held=0)
        assert isinstance(await ledger.reserve(hold("c5", claim(10, 100))), Granted)
        await ledger.release(settlement("c5"))


async def test_a_claim_above_its_ceiling_is_refused_on_an_untouched_counter(store):
    async with store.open() as ledger:
        too_much = claim(101, 100)
        assert await ledger.reserve(hold("c1", too_much)) == Spent(too_much, 0, 0)


async def test_all_claims_or_none_and_the_first_that_cannot_is_told(store):
    async with store.open() as ledger:
        poor = claim(5, 4, scope=USD, unit=Unit.NANO_USD)
        poorer = claim(5, 3, scope="key=k/requests/minute", unit=Unit.REQUESTS)
        assert await ledger.reserve(hold("c1", claim(10), poor, poorer)) == Spent(poor, 0, 0)
        assert store.balance() == (0, 0)
        assert store.kinds("c1") == []
        # A refusal leaves nothing: the same call may ask again for less.
        assert isinstance(await ledger.reserve(hold("c1", claim(10))), Granted)
        await ledger.release(settlement("c1"))


async def test_a_move_adds_claims_all_or_none_and_settling_frees_them_too(store):
    async with store.open() as ledger:
        await ledger.reserve(hold("c1", claim(10)))
        upstream, broke = claim(10, 20, scope="upstream=vllm"), claim(2, 1, scope=USD, unit=Unit.NANO_USD)
        assert await ledger.move("c1", (upstream, broke)) == Spent(broke, 0, 0)
        assert store.balance("upstream=vllm") == (0, 0)
        assert isinstance(await ledger.move("c1", (upstream,)), Granted)
        assert store.balance("upstream=vllm") == (0, 10)
        await ledger.commit(settlement("c1", charge(8), charge(8, scope="upstream=vllm")))
        assert store.balance("upstream=vllm") == (8, 0)
    assert store.kinds("c1") == ["reserve", "move", "commit"]


async def test_a_claim_without_a_charge_is_freed_and_a_charge_without_a_claim_is_not_invented(store):
    async with store.open() as ledger:
        await ledger.reserve(hold("c1", claim(10), claim(10, scope="upstream=openai")))
        await ledger.commit(settlement("c1", charge(8), charge(3, scope="never claimed")))
        assert store.balance() == (8, 0)
        assert store.balance("upstream=openai") == (0, 0)
        assert store.balance("never claimed") == (0, 0)


async def test_an_overdraft_is_recorded_never_refused(store):
    async with store.open() as ledger:
        await ledger.reserve(hold("c1", claim(10, 12)))
        await ledger.commit(settlement("c1", charge(30)))
        assert store.balance() == (30, 0)
        refused = claim(1, 12)
        assert await ledger.reserve(hold("c2", refused)) == Spent(refused, 30, 0)


@pytest.mark.parametrize("wrong", [-5, 2**70])
async def test_a_charge_outside_reason_cannot_refund_or_overflow(store, wrong):
    async with store.open() as ledger:
        await ledger.reserve(hold("c1", claim(10)))
        await ledger.commit(settlement("c1", charge(wrong)))
        used, held = store.balance()
        assert used >= 0
        assert held == 0


async def test_the_first_resolution_stays(store):
    async with store.open() as ledger:
        await ledger.reserve(hold("c1", claim(10)))
        await ledger.commit(settlement("c1", charge(8)))
        await ledger.commit(settlement("c1", charge(5)))
        await ledger.release(settlement("c1", charge(0)))
        assert store.balance() == (8, 0)
    assert store.kinds("c1") == ["reserve", "commit"]


async def test_settling_what_was_never_granted_is_harmless(store):
    async with store.open() as ledger:
        await ledger.release(settlement("unknown", charge(3)))
        assert store.kinds("unknown") == []


@pytest.mark.parametrize("settled", [False, True])
async def test_reserving_a_call_twice_is_an_error_that_changes_nothing(store, settled):
    async with store.open() as ledger:
        await ledger.reserve(hold("c1", claim(10)))
        if settled:
            await ledger.commit(settlement("c1", charge(8)))
        before = store.balance()
        with pytest.raises(Misuse, match="c1"):
            await ledger.reserve(hold("c1", claim(10)))
        assert store.balance() == before


async def test_moving_a_call_that_is_not_open_is_an_error(store):
    async with store.open() as ledger:
        with pytest.raises(Misuse, match="not open"):
            await ledger.move("c1", (claim(1),))


async def test_a_faulty_request_spares_its_neighbours_in_the_same_batch(store):
    async with store.open() as ledger:
        asked = (hold("c1", claim(10)), hold("c2", claim(-1)), hold("c1", claim(10)), hold("c3", claim(10)))
        done = await asyncio.gather(*(ledger.reserve(each) for each in asked), return_exceptions=True)
        assert [type(each) for each in done] == [Granted, Misuse, Misuse, Granted]
        assert store.balance() == (0, 20)


async def test_a_counter_fills_64_bits_and_a_claim_that_leaves_them_spares_its_neighbours(store):
    async with store.open() as ledger:
        claims = {"c1": shadow(2**63 - 2, 9), "c2": shadow(1, 9), "c3": shadow(1, 9), "c4": claim(1)}
        done = await asyncio.gather(
            *(ledger.reserve(hold(name, each)) for name, each in claims.items()), return_exceptions=True
        )
        assert [type(each) for each in done] == [Granted, Granted, Misuse, Granted]
        assert store.balance("tenant=acme/tokens/day/shadow") == (0, 2**63 - 1)
        for name in ("c1", "c2", "c4"):
            await ledger.release(settlement(name))
    assert store.balance("tenant=acme/tokens/day/shadow") == (0, 0)


@pytest.mark.fault("d8-clock")
async def test_a_settlement_falls_in_the_window_that_was_reserved(store):
    async with store.open() as ledger:
        await ledger.reserve(hold("c1", claim(10, window=DAY)))
        await ledger.commit(settlement("c1", charge(8, window=DAY + 86_400)))
        found = store.query("SELECT window_start, used, held FROM balances")
        assert found == [(DAY, 0, 0)]


@pytest.mark.fault("d10-lowered")
async def test_a_limit_that_was_lowered_below_what_is_used_refuses_and_takes_nothing_back(store):
    async with store.open() as ledger:
        await ledger.reserve(hold("c1", claim(60, 100)))
        await ledger.commit(settlement("c1", charge(60)))
        await ledger.reserve(hold("c2", claim(30, 100)))
        lowered = claim(1, 50)
        assert await ledger.reserve(hold("c3", lowered)) == Spent(lowered, 60, 30)
        await ledger.commit(settlement("c2", charge(20)))
        assert await ledger.reserve(hold("c4", lowered)) == Spent(lowered, 80, 0)
        assert isinstance(await ledger.reserve(hold("c5", claim(20, 100))), Granted)
        await ledger.release(settlement("c5"))
    assert store.balance() == (80, 0)


@pytest.mark.fault("d8-clock")
async def test_a_clock_set_back_finds_the_old_window_as_it_was_left(store):
    async with store.open() as ledger:
        await ledger.reserve(hold("c1", claim(90, 100)))
        await ledger.commit(settlement("c1", charge(90)))
        assert isinstance(await ledger.reserve(hold("c2", claim(90, 100, window=DAY + 86_400))), Granted)
        refused = claim(20, 100)
        assert await ledger.reserve(hold("c3", refused)) == Spent(refused, 90, 0)


async def test_64_callers_never_overshoot_and_use_the_limit_up(store):
    """L1: whatever their interleaving, used + held stays beneath the ceiling, and 95 % of it is usable."""
    ceiling, need, seen = 10_000, 70, []

    async with store.open() as ledger:

        async def caller(name):
            for turn in range(40):
                call_id = f"{name}-{turn}"
                answer = await ledger.reserve(hold(call_id, claim(need, ceiling)))
                if isinstance(answer, Spent):
                    seen.append(answer.used + answer.held)
                    return
                seen.extend(balance.used + balance.held for balance in answer.balances)
                await ledger.commit(settlement(call_id, charge(need)))

        await asyncio.gather(*(caller(name) for name in range(64)))
        used, held = store.balance()
    assert held == 0
    assert 0.95 * ceiling <= used <= ceiling
    assert max(seen) <= ceiling


async def test_a_cancelled_settlement_is_settled_all_the_same(store):
    async with store.open() as ledger:
        await ledger.reserve(hold("c1", claim(10)))
        settling = asyncio.ensure_future(ledger.commit(settlement("c1", charge(8))))
        await asyncio.sleep(0)  # it is awaited
        settling.cancel()
    assert store.kinds("c1") == ["reserve", "commit"]


async def test_a_settlement_that_nobody_waits_for_is_written_though_nothing_follows(store):
    async with store.open() as ledger:
        await ledger.reserve(hold("c1", claim(10)))
        ledger.commit(settlement("c1", charge(8)))
        await until(lambda: store.balance() == (8, 0))


async def test_a_kill_before_a_settlement_is_written_settles_its_call_as_crashed(store):
    """What the few milliseconds cost that a settlement may lie in the queue: its numbers, never its call."""
    async with store.open(Pace(gather_s=3600.0)) as ledger:
        await ledger.reserve(hold("c1", claim(10)))
        ledger.commit(settlement("c1", charge(8)))
        ledger._writer._queue.clear()  # as a kill does
    async with store.open():
        assert store.balance() == (4, 0), "its prompt"
    assert store.kinds("c1") == ["reserve", "expire"]


@pytest.mark.fault("c11-reserve")
async def test_a_reservation_whose_awaiter_left_can_be_released_behind_it(store):
    async with store.open() as ledger, asyncio.TaskGroup() as group:
        asking = group.create_task(ledger.reserve(hold("c1", claim(10))))
        await asyncio.sleep(0)  # it is queued before it first waits
        asking.cancel()
        await ledger.release(settlement("c1", charge(0), result="caller_gone"))
        assert store.balance() == (0, 0)
    assert store.kinds("c1") == ["reserve", "release"]


async def test_leaving_writes_what_is_queued(store):
    async with store.open() as ledger:
        await ledger.reserve(hold("c1", claim(10)))
        ledger.commit(settlement("c1", charge(8)))
    assert store.balance() == (8, 0)


async def test_the_settling_row_says_what_happened_and_holds_the_attempts(store):
    usage = Usage(30, 50, cached=10, cache_write=5, reasoning=20, source=Source.OBSERVED)
    async with store.open() as ledger:
        await ledger.reserve(hold("c1", claim(10)))
        await ledger.commit(settlement("c1", charge(8), usage=usage))
    who = "tenant, key_id, user_pseudonym, model"
    what = "result, status, upstream, source, nano_usd, first_ms, total_ms"
    (row,) = store.query(f"SELECT {who}, {what} FROM rows WHERE kind = 'commit'")
    assert row == ("acme", "key_1", "pseudonym", "gpt-4o", "ok", 200, "vllm", "observed", 7, 20, 40)
    tokens = "input_tokens, output_tokens, cached_tokens, cache_write_tokens, reasoning_tokens"
    assert store.query(f"SELECT {tokens} FROM rows WHERE kind = 'commit'") == [(30, 50, 10, 5, 20)]
    ((first, second),) = store.query(
        "SELECT attempts -> 0 ->> 'result', attempts -> 1 -> 'usage' ->> 'output' "
        "FROM rows WHERE kind = 'commit'"
    )
    assert (first, int(second)) == ("overload", 50)


async def test_what_an_attempt_has_to_say_is_cut_where_it_would_fill_the_ledger(store):
    passed = (Passed("openai", "gpt-4o", "p" * 1000),)
    told = replace(attempt("vllm", "ok", 200), detail="d" * 1000, passed=passed)
    async with store.open() as ledger:
        await ledger.reserve(hold("c1", claim(10)))
        await ledger.commit(settlement("c1", charge(8), attempts=(told,)))
    [row] = store.query(
        "SELECT attempts -> 0 ->> 'detail', attempts -> 0 -> 'passed' -> 0 ->> 'why' "
        "FROM rows WHERE kind = 'commit'"
    )
    assert tuple(row) == ("d" * 200, "p" * 200)


async def test_a_reservation_s_row_says_what_was_said_of_consent(store):
    async with store.open() as ledger:
        for number, consent in enumerate((True, False, None)):
            await ledger.reserve(replace(hold(f"c{number}"), consent=consent))
            await ledger.commit(settlement(f"c{number}"))
    found = store.query("SELECT kind, consent FROM rows ORDER BY seq")
    assert found[::2] == [("reserve", "given"), ("reserve", "withheld"), ("reserve", None)]
    assert found[1::2] == [("commit", None)] * 3


async def test_what_a_dead_process_left_open_is_charged_its_prompt_and_flagged(store):
    async with store.open() as ledger:
        claims = (
            claim(10),
            claim(1, scope="requests", unit=Unit.REQUESTS),
            claim(1001, 9999, scope=USD, unit=Unit.NANO_USD),
        )
        await ledger.reserve(hold("c1", *claims, input_tokens=4, output_tokens=6, nano_usd=1001))
    async with store.open() as ledger:
        assert store.balance() == (4, 0)
        assert store.balance("requests") == (1, 0)
        assert store.balance(USD) == (401, 0)
        # The dead process's own settlement, were it to come, changes nothing.
        await ledger.commit(settlement("c1", charge(8)))
        assert store.balance() == (4, 0)
    names = "result, source, input_tokens, output_tokens, nano_usd, upstream, upstream_model"
    assert store.query(f"SELECT {names} FROM rows WHERE kind = 'expire'") == [
        ("crash_settled", "estimated", 4, 0, 401, None, None)
    ], "nobody saw who answered"
    assert store.kinds("c1") == ["reserve", "expire"]


async def test_calls_at_once_are_given_back_however_they_end_and_by_a_crash(store):
    at_once = claim(1, 2, scope="tenant=acme/streams", unit=Unit.STREAMS, window=0)
    async with store.open() as ledger:
        for number in range(2):
            assert isinstance(await ledger.reserve(hold(f"c{number}", at_once)), Granted)
        assert await ledger.reserve(hold("c2", at_once)) == Spent(at_once, 0, 2)
        await ledger.commit(settlement("c0", charge(0, scope="tenant=acme/streams", window=0)))
        assert isinstance(await ledger.reserve(hold("c3", at_once)), Granted)
        await ledger.release(settlement("c1"))
        assert store.balance("tenant=acme/streams") == (0, 1)
    async with store.open() as ledger:  # the process that ran c3 is gone
        assert store.balance("tenant=acme/streams") == (0, 0)
        assert isinstance(await ledger.reserve(hold("c4", at_once)), Granted)
        await ledger.release(settlement("c4"))
    assert store.alerts == []


async def test_a_shadow_holds_and_counts_beyond_its_ceiling_and_is_told_once(store):
    asked = shadow(60, 100, marks=(75,))
    scope = asked.scope
    async with store.open() as ledger:
        for number in range(3):
            granted = await ledger.reserve(hold(f"c{number}", asked))
            assert granted == Granted((Balance(asked, 0, 60 * (number + 1)),))
            assert granted.balances[0].over is (number > 0)
        for number in range(3):
            await ledger.commit(settlement(f"c{number}", charge(55, scope=scope)))
        assert store.balance(scope) == (165, 0)
        assert isinstance(await ledger.reserve(hold("c9", claim(10), asked)), Granted)
        await ledger.release(settlement("c9"))
    assert [(alert.mark, alert.shadow) for alert in store.alerts] == [(75, True), (100, True)]


async def test_a_shadow_larger_than_its_ceiling_is_granted_too(store):
    async with store.open() as ledger:
        asked = shadow(500, 100)
        assert await ledger.reserve(hold("c1", asked)) == Granted((Balance(asked, 0, 500),))
        await ledger.release(settlement("c1"))
