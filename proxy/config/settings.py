"""What is read once, at start: listeners, ledger, manners of the process.

Built by `proxy/config/build.py`, read by `app.py` and the command line. Everything that may change
while the program runs is in the `Table` instead.
"""

from ipaddress import ip_address
from pathlib import Path
from typing import Literal

from msgspec import Struct

from proxy.place import Place


class Address(Struct, frozen=True):
    """Where to listen: a host and a port, or a Unix socket."""

    host: str | None = None
    port: int | None = None
    path: Path | None = None

    @property
    def private(self) -> bool:
        """Whether only this machine can reach it."""
        if self.path is not None:
            return True
        try:
            return ip_address(self.host or "").is_loopback
        except ValueError:  # a name: whatever it begins with, it may lead anywhere
            return self.host == "localhost"

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        host = self.host or ""
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"


class Settings(Struct, frozen=True):
    """The process, apart from the table."""

    listen: Address = Address("127.0.0.1", 8080)
    admin: Address | None = Address("127.0.0.1", 8081)
    """None: no admin listener."""
    probes: Address | None = Address("127.0.0.1", 8082)
    """None: probes only on the public listener."""
    ledger: Place = Path("var/ledger.db")
    """A file, relative to the working directory, or a database."""
    auth: Literal["keys", "none"] = "keys"
    drain_s: float = 30.0
    """How long calls may go on after SIGTERM."""
    max_calls: int | None = None
    """How many there may be at once; 0: no bound; None: what the process can bear (`app.py`)."""
    max_lag_s: float | None = 0.5
    """While the loop is so late, new calls are refused; None: never."""
    origins: frozenset[str] = frozenset()
    """Of which pages in browsers may ask for a WebSocket."""
    simulator: Literal["off", "auto"] = "off"
    """`auto`: a route without an upstream gets a simulated one."""
