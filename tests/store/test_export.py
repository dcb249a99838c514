"""Exports: all of one person's rows and nobody else's, provable without the ledger and without our code."""

import asyncio
import json
import random
from contextlib import closing

import pytest
from msgspec.structs import asdict, replace

from proxy.store import StoreRefused, heads, open_keys
from proxy.store.chain import SEGMENT_ROWS, Tree, node
from proxy.store.export import Export, Wanted
from proxy.store.keys import find_pseudonym, read_public_key
from proxy.store.reader import open_reader
from proxy.store.seal import Seal
from tests.kit.second import address, second_verifier
from tests.store import attacker
from tests.store.making import ACME, StillClock, act, charge, claim, hold, settlement
from tests.store.stores import PostgresStore, SqliteStore

SECOND = second_verifier("verify_export")
CALLS = 1300
"""Two whole segments, and the beginning of a third that no head covers."""


async def filled(store):
    """Calls of forty persons of two tenants in turn."""
    async with open_keys(store.place, clock=StillClock()) as keys, store.open(seal=keys.seal) as ledger:
        who = [
            replace(ACME, tenant=tenant, user=await keys.pseudonym(tenant, f"person-{number}"))
            for number in range(20)
            for tenant in ("acme", "globex")
        ]
        for number in range(CALLS):
            call_id = f"c{number}"
            asked = hold(call_id, claim(10, 10**6))
            await ledger.reserve(replace(asked, identity=who[number % len(who)]))
            await ledger.commit(settlement(call_id, charge(8)))
        await ledger.erased(act("erase_1"), "acme")


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def store(request, tmp_path_factory):
    if request.param == "sqlite":
        made = SqliteStore(tmp_path_factory.mktemp("export"))
    else:
        made = PostgresStore(request.getfixturevalue("postgres").database())
    asyncio.run(filled(made))
    return made


@pytest.fixture(scope="module")
def alice(store):
    return find_pseudonym(store.place, "acme", "person-7")


@pytest.fixture(scope="module")
def key(store):
    """All that who checks an export has of the house."""
    return read_public_key(store.place)


def lines(store, wanted):
    told = Export(store.place, wanted, read_public_key(store.place))
    return [*told.rows(), json.dumps({"manifest": told.manifest()}).encode() + b"\n"]


@pytest.fixture
def exported(store, alice, tmp_path):
    """Writes an export of one person, changed or not, and has the second reader judge it."""

    def judged(change=None, **against):
        *rows, last = map(json.loads, lines(store, Wanted("acme", alice)))
        if change is not None:
            change(rows, last["manifest"])
        path = tmp_path / "export.jsonl"
        encoded = [json.dumps(row, separators=(",", ":")).encode() + b"\n" for row in rows]
        path.write_bytes(b"".join(encoded) + json.dumps(last).encode() + b"\n")
        return SECOND.verify(path, **against)

    return judged


def newest_head(store):
    """As it was kept elsewhere."""
    with closing(open_reader(store.place)) as reader:
        return asdict(reader.newest_head())


def test_a_person_s_export_has_all_of_theirs_and_nothing_of_anybody_else(store, alice):
    *rows, last = map(json.loads, lines(store, Wanted("acme", alice)))
    wanted = store.query("SELECT seq FROM rows WHERE user_pseudonym = ? ORDER BY seq", alice)
    assert [row["seq"] for row in rows] == [seq for (seq,) in wanted]
    assert {(row["tenant"], row["user_pseudonym"]) for row in rows} == {("acme", alice)}
    others = store.query("SELECT DISTINCT user_pseudonym FROM rows WHERE user_pseudonym <> ?", alice)
    text = b"".join(lines(store, Wanted("acme", alice))).decode()
    assert len(others) == 39
    assert not any(other in text for (other,) in others)
    manifest = last["manifest"]
    assert manifest["rows"] == len(rows)
    assert manifest["proved_rows"] == sum(row["seq"] <= 2 * SEGMENT_ROWS for row in rows) > 0
    assert manifest["head"]["size"] == manifest["ledger"]["rows"] == 2 * CALLS + 1


def test_the_same_ledger_gives_the_same_bytes(store, alice):
    assert lines(store, Wanted("acme", alice)) == lines(store, Wanted("acme", alice))


def test_a_tenant_s_export_has_all_persons_and_acts_of_that_tenant(store):
    *rows, _ = map(json.loads, lines(store, Wanted("acme")))
    assert len(rows) == CALLS + 1
    assert {row["tenant"] for row in rows} == {"acme"}
    assert rows[-1]["kind"] == "erase"


def test_an_untouched_export_holds_against_head_key_and_ledger(store, exported, key):
    head = newest_head(store)
    assert exported(kept=head, key=key.raw, ledger=address(store.place)) == []


def cheaper(rows, manifest):
    rows[1]["nano_usd"] = 0


