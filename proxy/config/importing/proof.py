"""Nothing leaves the importers that `fallthrough check` would refuse.

The sketch is written down and judged by the parser that will read it. Every piece that has a fault is
taken out, with the fault told as the reason, until what is left has none. The grammar stays the one
place that knows what a table may say. Variables stand for harmless values meanwhile.
"""

from proxy.config.faults import ConfigError, Fault
from proxy.config.importing.sketch import Imported, Sketch
from proxy.config.importing.text import Line, Piece, reads, write
from proxy.config.reading import parse

FILE = "the table"


class NothingToImport(Exception):
    """No table comes of what was read; the message says why, and holds no secret."""


def finish(sketch: Sketch) -> Imported:
    """The table in `sketch`, without what no table may say. Raises `NothingToImport`."""
    while True:
        _tidy(sketch)
        if not sketch.routes:
            notes = "".join(f"\n{note}" for note in sketch.notes)
            raise NothingToImport(f"{sketch.source} names no model that could be carried over{notes}")
        lines = write(sketch)
        faults = _faults(lines, sketch)
        if not faults:
            text = "\n".join(line for line, _ in lines) + "\n"
            return Imported(text, tuple(sketch.notes), reads(lines))
        for piece, fault in faults.items():
            _take_out(sketch, piece, fault)


def _faults(lines: list[Line], sketch: Sketch) -> dict[Piece, Fault]:
    """The first fault of each piece that has one."""
    data = "\n".join(line for line, _ in lines).encode("utf-8", "surrogatepass")
    try:
        parse(FILE, data, sketch.variables)
    except ConfigError as error:
        found: dict[Piece, Fault] = {}
        for fault in error.faults:
            piece = lines[fault.line - 1][1] if 0 < fault.line <= len(lines) else None
            if piece is None:
                raise NothingToImport(f"what {sketch.source} says makes no table: {fault}") from error
            found.setdefault(piece, fault)
        return found
    return {}


def _take_out(sketch: Sketch, piece: Piece, fault: Fault) -> None:
    """Without the piece; the note says why."""
    why = f"{fault.problem}; {fault.remedy}"
    match piece.section:
        case "limits":
            row = sketch.limits[int(piece.key)]
            sketch.gone(row.place, why)
            row.members.clear()  # its neighbours keep their positions until all are judged
        case "targets":
            route = sketch.routes[str(piece.key)]
            sketch.left(route.place, why)
            route.targets = [target for target in route.targets if target != piece.target]
        case "upstreams" | "routes" | "prices" | "models":
            section = getattr(sketch, piece.section)
            sketch.gone(section.pop(str(piece.key)).place, why)
        case _:
            getattr(sketch, piece.section).pop(str(piece.key))
            name = f"{piece.section}.{piece.key}"
            sketch.gone(sketch.places.get(name, name), why)


def _tidy(sketch: Sketch) -> None:
    """Without limits that were emptied, targets of upstreams that are gone, and routes with none."""
    sketch.limits = [limit for limit in sketch.limits if limit.members]
    for route in list(sketch.routes.values()):
        route.targets = [one for one in route.targets if one.partition("/")[0] in sketch.upstreams]
        if not route.targets:
            sketch.left(route.place, f"no target is left for the route {route.model}")
            del sketch.routes[route.model]
