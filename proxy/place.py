"""Where a ledger lies: a file of this machine's, or a database that many replicas share.

The configuration and the command line read one from what people wrote, the store opens it. A database's
address may hold a password: only its `str` is ever shown.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from msgspec import Struct

SCHEMES = ("postgresql", "postgres")

SHOWN = frozenset({"host", "port", "user", "dbname", "sslmode", "target_session_attrs"})
"""Parameters that hold no secret; of others nothing is shown."""

PORT_MAX = 65535

WORDS: Mapping[str, tuple[str, ...]] = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "target_session_attrs": ("any", "primary", "standby", "read-write", "read-only", "prefer-standby"),
}
"""Parameters that take one of a few words; what a driver does not know it refuses only at the start."""

FORM = "postgresql://USER@HOST/DATABASE"

_HOST = re.compile(r"([A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")
_PORT = re.compile(r":([0-9]{1,5})$")


class Database(Struct, frozen=True):
    """A PostgreSQL database by its URL, as libpq reads one (PostgreSQL manual, 34.1.1.2)."""

    url: str

    def __repr__(self) -> str:
        return f"Database({str(self)!r})"

    def __str__(self) -> str:
        parts = urlsplit(self.url)
        user, at, host = parts.netloc.rpartition("@")
        query = urlencode(
            [(name, value) for name, value in parse_qsl(parts.query) if name in SHOWN], safe="/"
        )
        shown = f"{parts.scheme}://{user.split(':')[0]}{at}{host}{parts.path}"
        return f"{shown}?{query}" if query else shown


Place = Path | Database


def database_of(text: str) -> Database | None:
    """The database that a URL names; None: this is no database's URL.

    Raises `ValueError`, with words that repeat nothing of the URL, where it is one that cannot be read.
    """
    if text.partition("://")[0] not in SCHEMES:
        return None
    if not re.fullmatch(r"[!-~]{1,2048}", text) or "#" in text:
        raise ValueError("a database's URL with characters that may not stand there")
    try:
        parts = urlsplit(text)
        words = dict(parse_qsl(parts.query, strict_parsing=True)) if parts.query else {}
    except ValueError:
        raise ValueError("a database's URL that cannot be read") from None
    # A password with a slash in it would end up in what is shown.
    if not all(_HOST.fullmatch(host) for host in parts.netloc.rpartition("@")[2].split(",")):
        raise ValueError("a database's URL without a proper host (is the password percent-encoded?)")
    ports = [_PORT.search(host) for host in parts.netloc.rpartition("@")[2].split(",")]
    numbers = [port[1] for port in ports if port] + [one for one in words.get("port", "").split(",") if one]
    if not all(one.isdecimal() and 0 < int(one[:6]) <= PORT_MAX for one in numbers):
        raise ValueError(f"a database's URL with a port that is none from 1 to {PORT_MAX}")
    for word, known in WORDS.items():
        if words.get(word, known[0]) not in known:
            raise ValueError(f"a database's URL whose {word} is none of {', '.join(known)}")
    name = unquote(parts.path.removeprefix("/"))
    if re.search(r"[/@]", parts.path.removeprefix("/")):
        raise ValueError("a database's URL without a proper database name (is the password percent-encoded?)")
    if not name and not words.get("dbname"):
        raise ValueError("a database's URL without the name of a database")
    return Database(text)