def left_out(rows, manifest):
    del rows[3]


def left_out_and_counted(rows, manifest):
    seq = rows.pop(3)
    manifest["rows"] -= 1
    manifest["kinds"][seq["kind"]] -= 1
    manifest["proved_rows"] -= 1


def path_bent(rows, manifest):
    rows[0]["path"][5] = "00" * 32


def path_cut(rows, manifest):
    rows[0]["path"].pop()


def path_left_out(rows, manifest):
    rows[0]["path"] = None


def root_changed(rows, manifest):
    manifest["head"]["root"] = "00" * 32


def another_head(rows, manifest):
    manifest["head"]["at_us"] += 1


def somebody_else(rows, manifest):
    manifest["user_pseudonym"] = "0" * 40


CHANGES = (cheaper, left_out, left_out_and_counted, path_bent, path_cut, path_left_out, root_changed)


@pytest.mark.parametrize(
    "change", [*CHANGES, another_head, somebody_else], ids=lambda change: change.__name__
)
def test_a_changed_export_is_seen(store, exported, key, change):
    head = newest_head(store)

    def changed(rows, manifest):
        change(rows, manifest)
        body = b"".join(json.dumps(row, separators=(",", ":")).encode() + b"\n" for row in rows)
        manifest["sha256"] = SECOND.hashlib.sha256(body).hexdigest()

    assert exported(changed, kept=head, key=key.raw, ledger=address(store.place)) != []


def flipped_signature(head):
    head["signature"] = f"{int(head['signature'], 16) ^ 1:0128x}"


def without_signature(head):
    head["signature"] = None


def later_head(head):
    head["at_us"] += 1


def test_an_export_is_verified_with_the_public_key_alone(exported, key):
    assert exported(key=key.raw) == []


@pytest.mark.parametrize(
    "change", [flipped_signature, without_signature, later_head], ids=lambda change: change.__name__
)
def test_a_head_that_the_key_did_not_sign_proves_no_export(exported, key, change):
    def changed(rows, manifest):
        change(manifest["head"])

    assert exported(changed, key=key.raw) == ["manifest: its head is not signed by this key"]


def test_a_forger_s_own_key_in_the_manifest_proves_nothing(exported, key):
    other = Seal(b"o" * 32)

    def forged(rows, manifest):
        head = heads.Head(**manifest["head"] | {"key_id": other.public_key.key_id})
        manifest["head"] |= {"key_id": head.key_id, "signature": other.sign(head.signed_bytes())}
        manifest["signed_by"] |= {"key_id": head.key_id, "public_key": other.public_key.hex}

    assert exported(forged, key=other.public_key.raw) == [], "in itself it holds"
    assert exported(forged, key=key.raw) == [
        "manifest: its head is not signed by this key",
        "manifest: it names another key than the one given",
    ]


def test_the_manifest_names_the_key_and_says_what_that_is_worth(store, key):
    manifest = json.loads(lines(store, Wanted("acme"))[-1])["manifest"]
    told = manifest["signed_by"]
    assert (told["key_id"], told["public_key"]) == (manifest["head"]["key_id"], key.hex)
    assert "proves nothing by itself" in told["note"]
    bare = Export(store.place, Wanted("acme"), None).manifest()
    assert bare["signed_by"] is None, "nobody here could tell whose signature it is"


@pytest.mark.parametrize(
    "change", [("UPDATE rows SET nano_usd = 0",), ("UPDATE segments SET root = ?", bytes(32))]
)
def test_a_ledger_that_was_changed_is_not_exported_as_if_nothing_were(
    request, store, alice, tmp_path, change
):
    if isinstance(store, PostgresStore):
        copy = store.copied(request.getfixturevalue("postgres"))
    else:
        copy = store.copied(tmp_path)
    with attacker.breaking_in(copy.place) as connection:
        connection.execute(change[0], change[1:])
    with pytest.raises(StoreRefused, match="run `fallthrough ledger verify`"):
        list(Export(copy.place, Wanted("acme", alice), None).rows())


@pytest.mark.parametrize("count", [*range(1, 20), 64, 100])
def test_every_leaf_of_a_tree_of_any_size_leads_to_its_root(count):
    dice = random.Random(count)
    leaves = [dice.randbytes(32) for _ in range(count)]

    def root(hashes):
        if len(hashes) == 1:
            return hashes[0]
        half = 1 << (len(hashes) - 1).bit_length() - 1
        return node(root(hashes[:half]), root(hashes[half:]))

    tree = Tree(leaves)
    assert tree.root == root(leaves)
    for index, leaf in enumerate(leaves):
        path = tree.path(index)
        assert SECOND.climb(leaf, index, count, path) == tree.root
        assert SECOND.climb(leaf, index, count, [*path, bytes(32)]) != tree.root
