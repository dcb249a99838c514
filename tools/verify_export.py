"""A second reader of exports: not a line shared with `proxy/`, and nothing but the standard library,
until a signature is to be checked, which takes the package `cryptography`, or a database is to be asked,
which takes `asyncpg`.

    python tools/verify_export.py EXPORT [--head HEAD] [--public-key FILE|HEX] [--ledger LEDGER]

EXPORT is the folder that `fallthrough ledger export --to` made, or a file with what it printed. Checks that
the rows are those that the manifest counts, each row by its hash, and each path by the root of the head.
  --head        a head of that size kept elsewhere: a line of JSON as in the log or the heads file; -: stdin
  --public-key  what checks the head's signature, as it was published: the manifest's own proves nothing
  --ledger      the ledger it came from, a file or a PostgreSQL database's URL: every row of theirs is
                told, and told as it is there; with the key, also that its stub is signed. Whether that
                ledger is whole, tools/verify_ledger.py says
Prints every fault; exit status 0: it holds, 1: it does not. docs/decisions/0014-people.md has the format.
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
from contextlib import closing
from pathlib import Path
from typing import Any

try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
except ImportError:
    Ed25519PublicKey = None

try:
    import asyncpg
except ImportError:
    asyncpg = None

LAST = "SELECT hash FROM rows WHERE seq = ?1"
STUB = "SELECT size, hash, root, before_us, at_us, digest, key_id, signature FROM stub WHERE id = 1"
THEIRS = """
SELECT seq, hash FROM rows
WHERE seq <= ?1 AND tenant = ?2 AND (CAST(?3 AS text) IS NULL OR user_pseudonym = ?3)
"""
NOT_HASHED = ("prev", "hash", "path")
HEAD = ("size", "hash", "root", "at_us", "epoch", "key_id")
SCHEMES = ("postgresql://", "postgres://")
SPKI = bytes.fromhex("302a300506032b6570032100")
"""Begins every Ed25519 public key in DER (RFC 8410); its 32 bytes follow."""


def encoded(values: list[Any]) -> bytes:
    """Kinds, then integers and lengths of texts in 64 bits each, then texts."""
    kinds = b"".join({int: b"i", str: b"t", type(None): b"-"}[type(value)] for value in values)
    found = [value.encode() if isinstance(value, str) else value for value in values if value is not None]
    numbers = [len(each) if isinstance(each, bytes) else each for each in found]
    texts = b"".join(each for each in found if isinstance(each, bytes))
    return kinds.rstrip(b"-") + b"\n" + struct.pack(f">{len(numbers)}q", *numbers) + texts


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


def climb(own: bytes, index: int, size: int, path: list[bytes]) -> bytes | None:
    """The root that a path leads to (RFC 9162, 2.1.3.2); None: it is no path of such a tree."""
    last = size - 1
    for other in path:
        if last == 0:
            return None
        if index & 1 or index == last:
            own = hashlib.sha256(b"\x01" + other + own).digest()
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            own = hashlib.sha256(b"\x01" + own + other).digest()
        index, last = index >> 1, last >> 1
    return own if last == 0 else None


def read(place: Path) -> tuple[list[bytes], dict[str, Any]]:
    """Lines of rows, and the manifest."""
    if place.is_dir():
        lines = (place / "rows.jsonl").read_bytes().splitlines(keepends=True)
        return lines, json.loads((place / "manifest.json").read_bytes())
    *lines, final = place.read_bytes().splitlines(keepends=True)
    return lines, json.loads(final)["manifest"]


def counted(lines: list[bytes], rows: list[dict[str, Any]], manifest: dict[str, Any]) -> Iterator[str]:
    """Where the manifest does not say what is there."""
    seqs = [row["seq"] for row in rows]
    if hashlib.sha256(b"".join(lines)).hexdigest() != manifest["sha256"]:
        yield "manifest: not the digest of these rows"
    if (len(rows), dict(Counter(row["kind"] for row in rows))) != (manifest["rows"], manifest["kinds"]):
        yield "manifest: counts other rows"
    if manifest["proved_rows"] != sum(row["path"] is not None for row in rows):
        yield "manifest: counts other proofs"
    if seqs != sorted(set(seqs)) or seqs[:1] + seqs[-1:] != [
        each for each in (manifest["first_seq"], manifest["last_seq"]) if each is not None
    ]:
        yield "rows: out of order, or not from where to where the manifest says"


def proved(rows: list[dict[str, Any]], manifest: dict[str, Any]) -> Iterator[str]:
    """Rows that are not what was written, not in the head's tree, or another's."""
    head, covered = manifest["head"] or {"root": None, "size": 0}, manifest["tree_rows"]
    if covered != head["size"] // 1024 * 1024:
        yield "manifest: the head covers other rows"
    for row in rows:
        values, seq = [value for name, value in row.items() if name not in NOT_HASHED], row["seq"]
        own = hashlib.sha256(b"\x00" + bytes.fromhex(row["prev"]) + encoded(values)).digest()
        if own.hex() != row["hash"]:
            yield f"row {seq}: not what was written"
        if row["tenant"] != manifest["tenant"] or manifest["user_pseudonym"] not in (
            None,
            row["user_pseudonym"],
        ):
            yield f"row {seq}: somebody else's"
        if (row["path"] is None) != (seq > covered):
            yield f"row {seq}: it has a path exactly if the head covers it"
        elif row["path"] is not None:
            root = climb(own, seq - 1, covered, [bytes.fromhex(each) for each in row["path"]])
            if root is None or root.hex() != head["root"]:
                yield f"row {seq}: its path does not lead to the head's root"


def anchored(manifest: dict[str, Any], kept: dict[str, Any] | None, key: bytes | None) -> Iterator[str]:
    """Whether the head is the one that was kept elsewhere, and whether this key signed it."""
    head = manifest["head"]
    if head is None:
        if kept or key:
            yield "manifest: it has no head to compare"
        return
    if kept and [head[name] for name in HEAD] != [kept[name] for name in HEAD]:
        yield "manifest: its head is not the one given"
    if key:
        if not signed(key, b"\x02" + encoded([head[name] for name in HEAD]), head["signature"]):
            yield "manifest: its head is not signed by this key"
        signer = manifest["signed_by"]
        if signer and signer["public_key"] != key.hex():
            yield "manifest: it names another key than the one given"


def complete(
    rows: list[dict[str, Any]], manifest: dict[str, Any], ledger: str, key: bytes | None
) -> Iterator[str]:
    """Whether the ledger holds these rows, and no others of this person or tenant up to where it was read."""
    end = manifest["ledger"]
    whose = (end["rows"], manifest["tenant"], manifest["user_pseudonym"])
    tail, found, stub = ask(ledger, (LAST, (end["rows"],)), (THEIRS, whose), (STUB, ()))
    yield from pruned(end["pruned"], stub, key)
    if end["rows"] and [own.hex() for (own,) in tail] != [end["hash"]]:
        yield f"ledger: row {end['rows']} is not the one that the export ended with"
    if {seq: own.hex() for seq, own in found} != {row["seq"]: row["hash"] for row in rows}:
        yield "ledger: it holds other rows of theirs than the export"


def pruned(told: int, stub: list[Any], key: bytes | None) -> Iterator[str]:
    """Whether the rows that the export leaves out as pruned are those that a stub stands for."""
    if told > (stub[0][0] if stub else 0):
        yield "ledger: it does not stand for the rows that the export says were pruned"
    for size, own, root, before_us, at_us, digest, key_id, signature in stub:
        facts = [size, own.hex(), root.hex(), before_us, at_us, digest.hex(), key_id]
        if key and not signed(key, b"\x03" + encoded(facts), signature):
            yield "ledger: its stub is not signed by this key"


Question = tuple[str, tuple[Any, ...]]


def ask(ledger: str, *questions: Question) -> list[list[Any]]:
    """The answers of a file or of a server."""
    if ledger.startswith(SCHEMES):
        return asyncio.run(ask_server(ledger, *questions))
    with closing(sqlite3.connect(f"{Path(ledger).absolute().as_uri()}?mode=ro", uri=True)) as database:
        return [
            # By name: Python 3.12 warns of numbers beside values in order.
            database.execute(sql.replace("?", ":v"), {f"v{n}": v for n, v in enumerate(values, 1)}).fetchall()
            for sql, values in questions
        ]


async def ask_server(url: str, *questions: Question) -> list[list[Any]]:
    if asyncpg is None:
        raise ValueError("to ask a database, install the package `asyncpg`")
    try:
        connection = await asyncpg.connect(url, timeout=10, server_settings={"search_path": "fallthrough"})
        try:
            return [await connection.fetch(sql.replace("?", "$"), *values) for sql, values in questions]
        finally:
            await connection.close(timeout=10)
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise ValueError(f"the server says: {error}") from error


def verify(
    place: Path,
    kept: dict[str, Any] | None = None,
    key: bytes | None = None,
    ledger: Path | str | None = None,
) -> list[str]:
    """Every fault, in words."""
    try:
        lines, manifest = read(place)
        rows = [json.loads(line) for line in lines]
        faults = [*counted(lines, rows, manifest), *proved(rows, manifest), *anchored(manifest, kept, key)]
        return faults + (list(complete(rows, manifest, str(ledger), key)) if ledger else [])
    except (OSError, sqlite3.Error, struct.error, ValueError, TypeError, LookupError) as error:
        return [f"unreadable: {error!r}"]


def main() -> None:
    parser = argparse.ArgumentParser(description="Verify an export.")
    parser.add_argument("export", type=Path)
    parser.add_argument("--head", metavar="JSON|-", help="a head kept elsewhere")
    parser.add_argument("--public-key", type=public_key, metavar="FILE|HEX", help="checks the signature")
    parser.add_argument("--ledger", metavar="FILE|URL", help="the ledger it came from")
    told = parser.parse_args()
    kept = json.loads(sys.stdin.read() if told.head == "-" else told.head) if told.head else None
    faults = verify(told.export, kept, told.public_key, told.ledger)
    print("\n".join([*faults, "does NOT hold" if faults else "holds"]))
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
