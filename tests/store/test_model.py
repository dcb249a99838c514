"""Q5: the ledger against a dictionary. Whatever is asked in whatever order, both answer the same."""

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from proxy.holds import Balance, Granted, Spent
from proxy.store.fault import Misuse
from tests.store.making import charge, claim, hold, settlement
from tests.store.stores import PostgresStore, SqliteStore

CEILING = 100
CALLS = st.sampled_from([f"c{number}" for number in range(12)])
SCOPES = st.sampled_from(["tenant", "key", "upstream"])
AMOUNTS = st.integers(0, 60)
CLAIMS = st.dictionaries(SCOPES, AMOUNTS, max_size=3)
INPUT = 5
BALANCES = "SELECT scope, used, held FROM balances"


class LedgerMachine(RuleBasedStateMachine):
    """`used` by scope, `open` claims by call, and the calls ever reserved: that is all a ledger is."""

    def __init__(self, store=None):
        super().__init__()
        self.used = dict.fromkeys(("tenant", "key", "upstream"), 0)
        self.open = {}
        self.known = set()
        self.folder = tempfile.TemporaryDirectory(prefix="ledger-")
        self.store = store or SqliteStore(Path(self.folder.name))
        self.runner = asyncio.Runner()
        self.start()

    def start(self):
        self.asked = False
        self.context = self.store.open()
        self.ledger = self.runner.run(self.context.__aenter__())

    def stop(self):
        self.runner.run(self.context.__aexit__(None, None, None))

    def held(self, scope):
        return sum(amount for claims in self.open.values() for each, amount in claims if each == scope)

    def expected(self, claims):
        for scope, amount in claims.items():
            if self.used[scope] + self.held(scope) + amount > CEILING:
                return Spent(claim(amount, CEILING, scope=scope), self.used[scope], self.held(scope))
        return Granted(
            tuple(
                Balance(claim(amount, CEILING, scope=scope), self.used[scope], self.held(scope) + amount)
                for scope, amount in claims.items()
            )
        )

    def ask(self, asked, claims, call_id, allowed):
        self.asked = True

        async def answer():
            try:
                return await asked
            except Misuse:
                return Misuse

        expected = self.expected(claims)
        got = self.runner.run(answer())
        if isinstance(expected, Granted) and not allowed:
            assert got is Misuse
        elif not allowed:
            assert got in (Misuse, expected)
        else:
            assert got == expected
        if isinstance(expected, Granted) and allowed:
            self.known.add(call_id)
            self.open.setdefault(call_id, []).extend(claims.items())

    @rule(call_id=CALLS, claims=CLAIMS)
    def reserve(self, call_id, claims):
        made = [claim(amount, CEILING, scope=scope) for scope, amount in claims.items()]
        asked = self.ledger.reserve(hold(call_id, *made, input_tokens=INPUT))
        self.ask(asked, claims, call_id, call_id not in self.known)

    @rule(call_id=CALLS, claims=CLAIMS)
    def move(self, call_id, claims):
        made = tuple(claim(amount, CEILING, scope=scope) for scope, amount in claims.items())
        self.ask(self.ledger.move(call_id, made), claims, call_id, call_id in self.open)

    @rule(call_id=CALLS, charges=CLAIMS, kind=st.sampled_from(["commit", "release"]))
    def settle(self, call_id, charges, kind):
        made = [charge(amount, scope=scope) for scope, amount in charges.items()]
        self.asked = True

        async def settled():
            await getattr(self.ledger, kind)(settlement(call_id, *made))

        self.runner.run(settled())
        for scope in {scope for scope, _ in self.open.pop(call_id, ())}:
            self.used[scope] += charges.get(scope, 0)

    @precondition(lambda self: self.asked)
    @rule()
    def restart(self):
        self.stop()
        for claims in self.open.values():
            for scope in {scope for scope, _ in claims}:
                total = sum(amount for each, amount in claims if each == scope)
                self.used[scope] += min(total, INPUT)
        self.open.clear()
        self.start()

    @invariant()
    def balances_agree(self):
        found = {scope: (used, held) for scope, used, held in self.store.query(BALANCES)}
        for scope in self.used:
            assert found.get(scope, (0, 0)) == (self.used[scope], self.held(scope))

    def teardown(self):
        self.stop()
        self.runner.close()
        assert self.store.faults() == ()
        self.folder.cleanup()


def lives(examples, steps):
    return settings(max_examples=examples, stateful_step_count=steps, deadline=None, derandomize=True)


@pytest.mark.timeout(180)
def test_the_ledger_equals_a_dictionary_over_200_lives():
    run_state_machine_as_test(LedgerMachine, settings=lives(200, 40))


@pytest.mark.long
@pytest.mark.timeout(4 * 3600)
def test_the_ledger_equals_a_dictionary_over_5000_long_lives():
    run_state_machine_as_test(LedgerMachine, settings=lives(5_000, 100))


def test_postgres_equals_a_dictionary_too(postgres):
    run_state_machine_as_test(
        lambda: LedgerMachine(PostgresStore(postgres.database())), settings=lives(20, 25)
    )


@pytest.mark.long
@pytest.mark.timeout(4 * 3600)
def test_postgres_equals_a_dictionary_over_500_long_lives(postgres):
    run_state_machine_as_test(
        lambda: LedgerMachine(PostgresStore(postgres.database())), settings=lives(500, 100)
    )
