"""What one of several workers is given at its start: sockets that are open, and where its siblings are.

`proxy/workers.py` tells it to the process that it starts, by an environment variable; `cli/serve.py` reads
it there and `app.py` heeds it.
"""

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from msgspec import Struct

from proxy.server.visit import Listener

VARIABLE = "FALLTHROUGH_WORKER"


class Worker(Struct, frozen=True):
    """One of several processes behind the same addresses."""

    number: int
    """From 1."""
    of: int
    room: Path
    """A private folder, in which every worker has a socket for the others."""
    leash: int
    """A pipe that ends when the supervisor does."""
    sockets: Mapping[Listener, int]
    """Descriptors of sockets that listen already."""
    alone: frozenset[Listener] = frozenset()
    """Those that no sibling answers on: who waits there when this worker has drained waits for nobody."""

    def dump(self) -> str:
        told = {"number": self.number, "of": self.of, "room": str(self.room), "leash": self.leash}
        sockets = {name.value: fd for name, fd in self.sockets.items()}
        return json.dumps({**told, "sockets": sockets, "alone": sorted(self.alone)})

    @classmethod
    def load(cls, text: str) -> Self:
        told = json.loads(text)
        sockets = {Listener(name): fd for name, fd in told.pop("sockets").items()}
        alone = frozenset(map(Listener, told.pop("alone")))
        return cls(room=Path(told.pop("room")), sockets=sockets, alone=alone, **told)

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What the process must inherit."""
        return (self.leash, *self.sockets.values())

    def opened(self, listener: Listener) -> socket.socket:
        """The socket of a listener, which is this process's own from now on."""
        return socket.socket(fileno=self.sockets[listener])

    def seat(self, number: int) -> Path:
        """Where a worker answers its siblings."""
        return self.room / f"{number}.sock"

    def slate(self, number: int) -> Path:
        """Where a worker notes what it last said that it counted, for whoever comes after it."""
        return self.room / f"{number}.told"
