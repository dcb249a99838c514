"""What the ledger holds of one person or one tenant, with the proof that it is what was written.

`fallthrough ledger export` calls it, beside a running proxy too. A row comes with its place in the
chain and, if a head covers its segment, with the path of hashes to that head's root (RFC 6962), so
that it can be checked without the ledger; `tools/verify_export.py` does that without our code. The
same ledger gives the same bytes. Nothing of any other row is told but hashes.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from hashlib import sha256
from typing import Any

import orjson
from msgspec import Struct
from msgspec.structs import asdict

from proxy.place import Place
from proxy.store.chain import COLUMNS, GENESIS, SEGMENT_ROWS, Link, Tree, leaf
from proxy.store.fault import StoreRefused
from proxy.store.heads import Head
from proxy.store.reader import Reader, at_once, open_reader
from proxy.store.seal import PublicKey
from proxy.store.stub import Stub, read_roots, read_stub, unproved

MEMBERS = "SELECT hash FROM rows WHERE seq > ? AND seq <= ? ORDER BY seq"

FORMAT = "fallthrough-export/1"

NOTE = (
    "This key came with the export, so it proves nothing by itself: whoever forged one would have named"
    " another. Check the head's signature with the key that was published elsewhere; this must be the same."
)

SLICE = f"""
SELECT {", ".join(COLUMNS)}, prev, hash FROM rows
WHERE seq > ?1 AND seq <= ?2 AND tenant = ?3 AND (user_pseudonym = ?4 OR ?4 IS NULL) ORDER BY seq
"""  # noqa: S608 - our own names

MEANINGS: Mapping[str, str] = {
    "seq": "number of the row in the whole ledger",
    "at_us": "when, in microseconds since 1970-01-01 UTC",
    "epoch": "which process of the proxy wrote it",
    "kind": "reserve: held before a call; commit, release, expire: how it ended; alert: a mark was crossed",
    "call_id": "the call, as its caller saw it in x-request-id",
    "tenant": "whose key called",
    "key_id": "which key called",
    "user_pseudonym": "stands for the end person; the id itself is not kept",
    "model": "what was asked for",
    "entries": "JSON list of [counter, window start, unit, amount] held or charged",
    "result": "ok, or what went wrong",
    "status": "HTTP status",
    "stream": "1 if streamed",
    "upstream": "who answered",
    "upstream_model": "the model that answered",
    "input_tokens": "of the prompt; in a reservation the most that it can be, as in the next",
    "output_tokens": "of the answer",
    "cached_tokens": "of the prompt, from the upstream's cache",
    "cache_write_tokens": "of the prompt, into that cache",
    "reasoning_tokens": "of the answer, not shown",
    "source": "who counted: reported by the upstream, observed by the proxy, or estimated",
    "nano_usd": "cost in billionths of a US dollar",
    "first_ms": "until the first content",
    "total_ms": "until the end",
    "attempts": "JSON list of every upstream that was tried, with who was passed over for it",
    "consent": "what the caller said of the end person's consent: given, withheld, or nothing",
    "session_pseudonym": "stands for the conversation; the id itself is not kept",
    "prev": "hash of the row before, whosever it is",
    "hash": "SHA-256 of prev and of every column above",
    "path": "hashes from this row's up to the root in the head; null: no head covers it yet",
}


class Wanted(Struct, frozen=True):
    """Whose rows."""

    tenant: str
    pseudonym: str | None = None
    """None: all of the tenant's."""


