"""Heads: how long the ledger was, and the hash it ended on, told where a thief of the ledger is not.

A chain alone does not show that it was cut short, rewritten from some row on, or put back to
yesterday's: a head from before does. Each is a line of JSON in a file beside the ledger (in PostgreSQL, in
the table `heads`) and a line in the log, signed with a key that stays where caller keys are (`seal.py`): who
checks one cannot make one. `anchor.py` decides when; `verify.py` reads them all.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from types import NoneType

import orjson
from msgspec import Struct, json

from proxy.store.chain import Value, canonical
from proxy.store.fault import StoreRefused
from proxy.store.seal import PublicKey

SIGNED = b"\x02"
"""Begins what is signed, so that no head can pass for a row or a node."""

FIELDS = ("size", "hash", "root", "at_us", "epoch", "key_id")

SHAPE: Mapping[str, tuple[type, ...]] = {
    "size": (int,),
    "hash": (str,),
    "root": (str, NoneType),
    "at_us": (int,),
    "epoch": (int,),
    "key_id": (str, NoneType),
    "signature": (str, NoneType),
}
"""What a line must be, exactly."""

LINE_MAX = 4096


class Head(Struct, frozen=True):
    """One line of the heads file."""

    size: int
    """Rows the ledger had."""
    hash: str
    """Hash of the last of them, hexadecimal."""
    root: str | None
    """Merkle root over the roots of all segments whole by then."""
    at_us: int
    epoch: int
    key_id: str | None
    signature: str | None
    """Over all the fields above; None where no key was at hand."""

    def signed_bytes(self) -> bytes:
        values: tuple[Value, ...] = (self.size, self.hash, self.root, self.at_us, self.epoch, self.key_id)
        return SIGNED + canonical(values)

    def signed_by(self, public_key: PublicKey) -> bool:
        return public_key.signed(self.signed_bytes(), self.signature)


class Unread(Struct, frozen=True):
    """A line of the heads file that is no head."""

    line: int


def heads_path(ledger: Path) -> Path:
    return ledger.with_name(ledger.name + ".heads")


def dump(head: Head) -> bytes:
    return json.encode(head) + b"\n"


def read(ledger: Path) -> list[Head | Unread]:
    """Every head beside a ledger, the oldest first. A last line that was not finished is no head."""
    try:
        content = heads_path(ledger).read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _unreadable(ledger, error) from error
    return [parse(line, number) for number, line in enumerate(content.split(b"\n")[:-1], 1)]


def newest(ledger: Path) -> Head | Unread | None:
    """The last head beside a ledger, without reading those before."""
    try:
        with heads_path(ledger).open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - 2 * LINE_MAX))
            lines = file.read().split(b"\n")[:-1]
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(ledger, error) from error
    return parse(lines[-1], 0) if lines else None


def append(ledger: Path, head: Head) -> None:
    """Add a line and flush it to disk, after taking away what an earlier try left unfinished."""
    handle = os.open(heads_path(ledger), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        end = os.lseek(handle, 0, os.SEEK_END)
        start = max(0, end - LINE_MAX)
        rest = os.pread(handle, LINE_MAX, start)
        whole = start + rest.rfind(b"\n") + 1 if b"\n" in rest else 0
        os.ftruncate(handle, whole)
        line = dump(head)
        if os.pwrite(handle, line, whole) != len(line):
            raise OSError("the heads file took only part of a line")
        os.fsync(handle)
    finally:
        os.close(handle)


def _unreadable(ledger: Path, error: OSError) -> StoreRefused:
    return StoreRefused(
        heads_path(ledger), f"it cannot be read ({error.strerror})", "let the proxy's user read it"
    )


def parse(line: bytes, number: int) -> Head | Unread:
    """A line as a head, or as what it is."""
    try:
        found = orjson.loads(line)
    except ValueError:
        return Unread(number)
    sound = (
        isinstance(found, dict)
        and found.keys() == SHAPE.keys()
        and all(type(value) in SHAPE[name] for name, value in found.items())
        and found["size"] > 0
    )
    return Head(**found) if sound else Unread(number)
