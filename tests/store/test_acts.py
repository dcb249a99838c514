"""What every ledger promises of people's acts: one row each, by name of who did it, and whole afterwards."""

from tests.store.making import act

WHO = "kind, call_id, tenant, key_id, user_pseudonym, entries"


async def test_an_erasure_is_one_row_that_names_no_person_however_often_it_is_told(store):
    async with store.open() as ledger:
        await ledger.erased(act("erase_1"), "acme")
        await ledger.erased(act("erase_1"), "acme")
    async with store.open() as ledger:
        await ledger.erased(act("erase_1"), "acme")
    assert store.query(f"SELECT {WHO} FROM rows") == [("erase", "erase_1", "acme", "os:operator", None, "[]")]
