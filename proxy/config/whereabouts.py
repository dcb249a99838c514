"""Where the ledger lies by a document, whatever else in it is wrong.

For who works on keys or rows beside a running proxy and needs nothing of the table: an edit that the proxy
refused, or a shell that has no vendor's variable, must not keep an operator from revoking a key. Called by
`load_ledger` alone. Only what makes the place itself doubtful is a fault here: a guess would be worse.
"""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ValidationError

from proxy.config.faults import LEDGER, ConfigError, Fault, dotted, nearest
from proxy.config.grammar import File, SettingsPart
from proxy.config.source import Document
from proxy.config.telling import tell
from proxy.place import Place

SETTINGS = LEDGER[:1]


class _Alone(BaseModel):
    """A file of which only the settings count."""

    settings: SettingsPart = SettingsPart()


def ledger_in(document: Document) -> Place:
    """The ledger that the document names, or the default. Raises `ConfigError`."""
    if document.faults and document.value is None:  # it could not be read to its end
        raise ConfigError(document.faults)
    told = tuple(_told(document))
    alone = Document(
        document.file,
        _without_the_rest(document.value),
        lines=document.lines,
        written=document.written,
        names=document.names,
        faulted=document.faulted,
    )
    for path, name in document.unset.items():
        if path in (SETTINGS, LEDGER):
            alone.fault(path, f"the variable {name} is not set", f"set it, or write ${{{name}:-default}}")
    try:
        settings = _Alone.model_validate(alone.value).settings
    except ValidationError as error:
        list(tell(alone, _Alone, error))
        raise ConfigError((*told, *alone.faults)) from None
    _refuse_misplaced(alone)
    if told or alone.faults:
        raise ConfigError((*told, *alone.faults))
    return settings.ledger


def _told(document: Document) -> Iterator[Fault]:
    """What was wrong with the place already when it was read."""
    places = {dotted(SETTINGS), dotted(LEDGER)}
    return (fault for fault in document.faults if fault.path in places)


def _without_the_rest(root: Any) -> Any:
    """The document without those settings that do not say where the ledger is, nor could be meant to."""
    if not isinstance(root, dict) or not isinstance(root.get("settings"), dict):
        return root
    settings = root["settings"]
    others = (settings if "ledger" in settings else SettingsPart.model_fields).keys() - {"ledger"}
    return root | {"settings": {key: item for key, item in settings.items() if key not in others}}


def _refuse_misplaced(document: Document) -> None:
    """A file that names the ledger where nobody looks for it would seem to mean the default place."""
    root: dict[str, Any] = document.value
    if "ledger" in (root.get("settings") or {}):
        return
    for key in root.keys() - File.model_fields.keys():
        if "settings" not in root and nearest(key, File.model_fields) == "settings":
            document.fault((key,), "unknown key", "did you mean `settings`?")
        elif nearest(key, ("ledger",)) or (isinstance(root[key], dict) and "ledger" in root[key]):
            document.fault((key,), "unknown key", "write `ledger` under `settings`")
