"""Letters are answered in order, memory lets go before the ledger is told, and nothing is lost by a fall."""

import asyncio

import pytest

from proxy.call import Identity, Memory
from proxy.duties.acts import KEPT_US, Office, answer_letters, heed_letters
from proxy.ports import Act, Declined, Letter, Origin
from proxy.store.recall import MemoryRecall
from tests.duties.test_supervisor import Clock

ORIGIN = Origin("openai", "m")


class Box:
    """Letters in memory."""

    def __init__(self, *letters):
        self.open = list(letters)
        self.answers = {}
        self.cleared = []

    async def unanswered(self):
        return tuple(self.open)

    async def settle(self, letter, carry_out):
        self.answers[letter.act.id] = await carry_out(letter)
        self.open.remove(letter)

    async def clear(self, before_us):
        self.cleared.append(before_us)
        if not self.open:
            raise asyncio.CancelledError


class Witness:
    """The ledger and the keys: notes what happened, and what memory held just then."""

    def __init__(self, recall):
        self.told = []
        self.recall = recall

    def forget(self, pseudonym):
        self.told.append(("forget", pseudonym))

    async def erased(self, act, tenant):
        kept = self.recall.find(Identity("acme", "k"), ORIGIN, ["call_1"])
        self.told.append(("erased", act.id, tenant, dict(kept)))

    async def reset(self, act, scope):
        raise Declined(f"no such counter: {scope}")

    async def prune(self, act, before_us):
        return before_us


def letter(kind="erase", name="erase_1", **detail):
    return Letter(Act(name, 7, "os:me"), kind, detail)


async def play(*letters):
    clock = Clock()
    recall = MemoryRecall(clock)
    recall.keep(Identity("acme", "k", user="p1"), ORIGIN, Memory(("call_1",), b"state"))
    witness, box = Witness(recall), Box(*letters)
    with pytest.raises(asyncio.CancelledError):
        await answer_letters(box, Office(witness, witness, (recall,)), clock, clock.sleep)
    return witness.told, box


async def test_memory_has_let_go_when_the_ledger_is_told():
    told, box = await play(letter(tenant="acme", pseudonym="p1"))
    assert told == [("forget", "p1"), ("erased", "erase_1", "acme", {})]
    assert box.answers == {"erase_1": {}}
    assert box.cleared == [-KEPT_US]


async def test_an_erasure_whose_answer_alone_was_lost_is_answered_and_not_done_again():
    told, box = await play(letter())
    assert told == []
    assert box.answers == {"erase_1": {}}


async def test_an_act_that_is_declined_is_answered_with_the_problem():
    _, box = await play(letter("reset", "reset_1", scope="nobody's"), letter("prune", "prune_1", before_us=5))
    assert box.answers == {"reset_1": {"problem": "no such counter: nobody's"}, "prune_1": {"rows": 5}}


async def test_what_is_not_known_is_answered_with_the_problem():
    _, box = await play(letter("bless", "bless_1"))
    assert "does not know what `bless` is" in box.answers["bless_1"]["problem"]


async def test_word_of_an_erasure_reaches_all_memory_and_not_the_ledger():
    clock, recall = Clock(), MemoryRecall(Clock())
    for user in ("p1", "p2"):
        recall.keep(Identity("acme", "k", user=user), ORIGIN, Memory(("call_1",), b"state"))
    witness = Witness(recall)
    office, kept = Office(witness, witness, (recall,)), []

    class Tidings(Box):
        """Word of one person, then of everybody, then no more."""

        async def heed(self, memories):
            found = [
                recall.find(Identity("acme", "k", user=user), ORIGIN, ["call_1"]) for user in ("p1", "p2")
            ]
            kept.append(tuple(map(bool, found)))
            if len(kept) == 1:
                memories.forget("acme", "p1")
            elif len(kept) == 2:
                memories.forget_all()
            else:
                raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await heed_letters(Tidings(), office, clock.sleep)
    assert kept == [(True, True), (False, True), (False, False)]
    assert witness.told == [("forget", "p1")]
