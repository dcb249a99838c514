"""What to do about an error of SQLite's, by what it says, whichever driver says it.

Everything here that refuses a file asks. A backup brings back an older truth, and a file that is moved away
takes its keys, persons and balances along: both are the remedy for a file that is damaged, and for nothing
else. A disk that is full, locked or gone has taken nothing from the file.
"""

import errno
import sqlite3
from collections.abc import Mapping

import apsw

RESTORE = "restore a backup or move the file away to start a new ledger"
RESTORE_KEYS = "restore a backup; moved away, it takes all keys, all pseudonyms and the key for heads along"

WHOLE = "; nothing has to be restored"
ROOM = f"make room on its disk{WHOLE}"
HOLDER = f"end who holds it, or wait and try again{WHOLE}"
DISK = "look at its disk (its room, its health, who may write there); restore nothing before that"
AWAY = "look whether it is there, on a disk that is mounted, where this process may open it"
MEMORY = f"give this process more memory{WHOLE}"
UNSURE = "look at its disk first, and restore a backup only if the file itself is damaged"

REMEDIES: Mapping[int, str] = {
    apsw.SQLITE_FULL: ROOM,
    apsw.SQLITE_BUSY: HOLDER,
    apsw.SQLITE_LOCKED: HOLDER,
    apsw.SQLITE_PROTOCOL: HOLDER,
    apsw.SQLITE_IOERR: DISK,
    apsw.SQLITE_CANTOPEN: AWAY,
    apsw.SQLITE_PERM: DISK,
    apsw.SQLITE_READONLY: DISK,
    apsw.SQLITE_AUTH: DISK,
    apsw.SQLITE_NOLFS: DISK,
    apsw.SQLITE_NOMEM: MEMORY,
}
"""By primary result code, whatever does not mean that the file is damaged."""

DAMAGE = (apsw.SQLITE_CORRUPT, apsw.SQLITE_NOTADB, apsw.SQLITE_FORMAT)

_APSW: Mapping[type[Exception], int] = {type(apsw.exception_for(code)): code for code in (*REMEDIES, *DAMAGE)}

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def lacks_room(error: OSError) -> bool:
    """Whether it is a full disk, or a quota that is used up."""
    return error.errno in _NO_ROOM


def remedy_for(error: Exception, restore: str = RESTORE) -> str:
    """What to do about `error`; `restore` if the file is damaged."""
    if isinstance(error, OSError):
        return ROOM if lacks_room(error) else DISK
    if isinstance(error, UnicodeDecodeError):
        return restore
    code = _code(error)
    return restore if code in DAMAGE else REMEDIES.get(code, UNSURE)


def _code(error: Exception) -> int:
    """SQLite's primary result code; 0: the error is none of SQLite's own."""
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", 0) & 0xFF  # a driver's own errors have none
    return _APSW.get(type(error), 0)
