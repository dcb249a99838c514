"""A second verifier of the ledger: not a line shared with `proxy/`, and nothing but the standard library,
until signatures are to be checked, which takes the package `cryptography`, or a database is to be read, which
takes `asyncpg`.

    python tools/verify_ledger.py LEDGER [--head SIZE:HASH] [--public-key FILE|HEX]

LEDGER is a file, or a PostgreSQL database's URL (postgresql://USER@HOST/DATABASE), read in one transaction.
Recomputes the chain, the segments' roots, the heads kept with it, and the sums, from the format that
docs/decisions/0008-chain-and-heads.md and 0014-people.md describe. Prints every fault; exit status 0: whole,
1: not.
"""

import argparse
import asyncio
import base64
import hashlib
import json
import re
import sqlite3
import struct
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
except ImportError:
    Ed25519PublicKey = None

try:
    import asyncpg
except ImportError:
    asyncpg = None

COLUMNS = """seq, at_us, epoch, kind, call_id, tenant, key_id, user_pseudonym, model, entries, result, status,
    stream, upstream, upstream_model, input_tokens, output_tokens, cached_tokens, cache_write_tokens,
    reasoning_tokens, source, nano_usd, first_ms, total_ms, attempts, consent, session_pseudonym"""
SEGMENT = 1024
MAGIC = 0x46544C47
NOWHERE = (
    "past WHERE NOT EXISTS (SELECT 1 FROM stub WHERE id = 1)",
    *("stub WHERE id <> 1", "state WHERE id <> 1", "rows WHERE seq < 1", "segments WHERE number < 1"),
)
"""Where nothing can stand: no past without a stub, nothing beside the one stub, nothing before number 1."""
SCHEMES = ("postgresql://", "postgres://")
TOGETHER = 10_000
"""Rows that a server is asked for at once."""
SPKI = bytes.fromhex("302a300506032b6570032100")
"""Begins every Ed25519 public key in DER (RFC 8410); its 32 bytes follow."""


