"""A `.env` file as the variables it sets.

Called by `fallthrough import env --env-file`. It reads `NAME=VALUE` as shells, docker and the usual
libraries agree on it, and fills nothing in: what a value refers to is unknown here. A value is never
quoted in a fault, for it may be a secret.
"""

import re
from collections.abc import Mapping

from msgspec import Struct

from proxy.config.faults import ConfigError, Fault
from proxy.config.source import SIZE_MAX

_LINE = re.compile(r"(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*=\s*(?P<value>.*)", re.DOTALL)
_QUOTED = re.compile(r"""(?P<quote>["'])(?P<text>.*?)(?<!\\)(?P=quote)\s*(?:#.*)?""", re.DOTALL)


class Variables(Struct, frozen=True):
    """What is set, and where."""

    source: str
    values: Mapping[str, str]
    lines: Mapping[str, int]
    """Of each name, from 1; none where there is no file."""

    def place(self, name: str) -> str:
        """Where `name` stands, for a note."""
        return f"{self.source}:{self.lines[name]}: {name}" if name in self.lines else name


def read_env_file(file: str, data: bytes) -> Variables:
    """The variables in `data`, the last word on each. Raises `ConfigError` with every line that is none."""
    values: dict[str, str] = {}
    lines: dict[str, int] = {}
    faults: list[Fault] = []
    if len(data) > SIZE_MAX:
        raise ConfigError([Fault(file, 0, "", f"larger than {SIZE_MAX // 1024} KiB", "write less")])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError([Fault(file, 0, "", "the file is not UTF-8", "save it as UTF-8 text")]) from None
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.strip()
        if not bare or bare.startswith("#"):
            continue
        found = _LINE.fullmatch(bare)
        if found is None:
            faults.append(Fault(file, number, "", "this is not NAME=VALUE", "correct it, or begin it with #"))
            continue
        values[found["name"]] = _value(found["value"])
        lines[found["name"]] = number
    if faults:
        raise ConfigError(faults)
    return Variables(file, values, lines)


def _value(text: str) -> str:
    """Without its quotes, or without the comment behind it."""
    quoted = _QUOTED.fullmatch(text)
    return quoted["text"] if quoted else re.split(r"\s#", text, maxsplit=1)[0].rstrip()
