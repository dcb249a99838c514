"""The LiteLLM file as it is written, every value with its line.

It is read by the same careful reader as a table: no tags, no aliases, bounded; a key written twice is a
fault. Its references are `os.environ/NAME`, so `${…}` in it is just text.
"""

import re
from typing import Any

from msgspec import Struct

from proxy.config.expand import Expander
from proxy.config.faults import ConfigError, Path, dotted
from proxy.config.importing.sketch import Sketch
from proxy.config.source import Document, read

_REFERENCE = re.compile(r"os\.environ/([A-Za-z_][A-Za-z0-9_]*)")
UNKNOWN = "nothing here is known by this name"


class _AsWritten(Expander, frozen=True):
    """Fills nothing in."""

    def expand(self, text: str) -> str:
        return text


class Sheet(Struct, frozen=True):
    """The file, and the sketch that is made of it."""

    document: Document
    sketch: Sketch

    @classmethod
    def read(cls, file: str, data: bytes) -> "Sheet":
        """Raises `ConfigError` with every fault of form."""
        document = read(file, data, _AsWritten({}))
        if not document.faults:
            if not isinstance(document.value, dict):
                document.fault((), "this is not a mapping", "give a LiteLLM config.yaml")
            elif not isinstance(document.value.get("model_list"), list):
                document.fault(("model_list",), "this list is missing", "give a LiteLLM config.yaml")
        if document.faults:
            raise ConfigError(document.faults)
        return cls(document, Sketch(file))

    def section(self, *path: str | int) -> dict[str, Any]:
        """The mapping at `path`; an empty one, and a note, where something else is."""
        value: Any = self.document.value
        for part in path:
            value = value[part] if isinstance(part, int) else (value or {}).get(part)
        if value is None and isinstance(path[-1], str):
            return {}
        if not isinstance(value, dict):
            self.left(path, "this is not a mapping")
            return {}
        return value

    def place(self, path: Path) -> str:
        """Where `path` stands, for people."""
        return f"{self.document.file}:{self.document.line(path)}: {dotted(path)}"

    def left(self, path: Path, why: str) -> None:
        """Note that what stands there is not carried over."""
        self.sketch.left(self.place(path), why)

    def changed(self, path: Path, why: str) -> None:
        """Note that what stands there means a little else here."""
        self.sketch.changed(self.place(path), why)


def variable(value: Any) -> str | None:
    """The name that `os.environ/NAME` refers to, or None."""
    found = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
    return found[1] if found else None