def sha(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def encoded(values: list[Any]) -> bytes:
    """Kinds, then integers and lengths of texts in 64 bits each, then texts."""
    kinds = b"".join({int: b"i", str: b"t", type(None): b"-"}[type(value)] for value in values)
    found = [value.encode() if isinstance(value, str) else value for value in values if value is not None]
    numbers = [len(each) if isinstance(each, bytes) else each for each in found]
    texts = b"".join(each for each in found if isinstance(each, bytes))
    return kinds.rstrip(b"-") + b"\n" + struct.pack(f">{len(numbers)}q", *numbers) + texts


def merkle(hashes: list[bytes]) -> bytes:
    """RFC 6962: the left part holds the largest power of two that leaves something on the right."""
    if len(hashes) == 1:
        return hashes[0]
    half = 1 << (len(hashes) - 1).bit_length() - 1
    return sha(b"\x01", merkle(hashes[:half]), merkle(hashes[half:]))


def public_key(told: str) -> bytes:
    """From the command line: 64 hexadecimal digits, or a file that holds them or a PEM."""
    if Ed25519PublicKey is None:
        raise argparse.ArgumentTypeError("to check signatures, install the package `cryptography`")
    try:
        text = told if re.fullmatch("[0-9a-fA-F]+", told) else Path(told).read_text()
        if "BEGIN PUBLIC KEY" in text:
            der = base64.b64decode(text.split("-----")[2])
            text = der.removeprefix(SPKI).hex() if der.startswith(SPKI) else ""
        key = bytes.fromhex(text)
    except (OSError, ValueError, LookupError) as error:
        raise argparse.ArgumentTypeError(f"this is no public key ({error})") from error
    if len(key) != 32:
        raise argparse.ArgumentTypeError("this is no Ed25519 public key: one has 64 hexadecimal digits")
    return key


def signed(key: bytes, data: bytes, signature: Any) -> bool:
    """Whether the private key that belongs to this one signed these bytes."""
    if not isinstance(signature, str) or not re.fullmatch("[0-9a-f]{128}", signature):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(bytes.fromhex(signature), data)
    except InvalidSignature:
        return False
    return True


class Connection(Protocol):
    """What is asked of a database here."""

    def execute(self, sql: str, values: tuple[Any, ...] = ()) -> Any:
        """Rows to go through, or to take one of by `fetchone`."""
        ...


class Chain:
    """Hashes of rows by number, roots of segments, and what is wrong with them."""

    def __init__(self, database: Connection, key: bytes | None) -> None:
        self.faults: list[str] = []
        self.roots: list[bytes] = []
        self.hashes: dict[int, bytes] = {}
        self.first = 0
        """How many rows a stub stands for."""
        kept = dict(database.execute("SELECT number, root FROM segments ORDER BY number"))
        for where in NOWHERE:
            if database.execute(f"SELECT count(*) FROM {where}").fetchone() != (0,):
                self.faults.append(f"{where.split(' ')[0]}: something stands where nothing can stand")
        stub = database.execute(
            "SELECT size, hash, root, before_us, at_us, digest, key_id, signature FROM stub WHERE id = 1"
        ).fetchone()
        before = self.begin(stub, kept, key) if stub else bytes(32)
        seq = self.first
        for *row, prev, own in database.execute(
            f"SELECT {COLUMNS}, prev, hash FROM rows WHERE seq > ? ORDER BY seq", (seq,)
        ):
            seq += 1
            if (row[0], prev, own) != (seq, before, sha(b"\x00", prev, encoded(row))):
                self.faults.append(f"row {row[0]}: not what was written, or not where")
            before = self.hashes[seq] = own
            if seq % SEGMENT == 0:
                self.roots.append(merkle([self.hashes[each] for each in range(seq - SEGMENT + 1, seq + 1)]))
        self.end = (seq, before)
        if dict(enumerate(self.roots, 1)) != kept:
            self.faults.append("segments: the roots kept are not those of the rows")

    def begin(self, stub: tuple[Any, ...], kept: dict[int, bytes], key: bytes | None) -> bytes:
        """Start where the stub ends: its segments' roots must be what it stands for."""
        self.first, own, root, *others, signature = stub
        size, (before_us, at_us, digest, key_id) = self.first, others
        self.roots = [kept[number] for number in range(1, size // SEGMENT + 1)]
        if size % SEGMENT or merkle(self.roots) != root:
            self.faults.append("stub: not the root of the segments that it stands for")
        told = [size, own.hex(), root.hex(), before_us, at_us, digest.hex(), key_id]
        if key and not signed(key, b"\x03" + encoded(told), signature):
            self.faults.append("stub: not signed by this key")
        self.hashes[size] = own
        return own

    def fits(self, size: int, own: str) -> bool:
        """Whether that row is here, or is the last that the stub stands for, and has that hash."""
        return size in self.hashes and self.hashes[size].hex() == own


def anchors(lines: list[bytes], key: bytes | None, rows: Chain) -> Iterator[str]:
    """What is wrong with heads, or with the rows by what heads say."""
    size = 0
    for number, head in enumerate(map(json.loads, lines), 1):
        told = [head[name] for name in ("size", "hash", "root", "at_us", "epoch", "key_id")]
        if key and not signed(key, b"\x02" + encoded(told), head["signature"]):
            yield f"head {number}: not signed by this key"
        if head["size"] < max(size, 1):
            yield f"head {number}: out of order"
        size = head["size"]
        if size >= rows.first and not rows.fits(size, head["hash"]):
            yield f"head {number}: row {size} is missing or was rewritten"
        whole = rows.roots[: size // SEGMENT]
        if head["root"] != (merkle(whole).hex() if whole else None):
            yield f"head {number}: not the root that the segments have"


class Replay:
    """What the rows come to, and what in them makes no sense."""

    def __init__(self, database: Connection) -> None:
        self.used: Counter[tuple[str, int]] = Counter()
        self.opened: dict[str, tuple[int, int, list[Any]]] = {}
        self.alerts: set[tuple[str, int, int]] = set()
        self.units: dict[tuple[str, int], str] = {}
        self.faults: list[str] = []
        self.epoch = 0
        self.over = 0
        """A counter whose window began before this may have been let go."""
        self.pruned: list[Any] | None = None
        stub = self.carry(database)
        for seq, epoch, kind, call, text in database.execute(
            "SELECT seq, epoch, kind, call_id, entries FROM rows WHERE seq > ? ORDER BY seq",
            (stub[0] if stub else 0,),
        ):
            self.epoch = max(self.epoch, epoch)
            if kind in ("alert", "erase", "reset", "prune"):
                self.act(kind, json.loads(text))
            elif (kind == "reserve") == (call in self.opened):
                self.faults.append(f"row {seq}: {kind} of {call} is out of place")
            elif kind == "reserve":
                self.opened[call] = (seq, epoch, self.claimed(text))
            elif kind == "move":
                self.opened[call][2].extend(self.claimed(text))
            else:
                self.settle(seq, call, json.loads(text))
        if self.pruned != stub:
            self.faults.append("stub: not what the last prune row says of it")

    def act(self, kind: str, entries: list[Any]) -> None:
        """Rows that are no call's: a mark that was told, and what people did."""
        for entry in entries:
            if kind == "alert":
                self.alerts.add((entry[0], entry[1], entry[4]))
            elif kind == "prune":
                self.pruned = entry
            else:
                scope, window, _, amount = entry
                self.used[scope, window] += amount
                self.alerts = {alert for alert in self.alerts if alert[:2] != (scope, window)}

    def carry(self, database: Connection) -> list[Any] | None:
        """Begin with what is kept of the rows that a stub stands for."""
        stub = database.execute(
            "SELECT size, hash, root, before_us, digest FROM stub WHERE id = 1"
        ).fetchone()
        if stub is None:
            return None
        size, own, root, before_us, digest = stub
        lines = [line for (line,) in database.execute("SELECT what FROM past ORDER BY line")]
        if sha(*(line.encode() + b"\n" for line in lines)) != digest:
            self.faults.append("past: not what the stub says of it")
        for word, *values in map(json.loads, lines):
            if word == "used":
                self.used[values[0], values[1]] += values[2]
            elif word == "open":
                self.opened[values[0]] = (values[1], values[2], values[3])
            elif word == "alert":
                self.alerts.add((values[0], values[1], values[2]))
        self.over = before_us // 1_000_000 - 32 * 86_400
        return [size, own.hex(), root.hex(), before_us, digest.hex()]

    def claimed(self, text: str) -> list[Any]:
        entries: list[Any] = json.loads(text)
        self.units |= {(scope, window): unit for scope, window, unit, _ in entries}
        return entries

    def settle(self, seq: int, call: str, entries: list[Any]) -> None:
        claimed = {(scope, window) for scope, window, _, _ in self.opened.pop(call)[2]}
        for scope, window, _, amount in entries:
            self.used[scope, window] += amount
            if (scope, window) not in claimed:
                self.faults.append(f"row {seq}: {call} is charged for what it did not claim")

    def compare(self, database: Connection) -> Iterator[str]:
        """Where a working table differs."""
        held: Counter[tuple[str, int]] = Counter()
        for scope, window, _, amount in [entry for *_, entries in self.opened.values() for entry in entries]:
            held[scope, window] += amount
        found = dict.fromkeys([*self.used, *held], (0, 0))
        kept = {}
        for scope, window, unit, *amounts in database.execute(
            "SELECT scope, window_start, unit, used, held FROM balances"
        ):
            found[scope, window], kept[scope, window] = tuple(amounts), unit
        if any(self.units.get(each, unit) != unit for each, unit in kept.items()):
            yield "balances: of another unit than the rows"
        wrong = [each for each, amounts in found.items() if amounts != (self.used[each], held[each])]
        if any(each in kept or each[1] >= self.over or held[each] for each in wrong):
            yield "balances: not what the rows come to"
        calls = database.execute("SELECT call_id, seq, epoch, claims FROM open_calls")
        if {call: (seq, epoch, json.loads(text)) for call, seq, epoch, text in calls} != self.opened:
            yield "open_calls: not what the rows leave open"
        alerts = set(database.execute("SELECT scope, window_start, mark FROM alerts"))
        if alerts - self.alerts or any(alert[1] >= self.over for alert in self.alerts - alerts):
            yield "alerts: not what the rows tell"
        if database.execute("SELECT epoch FROM state WHERE id = 1").fetchone()[0] < self.epoch:
            yield "state: an epoch before that of a row"


class Ledger(NamedTuple):
    """A ledger that is open."""

    database: Connection
    heads: list[bytes]
    """Lines of JSON."""
    end: tuple[int, bytes] | None = None
    """Where the chain ends, as a database keeps it in a row of its own; a file has only its rows."""


class NotOurs(Exception):
    """There is no ledger, or nothing to read it with."""


@contextmanager
def reading_file(path: Path) -> Iterator[Ledger]:
    beside = path.with_name(path.name + ".heads")
    lines = beside.read_bytes().split(b"\n")[:-1] if beside.exists() else []  # first: rows only grow
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
        database.execute("BEGIN")
        if database.execute("PRAGMA application_id").fetchone()[0] != MAGIC:
            raise NotOurs("this is not a ledger")
        yield Ledger(database, lines)


class Answer:
    """Rows of a server, fetched as they are asked for."""

    def __init__(self, loop: asyncio.AbstractEventLoop, cursor: Any) -> None:
        self.loop = loop
        self.cursor = cursor

    def fetchone(self) -> tuple[Any, ...] | None:
        return next(iter(self), None)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        while found := self.loop.run_until_complete(self.cursor.fetch(TOGETHER)):
            yield from map(tuple, found)


class Server:
    """A `Connection` to PostgreSQL, within one transaction that sees everything as it was when it began."""

    def __init__(self, loop: asyncio.AbstractEventLoop, connection: Any) -> None:
        self.loop = loop
        self.connection = connection

    def execute(self, sql: str, values: tuple[Any, ...] = ()) -> Answer:
        cursor = self.connection.cursor(sql.replace("?", "$1"), *values)
        return Answer(self.loop, self.loop.run_until_complete(cursor))


@contextmanager
def reading_server(url: str) -> Iterator[Ledger]:
    if asyncpg is None:
        raise NotOurs("to read a database, install the package `asyncpg`")
    with closing(asyncio.new_event_loop()) as loop:
        manners = {"search_path": "fallthrough", "default_transaction_read_only": "on"}
        connection = loop.run_until_complete(asyncpg.connect(url, timeout=10, server_settings=manners))
        try:
            loop.run_until_complete(connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ"))
            database = Server(loop, connection)
            if database.execute("SELECT to_regclass('rows')::text").fetchone() == (None,):
                raise NotOurs("there is no ledger in this database")
            lines = [line.encode() for (line,) in database.execute("SELECT line FROM heads ORDER BY size")]
            yield Ledger(
                database, lines, database.execute("SELECT seq, hash FROM state WHERE id = 1").fetchone()
            )
        finally:
            loop.run_until_complete(connection.close(timeout=10))


def unreadable() -> tuple[type[Exception], ...]:
    """What a ledger may do to who reads it."""
    nonsense = (struct.error, ValueError, TypeError, LookupError, AttributeError)
    server = (asyncpg.PostgresError, asyncpg.InterfaceError) if asyncpg else ()
    return (sqlite3.Error, OSError, *nonsense, *server)


def verify(ledger: Path | str, head: tuple[int, str] | None = None, key: bytes | None = None) -> list[str]:
    """Every fault, in words."""
    there = str(ledger)
    try:
        with reading_server(there) if there.startswith(SCHEMES) else reading_file(Path(there)) as found:
            rows = Chain(found.database, key)
            faults = [*rows.faults, *anchors(found.heads, key, rows)]
            if found.end not in (None, rows.end):
                faults.append("state: the chain does not end where it says")
            if head and not rows.fits(*head):
                faults.append(f"row {head[0]} is missing, or does not have the hash of the head given")
            replay = Replay(found.database)
            return [*faults, *replay.faults, *replay.compare(found.database)]
    except NotOurs as error:
        return [str(error)]
    except unreadable() as error:
        return [f"unreadable: {error!r}"]


def head_of(text: str) -> tuple[int, str]:
    size, own = text.split(":")
    return int(size), own


def main() -> None:
    parser = argparse.ArgumentParser(description="Verify a ledger.")
    parser.add_argument("ledger", metavar="FILE|URL")
    parser.add_argument("--head", type=head_of, metavar="SIZE:HASH")
    parser.add_argument("--public-key", type=public_key, metavar="FILE|HEX", help="checks the signatures")
    told = parser.parse_args()
    faults = verify(told.ledger, told.head, told.public_key)
    print("\n".join([*faults, "NOT whole" if faults else "whole"]))
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