class Export:
    """One export under way: lines of rows, and after them the manifest."""

    def __init__(self, place: Place, wanted: Wanted, public_key: PublicKey | None) -> None:
        self._place = place
        self._wanted = wanted
        self._public_key = public_key
        self._head: Head | None = None
        self._digest = sha256()
        self._kinds: Counter[str] = Counter()
        self._seqs: list[int] = []
        self._proved = 0
        self._end = Link(0, b"")
        self._pruned = 0

    def rows(self) -> Iterator[bytes]:
        """Each row as a line of JSON. Raises `StoreRefused` where the ledger is not what it was."""
        with closing(open_reader(self._place)) as reader:
            self._head = _newest(reader, self._public_key)
            with at_once(reader):
                self._end, stub = _last(reader), read_stub(reader)
                self._hold_to_proof(reader, stub)
                proof = _Proof(reader, self._head)
            self._pruned = stub.size if stub else 0
            for start in range(self._pruned, self._end.seq, SEGMENT_ROWS):
                yield from self._segment(reader, proof, start)
            if read_stub(reader) != stub:
                raise StoreRefused(self._place, "rows were pruned while they were read", "export again")

    def manifest(self) -> dict[str, Any]:
        """What was told, and what proves it; complete once all rows were taken."""
        head = self._head
        return {
            "format": FORMAT,
            "tenant": self._wanted.tenant,
            "user_pseudonym": self._wanted.pseudonym,
            "rows": sum(self._kinds.values()),
            "first_seq": self._seqs[0] if self._seqs else None,
            "last_seq": self._seqs[-1] if self._seqs else None,
            "kinds": dict(sorted(self._kinds.items())),
            "proved_rows": self._proved,
            "sha256": self._digest.hexdigest(),
            "ledger": {"rows": self._end.seq, "pruned": self._pruned, "hash": self._end.hash.hex()},
            "tree_rows": _covered(head),
            "head": None if head is None else asdict(head),
            "signed_by": None if head is None else _signer(self._public_key),
            "columns": dict(MEANINGS),
        }

    def _hold_to_proof(self, reader: Reader, stub: Stub | None) -> None:
        """A stub made up would keep rows from whom they are of. Who signed it, `verify` asks: a lost key must
        not keep people from their rows.
        """
        wrong = unproved(reader, stub)
        if wrong:
            raise _not_whole(self._place, wrong)

    def _segment(self, reader: Reader, proof: "_Proof", start: int) -> Iterator[bytes]:
        bounds = (start, min(start + SEGMENT_ROWS, self._end.seq))
        whose = (self._wanted.tenant, self._wanted.pseudonym)
        for *values, prev, own in list(reader.select(SLICE, *bounds, *whose)):
            if own != leaf(prev, values):
                raise _not_whole(self._place, f"row {values[0]} is not what was written")
            way = proof.path(values[0])
            told = dict(zip(COLUMNS, values, strict=True)) | {"prev": prev.hex(), "hash": own.hex()}
            line = orjson.dumps(told | {"path": way}, option=orjson.OPT_APPEND_NEWLINE)
            self._note(values, line, proved=way is not None)
            yield line

    def _note(self, values: list[Any], line: bytes, *, proved: bool) -> None:
        self._digest.update(line)
        self._kinds[values[COLUMNS.index("kind")]] += 1
        self._seqs = [*self._seqs[:1], values[0]]
        self._proved += proved


class _Proof:
    """The Merkle tree beneath a head, one segment of it at a time."""

    def __init__(self, reader: Reader, head: Head | None) -> None:
        self._reader = reader
        self._covered = _covered(head)
        self._roots = read_roots(reader, self._covered // SEGMENT_ROWS) or []
        self._above = Tree(self._roots)
        self._number = 0
        self._within = Tree(())
        root = self._above.root
        if head is not None and head.root != (root and root.hex()):
            raise _not_whole(reader.place, "its segments' roots are not those of its head")

    def path(self, seq: int) -> list[str] | None:
        if seq > self._covered:
            return None
        number, index = divmod(seq - 1, SEGMENT_ROWS)
        if number + 1 != self._number:
            self._enter(number + 1)
        return [each.hex() for each in (*self._within.path(index), *self._above.path(number))]

    def _enter(self, number: int) -> None:
        end = number * SEGMENT_ROWS
        members = [own for (own,) in self._reader.select(MEMBERS, end - SEGMENT_ROWS, end)]
        self._number, self._within = number, Tree(members)
        if self._within.root != self._roots[number - 1]:
            raise _not_whole(self._reader.place, f"segment {number} does not have its root")


def _last(reader: Reader) -> Link:
    found = next(iter(reader.select("SELECT seq, hash FROM rows ORDER BY seq DESC LIMIT 1")), None)
    return GENESIS if found is None else Link(*found)


def _newest(reader: Reader, public_key: PublicKey | None) -> Head | None:
    """The last head that can be trusted as far as is known here. Read before the rows, which only grow."""
    for head in reversed(reader.heads()):
        if isinstance(head, Head) and (public_key is None or head.signed_by(public_key)):
            return head
    return None


def _signer(public_key: PublicKey | None) -> dict[str, str] | None:
    """Whose signature the head has been found to bear; None: no key was at hand."""
    if public_key is None:
        return None
    return {"key_id": public_key.key_id, "public_key": public_key.hex, "note": NOTE}


def _covered(head: Head | None) -> int:
    """Rows beneath the root of a head: those of its whole segments."""
    return 0 if head is None else head.size // SEGMENT_ROWS * SEGMENT_ROWS


def _not_whole(place: Place, problem: str) -> StoreRefused:
    return StoreRefused(place, problem, "run `fallthrough ledger verify`")
