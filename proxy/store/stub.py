"""The stub: what is left of rows that retention took away, so that those after them can still be proved.

It tells where the chain goes on (the last removed row and its hash), the Merkle root over the removed
segments, and a digest of `past`: what the removed rows came to. `retention.py` writes it; whoever reads
rows begins where it ends. It is signed like a head, and a `prune` row in the chain holds the same facts,
so that neither the key nor the chain alone can move it. There is one, or none; `past` is believed only
beneath it, for nothing else covers what stands there.
"""

from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Any

import orjson
from msgspec import Struct

from proxy.store.chain import SEGMENT_ROWS, Link, Tree, canonical
from proxy.store.reader import Reader, only
from proxy.store.seal import PublicKey

SIGNED = b"\x03"
"""Begins what is signed, so that no stub can pass for a head, a row or a node."""

DAY_US = 86_400_000_000
WINDOW_S = 32 * 86_400
"""No limit's window is longer. A counter whose window began earlier than this before the moment that rows
were pruned by is over, and need not be kept."""

STUB = "SELECT size, hash, root, before_us, at_us, digest, key_id, signature FROM stub WHERE id = 1"
PAST = "SELECT what FROM past WHERE EXISTS (SELECT 1 FROM stub WHERE id = 1) ORDER BY line"

ROOTS = "SELECT number, root FROM segments WHERE number BETWEEN 1 AND ? ORDER BY number"

TOLD = """
SELECT entries FROM rows
WHERE seq = (SELECT max(+seq) FROM rows WHERE kind IN ('erase', 'reset', 'prune') AND kind = 'prune')
"""
"""What the last `prune` row says. In these words, so that the index of acts of people is gone
through, and not all rows from the last on."""

BEGIN = "(SELECT coalesce(max(size), 0) FROM stub WHERE id = 1)"
"""In SQL: the last row that is gone."""


class Stub(Struct, frozen=True):
    """What stands for the rows from the first to `size`."""

    size: int
    hash: bytes
    root: bytes
    before_us: int
    """All of them were older."""
    at_us: int
    digest: bytes
    """Over the lines of `past`."""
    key_id: str | None
    signature: str | None = None

    @property
    def link(self) -> Link:
        """Where the chain goes on."""
        return Link(self.size, self.hash)

    @property
    def over_s(self) -> int:
        """A counter whose window began before this need not have a balance any more."""
        return self.before_us // 1_000_000 - WINDOW_S

    def entries(self) -> str:
        """The facts, as the `prune` row has them."""
        facts = [self.size, self.hash.hex(), self.root.hex(), self.before_us, self.digest.hex()]
        return orjson.dumps([facts]).decode()

    def signed_bytes(self) -> bytes:
        facts = (self.size, self.hash.hex(), self.root.hex(), self.before_us, self.at_us, self.digest.hex())
        return SIGNED + canonical((*facts, self.key_id))

    def signed_by(self, public_key: PublicKey) -> bool:
        return public_key.signed(self.signed_bytes(), self.signature)


def read_stub(reader: Reader) -> Stub | None:
    """None: every row from the first is here."""
    found = next(iter(reader.select(STUB)), None)
    return None if found is None else Stub(*found)


def read_past(reader: Reader) -> Iterator[list[Any]]:
    """What the removed rows came to: a word for its kind, and its values. Nothing where none was removed."""
    for (text,) in reader.select(PAST):
        yield orjson.loads(text)


def read_roots(reader: Reader, count: int) -> list[bytes] | None:
    """The roots of the first segments, so many; None: not all of them are here."""
    found = list(reader.select(ROOTS, count))
    if [number for number, _ in found] != list(range(1, count + 1)):
        return None
    return [root for _, root in found]


def unproved(reader: Reader, stub: Stub | None) -> str | None:
    """What is wrong with a stub by the rows and roots that are left, all of one moment; None: it is theirs.

    Quick, however much is in the ledger, so that it can be asked before anything is built upon the stub: not
    looked at are `past`, which may be long, the signature, which takes the key, and the hashes of rows.
    """
    if (stub and stub.entries()) != only(reader.select(TOLD)):
        return "the stub is not what the last prune row says of it"
    if stub is not None:
        roots = read_roots(reader, stub.size // SEGMENT_ROWS)
        if stub.size % SEGMENT_ROWS or roots is None or Tree(roots).root != stub.root:
            return "the roots of the pruned segments are not those that the stub stands for"
    return None


def past_digest(lines: Iterable[str]) -> bytes:
    whole = sha256()
    for line in lines:
        whole.update(line.encode() + b"\n")
    return whole.digest()


def digest_kept(reader: Reader) -> bytes:
    """The digest of `past` as it is kept."""
    return past_digest(what for (what,) in reader.select(PAST))
