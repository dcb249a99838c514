"""The grammar's promises that this version does not keep yet: one list.

A key or value found here is refused as *not yet supported*, never ignored. When a feature lands,
its line leaves this list and its key enters `grammar.py`, in the same commit.
"""

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from proxy.config.faults import Path
from proxy.config.source import Document


class Later(Struct, frozen=True):
    """A key, or some of its values, whose feature does not exist yet."""

    path: str
    """Dots between keys; `*` stands for any key or list position."""
    words: tuple[str, ...]
    """The values that are refused: `ANY`, `FILLED`, or words."""
    remedy: str

    def refuses(self, value: Any) -> bool:
        """Whether `value` is one of them."""
        if self.words == ANY:
            return True
        if self.words == FILLED:
            return value not in (None, "", {}, [])
        return str(value).lower() in self.words


ANY = ("any value",)
FILLED = ("any value but an empty one",)
LEAVE_OUT = "leave it out"

LATER: tuple[Later, ...] = (
    Later("settings.auth", ("jwt",), "write keys"),
    Later("upstreams.*.limits", ANY, "write it under limits, with `upstream: NAME`"),
    Later("routes.*.when", ANY, LEAVE_OUT),
    Later("routes.*.order", ("weighted", "cheapest", "fastest", "least_busy"), "write priority"),
    Later("routes.*.pass_unknown", ANY, LEAVE_OUT),
    Later("routes.*.cache", ANY, LEAVE_OUT),
    Later("routes.*.targets.*.weight", ANY, "put the targets in order of preference"),
    Later("routes.*.targets.*.last_resort", ANY, "put this target last"),
    Later("limits.*.every", ("second",), "write minute, hour, day, week or month"),
)


def refuse_later(document: Document) -> None:
    """Note a fault for each promise not kept yet, and take it out, so that it is blamed once."""
    for later in LATER:
        for holder, path in _places(document.value, later.path.split("."), ()):
            key = str(path[-1])
            value = holder[key]
            if not later.refuses(value):
                continue
            shown = document.seen(path, value)
            what = "this key is" if later.words in {ANY, FILLED} else f"`{shown}` is"
            document.fault(path, f"{what} not yet supported", later.remedy)
            del holder[key]


def _places(value: Any, parts: list[str], path: Path) -> Iterator[tuple[dict[str, Any], Path]]:
    """Each mapping that holds the key at the end of `parts`, with the whole path."""
    part, rest = parts[0], parts[1:]
    if isinstance(value, dict):
        keys = list(value) if part == "*" else [part] if part in value else []
        for key in keys:
            if rest:
                yield from _places(value[key], rest, (*path, key))
            else:
                yield value, (*path, key)
    elif isinstance(value, list) and part == "*" and rest:
        for index, item in enumerate(value):
            yield from _places(item, rest, (*path, index))
