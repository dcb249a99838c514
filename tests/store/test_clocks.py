"""Q9: 2,000 clocks that jump. No window is doubled, none is lost, a call settles where it was reserved.

What `policy/` makes of a moment goes through the ledger's own tables (in memory, for nothing here is
about disks), against a dictionary that knows windows only as people do: by the date in their zone.
"""

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import count
from zoneinfo import ZoneInfo

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.call import Identity
from proxy.holds import Granted, Hold, Settlement
from proxy.policy import quota
from proxy.policy.estimate import Estimate
from proxy.policy.meters import Asker, Limits
from proxy.store.journal import Journal
from proxy.store.sqlite.database import migrations
from proxy.store.sqlite.tables import SqliteTables
from proxy.table import Every, Limit, Per, Table, Unit
from proxy.usage import Usage
from tests.store.making import settlement

SCRIPTS = 2_000
CEILING = 100
SECOND = 1_000_000
ZONES = ("UTC", "Europe/Paris", "America/New_York", "America/Havana", "Australia/Lord_Howe", "Pacific/Apia")
NEAR = (
    "2026-03-29T01:00",  # Paris: 23 hours
    "2026-10-25T01:00",  # Paris: 25 hours
    "2026-11-01T05:00",  # Havana: midnight twice
    "2026-11-01T06:00",  # New York
    "2026-04-04T15:00",  # Lord Howe, by half an hour
    "2011-12-30T10:00",  # Apia leaves a day out
    "2028-02-29T00:00",
    "2028-03-01T00:00",
    "2016-12-31T23:59:59",  # before a leap second
    "2026-12-31T23:59:59",
    "2026-11-30T00:00",
    "2038-01-19T03:14:07",
    "2100-03-01T00:00",
)
moments = st.builds(
    lambda text, off: int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * SECOND) + off,
    st.sampled_from(NEAR),
    st.integers(-3 * 3600 * SECOND, 3 * 3600 * SECOND) | st.sampled_from([-1, 0, 1]),
)
jumps = st.one_of(
    st.integers(0, 90 * SECOND),
    st.sampled_from([-1, 1]).flatmap(
        lambda way: st.sampled_from([1, 30, 1440, 1440 * 7, 1440 * 31]).map(lambda m: way * m * 60 * SECOND)
    ),
    st.integers(-(10**14), 10**14),
)
steps = st.lists(
    st.tuples(jumps, st.sampled_from(["reserve", "reserve", "settle", "crash"]), st.integers(1, 60)),
    min_size=4,
    max_size=14,
)
scripts = st.tuples(st.sampled_from(Every), st.sampled_from(ZONES), moments, steps)


def named(every, zone, wall_us):
    """The window as people name it."""
    at = datetime.fromtimestamp(wall_us // SECOND, UTC)
    there = at.astimezone(ZoneInfo(zone)).date()
    return {
        Every.MINUTE: at.replace(second=0),
        Every.HOUR: at.replace(minute=0, second=0),
        Every.DAY: there,
        Every.WEEK: there - timedelta(days=there.weekday()),
        Every.MONTH: there.replace(day=1),
    }[every]


class Ledger:
    """The tables of a ledger, kept in memory; each script has a tenant of its own."""

    def __init__(self):
        self.connection = apsw.Connection(":memory:")
        for _, script in migrations("ledger"):
            self.connection.execute(script)
        self.tenants, self.calls = count(), count()
        self.restart()

    def restart(self):
        self.connection.execute("UPDATE state SET epoch = epoch + 1")
        epoch = self.connection.execute("SELECT epoch FROM state").get
        self.journal = Journal(SqliteTables(self.connection, epoch))
        self.journal.tables.tail()

    def do(self, work):
        """One request, written."""
        answer = self.journal.attempt(work)
        self.journal.tables.flush()
        return answer

    def balances(self, tenant):
        sql = "SELECT used, held FROM balances WHERE scope LIKE ? ORDER BY window_start"
        return self.connection.execute(sql, (f"tenant={tenant}/%",)).fetchall()


@pytest.fixture(scope="module")
def ledger():
    return Ledger()


class Script:
    """One clock and one tenant with one limit, and what a dictionary makes of it."""

    def __init__(self, ledger, every, zone):
        self.ledger, self.every, self.zone = ledger, every, zone
        self.tenant = f"t{next(ledger.tenants)}"
        limit = Limit(Unit.TOKENS, CEILING, every, Per.TENANT, zone=None if zone == "UTC" else ZoneInfo(zone))
        self.asker = Asker(Identity(self.tenant, "k"), "m", "m")
        self.meters = Limits.of(Table({}, (), (limit,))).upon(self.asker.identity).callers
        self.used, self.held, self.open = Counter(), Counter(), []

    def reserve(self, now, amount):
        estimate = Estimate(amount // 2, amount - amount // 2)
        claims = quota.claims(self.meters, self.asker, estimate, 0, now)
        call_id, name = f"c{next(self.ledger.calls)}", named(self.every, self.zone, now)
        hold = Hold(call_id, now, self.asker.identity, "m", amount // 2, amount - amount // 2, 0, claims)
        granted = isinstance(self.ledger.do(lambda journal: journal.reserve(hold)), Granted)
        fits = self.used[name] + self.held[name] + amount <= CEILING
        assert granted == fits, "a window was lost" if fits else "a window was doubled"
        if fits:
            self.held[name] += amount
            self.open.append((call_id, claims, name, amount))

    def settle(self, now, amount):
        if not self.open:
            return
        call_id, claims, name, held = self.open.pop(amount % len(self.open))
        spent = min(amount, held)
        charged = quota.charges(claims, Usage(spent), 0, {"u": (Usage(spent), 0)})
        ended = settlement(call_id)
        settled = Settlement(ended.outcome, now, charged)
        self.ledger.do(lambda journal: journal.settle("commit", settled))
        self.held[name] -= held
        self.used[name] += spent

    def crash(self, now, _):
        self.ledger.restart()
        self.ledger.do(lambda journal: journal.expire(now))
        for _, _, name, held in self.open:
            self.held[name] -= held
            self.used[name] += held // 2  # the prompt
        self.open.clear()


@pytest.mark.fault("d8-clock")
@settings(
    max_examples=SCRIPTS,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(script=scripts)
def test_2000_clocks_neither_double_nor_lose_a_window(ledger, script):
    every, zone, now, moves = script
    played = Script(ledger, every, zone)
    for jump, what, amount in moves:
        now = max(0, now + jump)
        getattr(played, what)(now, amount)
    for call in tuple(played.open):
        played.settle(now, call[3])
    found = ledger.balances(played.tenant)
    expected = [(played.used[name], 0) for name in sorted(set(played.used) | set(played.held))]
    assert found == expected
    assert all(used <= CEILING for used, _ in found)
