"""A table on its way from another system's words: what goes into it, and what is told of the rest.

`variables.py` and `litellm.py` draw one, `proof.py` takes out what the grammar would refuse, and
`text.py` writes it down. A secret never enters it: what holds one becomes `${NAME}` on the spot, and
the name joins those that must be set. Nothing that was read may vanish in silence: it is in the table,
or in a note.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from msgspec import Struct, field

from proxy.config.faults import plain
from proxy.config.forms import NAME

TEXT_MAX = 200


class Fate(StrEnum):
    """What became of something that was read."""

    LEFT = "left out"
    """It is not in the table."""
    CHANGED = "not quite the same"
    """It is, and means something a little different there."""
    SET = "to be set"
    """A variable that the table reads."""


class Note(Struct, frozen=True):
    """One thing that whoever imports has to know."""

    fate: Fate
    place: str
    """`FILE:LINE: KEY`, or the name of a variable."""
    why: str

    def __str__(self) -> str:
        return f"{self.place}: {self.fate}: {self.why}"


class UpstreamSketch(Struct):
    """An upstream: members of the grammar's `upstreams.NAME`, in the order they are written."""

    name: str
    members: dict[str, Any]
    place: str
    """Where it was read."""


class RouteSketch(Struct):
    """A route."""

    model: str
    targets: list[str]
    members: dict[str, Any]
    place: str

    def add(self, targets: list[str]) -> None:
        """Further targets, behind those there are; each once."""
        self.targets = list(dict.fromkeys((*self.targets, *targets)))


class RowSketch(Struct):
    """A limit, or what one key of `prices` or `models` says."""

    members: dict[str, Any]
    place: str


class Sketch(Struct):
    """Everything so far."""

    source: str
    """What it is made from, for the first line."""
    settings: dict[str, Any] = field(default_factory=dict)
    upstreams: dict[str, UpstreamSketch] = field(default_factory=dict)
    routes: dict[str, RouteSketch] = field(default_factory=dict)
    limits: list[RowSketch] = field(default_factory=list)
    alerts: dict[str, Any] = field(default_factory=dict)
    privacy: dict[str, Any] = field(default_factory=dict)
    prices: dict[str, RowSketch] = field(default_factory=dict)
    models: dict[str, RowSketch] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    """Where keys of `settings`, `alerts` and `privacy` were read, such as `settings.drain`."""
    notes: list[Note] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)
    """Names that the table reads → a harmless value of the right form, to judge it by."""

    def left(self, place: str, why: str) -> None:
        """Note that something is not in the table."""
        self._note(Fate.LEFT, place, why)

    def gone(self, place: str, why: str) -> None:
        """Note that something is not in the table after all, whatever was said of how it would be."""
        self.notes = [note for note in self.notes if (note.fate, note.place) != (Fate.CHANGED, shown(place))]
        self.left(place, why)

    def changed(self, place: str, why: str) -> None:
        """Note that something means a little else there."""
        self._note(Fate.CHANGED, place, why)

    def reference(self, name: str, stands_for: str = "stand-in") -> str:
        """`${NAME}`, to be written in the place of a value that was read from there."""
        self.variables.setdefault(name, stands_for)
        return f"${{{name}}}"

    def needs(self, name: str, why: str) -> None:
        """Note that a variable must be set before the table is of use."""
        self._note(Fate.SET, name, why)

    def secret(self, name: str, place: str) -> str:
        """`${NAME}` in the place of a secret that was read as it is."""
        self._note(Fate.SET, place, f"the secret itself is not written down; put it into the variable {name}")
        return self.reference(name)

    def _note(self, fate: Fate, place: str, why: str) -> None:
        note = Note(fate, shown(place), shown(why))
        if note not in self.notes:
            self.notes.append(note)


def shown(text: str) -> str:
    """`text` on one line of any terminal or comment."""
    short = text if len(text) <= TEXT_MAX else text[: TEXT_MAX - 1] + "…"
    return "".join(char if char.isprintable() else "�" for char in short)


def is_name(text: Any) -> bool:
    """Whether the table can have it for the name of a model. An address, perhaps with a secret, is none."""
    return isinstance(text, str) and re.fullmatch(NAME, text) is not None and "://" not in text


def called(text: Any) -> str:
    """A name or another short value for a note; never to be used on what may be a secret."""
    return plain(str(text))


class Imported(Struct, frozen=True):
    """A table that another system's configuration amounts to."""

    text: str
    """YAML without a fault."""
    notes: tuple[Note, ...]
    variables: tuple[str, ...]
    """What the table reads from the environment."""

    def as_json(self) -> Mapping[str, Any]:
        """For programs."""
        told = {
            fate.name.lower(): [
                {"place": note.place, "why": note.why} for note in self.notes if note.fate is fate
            ]
            for fate in Fate
        }
        return {"table": self.text, "variables": list(self.variables), **told}
