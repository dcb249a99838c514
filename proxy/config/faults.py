"""What is wrong with a configuration, all of it at once.

Every file of this room that finds something wrong makes a `Fault`; `load` collects them into one
`ConfigError`. A fault never shows a secret: what was seen is quoted as it stands in the file, before
variables are filled in, and hidden altogether under keys that hold secrets. Whoever misplaces a key writes it
somewhere else, so what has the shape of a known kind of credential is not shown wherever it stands, and of
what stands in the place of a mapping, where a key one level too high ends up, only the kind is.
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from msgspec import Struct

Path = tuple[str | int, ...]
"""Where in the document: keys and list positions from the root."""

HIDDEN = frozenset({"api_key", "headers", "user", "webhook"})
"""Keys under which nothing is ever quoted."""

LEDGER: Path = ("settings", "ledger")

SHOWN_MAX = 60

_CREDENTIAL = re.compile(
    r"(?i:\b(?:bearer|basic)\s+)\S+"
    r"|(?<![A-Za-z0-9])(?:(?:sk|pk|rk)[-_][\w.-]{6,}|gsk_\w{6,}|hf_\w{16,}|xai-\w{12,}|nvapi-[\w-]{12,}|ya29\.[\w-]+|AKIA[0-9A-Z]{12,}|ft-[0-9a-f]{8,}|AIza[\w-]{8,})"
    r"|\b(?i:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\b"
    # Long, of letters and digits mixed, without a mark between: names of models have marks.
    r"|(?<![A-Za-z0-9])(?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z])[A-Za-z0-9]{24,}[\w+/=-]*"
)
"""What looks like a key of somebody's. It may take a name for one: that costs legibility, not a secret."""


class Fault(Struct, frozen=True):
    """One mistake, and what to write instead."""

    file: str
    line: int
    """From 1; 0 where there is no line, as in the environment."""
    path: str
    """Such as `routes[0].targets[1]`; empty for the document itself."""
    problem: str
    remedy: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        where = f"{self.path}: " if self.path else ""
        return f"{place}: {where}{self.problem}; {self.remedy}"


class ConfigError(Exception):
    """The configuration cannot be used; `faults` says everything that is wrong with it."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(sorted(faults, key=lambda fault: (fault.line, fault.path, fault.problem)))
        super().__init__("\n".join(map(str, self.faults)))


def dotted(path: Path) -> str:
    """`("routes", 0, "model")` as `routes[0].model`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{plain(part)}" if text else plain(part)
    return text


def plain(text: str) -> str:
    """`text` short and printable on any terminal, whatever the file held, without what looks like a key."""
    text = _CREDENTIAL.sub("…", text)
    short = text if len(text) <= SHOWN_MAX else text[: SHOWN_MAX - 1] + "…"
    return "".join(char if char.isprintable() else "�" for char in short)


def seen(path: Path, value: Any) -> str:
    """What was found, for a message: short, and nothing of a secret."""
    if HIDDEN.intersection(part for part in path if isinstance(part, str)):
        return "hidden"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "nothing"}[value]
    if isinstance(value, dict | list):
        return kind_of(value)
    text = str(value)
    if path == LEDGER and ("@" in text or "?" in text):  # perhaps a password
        return "hidden"
    if "://" in text and ("@" in text or "?" in text):
        return plain(text.split("://", 1)[0]) + "://…"
    return plain(text) if text else "nothing"


def kind_of(value: Any) -> str:
    """What was found, without a word of it."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None or value == "":
        return "nothing"
    return "text" if isinstance(value, str) else "true or false" if isinstance(value, bool) else "a number"


def nearest(word: str, known: Iterable[str], likeness: float = 0.6) -> str | None:
    """The known word that `word` was probably meant to be."""
    close = get_close_matches(word[:SHOWN_MAX], list(known), n=1, cutoff=likeness)
    return close[0] if close else None


def suggest(word: str, known: Iterable[str]) -> str:
    """The remedy for an unknown word: a did-you-mean, or all there are."""
    words = sorted(set(known))
    close = nearest(word, words)
    if close is not None:
        return f"did you mean `{plain(close)}`?"
    return "write one of " + ", ".join(map(plain, words)) if words else "leave it out"
