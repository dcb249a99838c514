"""An act that is asked for over PostgreSQL is left to the replicas that serve, however many there are."""

import asyncio

from proxy.cli import asking
from proxy.cli.clock import ProcessClock
from proxy.duties.acts import answer_letters, heed_letters
from proxy.ports import Act, Letter
from proxy.store import open_keys
from tests.store.making import StillClock
from tests.store.replicas import ALICE, Ledger, Replica, query


async def at_once(_seconds):
    await asyncio.sleep(0)


async def serve(replica):
    keys, clock = replica.keys, replica.clock
    await asyncio.gather(
        heed_letters(keys.mailbox, replica.office, at_once),
        answer_letters(keys.mailbox, replica.office, clock, at_once),
    )


async def ask(database, post, kind):
    clock = ProcessClock()
    return await asking._ask(database, Act(f"{kind}_1", clock.wall_us(), "os:me"), post, clock)


async def test_an_act_is_carried_out_by_one_of_the_replicas_and_answered_to_whoever_asked(database):
    clock, steward = StillClock(), Ledger()
    async with open_keys(database, clock=clock) as one, open_keys(database, clock=clock) as two:
        served = [Replica(keys, clock, steward) for keys in (one, two)]
        for replica in served:
            await replica.heed()
        replicas = [asyncio.create_task(serve(replica)) for replica in served]
        alice = await one.pseudonym("acme", ALICE)
        assert await two.pseudonym("acme", ALICE) == alice

        async def prune(keys, act):
            await keys.mailbox.post(Letter(act, "prune", {"before_us": 5}))
            return True

        assert await ask(database, prune, "prune") == {"rows": 7}
        erasing = lambda keys, act: keys.mailbox.post_erasure(act, "acme", ALICE)  # noqa: E731
        assert await ask(database, erasing, "erase") == {}
        assert steward.told == [("prune_1", 5), ("erase_1", "acme")]
        again = await one.pseudonym("acme", ALICE)
        assert again == await two.pseudonym("acme", ALICE) != alice
        assert await query(database, "SELECT id FROM letters UNION ALL SELECT letter FROM marks") == []
        for replica in replicas:
            replica.cancel()
        await asyncio.gather(*replicas, return_exceptions=True)
    assert await query(database, "SELECT id FROM readers") == []
