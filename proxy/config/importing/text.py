"""A sketch as the YAML that people will live in, and which piece of it stands on which line.

Used by `proof.py`. Words that could be read as something else are quoted, and a `${` that came from
outside is written so that it stays itself: only `Sketch.reference` makes references.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from proxy.config.importing.sketch import Fate, RowSketch, Sketch, shown
from proxy.config.source import as_meant

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9._/+-]*(?::[A-Za-z0-9._/+-]+)*|[0-9]+(?:\.[0-9]+)?(?:ms|[smhd])")
_WORDS = frozenset({"yes", "no", "on", "off", "y", "n", "true", "false", "null"})
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-[A-Za-z0-9._:/-]*)?\}")

WIDTH = 108


class Piece(Struct, frozen=True):
    """What would be taken out of the sketch if the grammar refused it."""

    section: str
    """`upstreams`, `routes`, `targets`, `limits`, `prices`, `models`, or a section of one piece."""
    key: str | int
    """Its name or position there."""
    target: str = ""
    """With `targets`, whose key is the route: which one."""


Line = tuple[str, Piece | None]


def write(sketch: Sketch) -> list[Line]:
    """The lines of the file."""
    body = list(_body(sketch))
    return [*_head(sketch, reads(body)), *body]


def reads(lines: list[Line]) -> tuple[str, ...]:
    """The variables that a file of these lines refers to."""
    return tuple(sorted({found[1] for line, _ in lines for found in _REFERENCE.finditer(line)}))


def _head(sketch: Sketch, variables: tuple[str, ...]) -> Iterator[Line]:
    yield from _comment(f"Made by `fallthrough import` from {sketch.source}. Read it before you use it;", "")
    yield "# `fallthrough check FILE` says what will be in force.", None
    by_fate = {fate: [note for note in sketch.notes if note.fate is fate] for fate in Fate}
    for fate, title in (
        (Fate.LEFT, "Not carried over:"),
        (Fate.CHANGED, "Carried over, but not quite the same:"),
        (Fate.SET, "To be done before it runs:"),
    ):
        if by_fate[fate]:
            yield "#", None
            yield f"# {title}", None
        for note in by_fate[fate]:
            yield from _comment(f"{note.place}: {note.why}", "  ")
    if variables:
        yield "#", None
        yield from _comment("Variables it reads: " + ", ".join(variables), "")


def _comment(text: str, indent: str) -> Iterator[Line]:
    """`text` over as many comment lines as it needs; it holds no line break."""
    line = f"#{indent} -" if indent else "#"
    for word in text.split(" "):
        if len(line) + len(word) > WIDTH:
            yield line, None
            line = f"#{indent}  " if indent else "#"
        line += f" {word}"
    yield line, None


def _body(sketch: Sketch) -> Iterator[Line]:
    yield from _mapping("settings", sketch.settings)
    yield "", None
    yield "upstreams:", None
    for each in sketch.upstreams.values():
        piece = Piece("upstreams", each.name)
        yield f"  {scalar(each.name)}:{_came(each.place)}", piece
        for key, value in each.members.items():
            yield f"    {key}: {flow(value) if isinstance(value, dict | list) else scalar(value)}", piece
    yield "", None
    yield "routes:", None
    for route in sketch.routes.values():
        piece = Piece("routes", route.model)
        yield f"  - model: {scalar(route.model)}{_came(route.place)}", piece
        yield "    targets:", piece
        for target in route.targets:
            yield f"      - {scalar(target)}", Piece("targets", route.model, target)
        for key, value in route.members.items():
            yield f"    {key}: {flow(value) if isinstance(value, dict | list) else scalar(value)}", piece
    if sketch.limits:
        yield "", None
        yield "limits:", None
    for at, limit in enumerate(sketch.limits):
        yield f"  - {flow(limit.members)}{_came(limit.place)}", Piece("limits", at)
    yield from _mapping("alerts", sketch.alerts)
    yield from _mapping("privacy", sketch.privacy)
    yield from _rows("prices", sketch.prices)
    yield from _rows("models", sketch.models)


def _mapping(section: str, members: Mapping[str, Any]) -> Iterator[Line]:
    if members:
        yield "", None
        yield f"{section}:", None
    for key, value in members.items():
        yield (
            f"  {key}: {flow(value) if isinstance(value, dict | list) else scalar(value)}",
            Piece(section, key),
        )


def _rows(section: str, rows: Mapping[str, RowSketch]) -> Iterator[Line]:
    if rows:
        yield "", None
        yield f"{section}:", None
    for key, row in rows.items():
        yield f"  {scalar(key)}: {flow(row.members)}{_came(row.place)}", Piece(section, key)


def _came(place: str) -> str:
    return f"  # {shown(place)}" if place else ""


def flow(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(key)}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow, value)) + "]"
    return scalar(value, inside=True)


def _key(key: str) -> str:
    """A key; never a reference, for the file knows none there."""
    return key if _is_plain(key) else json.dumps(key)


def scalar(value: Any, *, inside: bool = False) -> str:
    """A word, number or truth as YAML; `inside` a mapping or list on one line, references want quotes."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value:_}" if value >= 10_000 else str(value)
    if isinstance(value, float):
        return repr(value)
    if _REFERENCE.fullmatch(value) and not inside:
        return str(value)
    return value if _is_plain(value) else json.dumps(value)


def _is_plain(text: str) -> bool:
    """Whether bare `text` is read as itself."""
    bare = _PLAIN.fullmatch(text) is not None and text.lower() not in _WORDS
    return bare and as_meant(text) == text


def literal(text: str) -> str:
    """`text` from outside, so that no reference in it is one here."""
    return text.replace("${", "$${")
