"""Where a ledger lies: a file of this machine's, or a database that many replicas share.

The configuration and the command line read one from what people wrote, the store opens it. A database's
address may hold a password: only its `str` is ever shown.
"""

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

SCHEMES = ("postgresql", "postgres")


@dataclass(frozen=True, slots=True)
class Database:
    """A PostgreSQL database by its URL, as libpq reads one (PostgreSQL manual, 34.1.1.2)."""

    url: str = field(repr=False)

    def __str__(self) -> str:
        parts = urlsplit(self.url)
        user, at, host = parts.netloc.rpartition("@")
        query = urlencode(
            [(name, value) for name, value in parse_qsl(parts.query) if name != "password"], safe="/"
        )
        return urlunsplit((parts.scheme, user.split(":")[0] + at + host, parts.path, query, ""))


Place = Path | Database


def database_of(text: str) -> Database | None:
    """The database that a URL names; None: this is no database's URL."""
    return Database(text) if text.partition("://")[0] in SCHEMES else None
