"""Processes that serve one PostgreSQL database together, played in one."""

from proxy.duties.acts import Office
from proxy.store.postgres.database import KEYS, connect

ALICE, BOB = "alice-4711@example.org", "bob-0815@example.org"

SUBJECTS = "SELECT digest, key FROM subjects"


class Ledger:
    """A steward that counts, and says who of the replicas still remembers when it is told."""

    def __init__(self):
        self.told = []

    async def erased(self, act, tenant):
        self.told.append((act.id, tenant))

    async def reset(self, act, scope):
        self.told.append((act.id, scope))
        return ()

    async def prune(self, act, before_us):
        self.told.append((act.id, before_us))
        return 7


class Memory:
    """Something that remembers persons beside the keys."""

    def __init__(self):
        self.forgotten = []

    def forget(self, tenant, user):
        self.forgotten.append((tenant, user))

    def forget_all(self):
        self.forgotten.append("all")


class Replica:
    """A process that serves: its keys, its memory, and the steward that all share."""

    def __init__(self, keys, clock, steward):
        self.keys, self.clock, self.memory = keys, clock, Memory()
        self.mailbox = keys.mailbox
        self.office = Office(steward, keys, (self.memory,))

    async def heed(self):
        await self.mailbox.heed(self.office)

    async def answer(self):
        for letter in await self.mailbox.unanswered():
            await self.mailbox.settle(letter, self.office.carry_out)


async def query(database, sql, *values):
    connection = await connect(database, KEYS)
    try:
        return [tuple(row) for row in await connection.fetch(sql, *values)]
    finally:
        await connection.close()


async def silent(database):
    """All readers were last heard of a minute ago."""
    await query(database, "UPDATE readers SET seen_at = seen_at - interval '1 minute'")
