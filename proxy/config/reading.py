"""From a file or the environment to what the program runs on: the one way in.

`serve`, `check` and every reload call `load`, a rehearsal `load_without_keys`; who needs nothing but the
ledger's place calls `load_ledger`. What is handed out was read, judged and built completely before, and all
faults come at once. It reads the file (and secret files it refers to) and nothing else; it never logs.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from proxy.config import build, environment, source
from proxy.config.checks import check_privacy, check_routes, check_settings, check_upstreams
from proxy.config.defaults import check_defaults
from proxy.config.expand import Expander, unread
from proxy.config.faults import ConfigError
from proxy.config.judge import judge
from proxy.config.later import refuse_later
from proxy.config.limits import check_limits, check_models, check_prices
from proxy.config.regular import Stamp, read_stamped
from proxy.config.settings import Settings
from proxy.config.source import Document
from proxy.config.whereabouts import ledger_in
from proxy.place import Place
from proxy.table import Table


class Loaded(Struct, frozen=True):
    """A configuration without a fault."""

    settings: Settings
    table: Table
    notices: tuple[str, ...]
    """Said once at start: upstreams that are off, routes that are simulated."""
    stamp: Stamp | None = None
    """What its file looked like when it was read; None: it came from no file."""


def load(path: Path | None, environ: Mapping[str, str]) -> Loaded:
    """The configuration in `path`, or in the environment alone. Raises `ConfigError`."""
    document = environment.describe(environ) if path is None else _read(path, Expander(environ))
    return _loaded(document, _settle_unset)


def parse(file: str, data: bytes, environ: Mapping[str, str]) -> Loaded:
    """The configuration in `data`, which is called `file` in messages. Raises `ConfigError`."""
    return _loaded(source.read(file, data, Expander(environ)), _settle_unset)


def load_without_keys(path: Path, environ: Mapping[str, str]) -> Loaded:
    """The configuration as if whatever its upstreams lack were set, so that all of them are on.

    For who calls none of them. No secret's file is read, and an empty variable is as good as none. Raises
    `ConfigError`.
    """
    known = {name: value for name, value in environ.items() if value}
    return _loaded(_read(path, Expander(known, unread)), _settle_all)


def load_ledger(path: Path | None, environ: Mapping[str, str]) -> Place:
    """Where the ledger lies by that configuration, faults elsewhere or not. Raises `ConfigError`."""
    return ledger_in(environment.describe(environ) if path is None else _read(path, Expander(environ)))


def _loaded(document: Document, settle: Callable[[Document], dict[str, str]]) -> Loaded:
    """The document, judged and built; `settle` says which upstreams are off for want of a variable."""
    if document.faults and document.value is None:
        raise ConfigError(document.faults)
    off = settle(document)
    refuse_later(document)
    draft = judge(document, off)
    check_settings(draft)
    check_upstreams(draft)
    check_privacy(draft)
    check_routes(draft)
    check_defaults(draft)
    check_prices(draft)
    check_models(draft)
    check_limits(draft)
    if document.faults:
        raise ConfigError(document.faults)
    table = build.table(draft)
    return Loaded(build.settings(draft), table, build.notices(draft, table), document.stamp)


def _read(path: Path, expander: Expander) -> Document:
    try:
        data, stamp = read_stamped(path, source.SIZE_MAX + 1)
    except (OSError, ValueError) as error:
        document = Document(str(path))
        reason = getattr(error, "strerror", None) or "not a path"
        document.fault((), f"the file cannot be read ({reason})", "give the path of a YAML file")
        return document
    document = source.read(str(path), data, expander)
    document.stamp = stamp
    return document


def _settle_unset(document: Document) -> dict[str, str]:
    """Upstreams that wait for a variable, with the reason; elsewhere an unset variable is a fault.

    The value that is missing gets a harmless stand-in, so that the rest of the upstream is judged.
    """
    off: dict[str, str] = {}
    for path, name in document.unset.items():
        if path[0] != "upstreams" or len(path) < 3:
            document.fault(path, f"the variable {name} is not set", f"set it, or write ${{{name}:-default}}")
            continue
        off.setdefault(str(path[1]), f"{name} is not set")
        _stand_in(document, path)
    return off


def _settle_all(document: Document) -> dict[str, str]:
    """No upstream waits for anything; nobody is told of alerts."""
    document.unset.pop(("alerts", "webhook"), None)
    _settle_unset(document)
    return {}


def _stand_in(document: Document, path: tuple[str | int, ...]) -> None:
    holder: Any = document.value
    for part in path[:-1]:
        holder = holder.get(part) if isinstance(holder, dict) else holder[part]
    if isinstance(holder, list):
        holder[int(path[-1])] = "unset"
    elif isinstance(holder, dict) and path[-1] == "base_url":
        holder["base_url"] = "http://unset.invalid"
    elif isinstance(holder, dict) and "headers" in path:
        holder[path[-1]] = "unset"
