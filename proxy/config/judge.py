"""A document judged by the grammar: the pieces, and a fault for each thing wrong.

pydantic finds the mistakes and `telling.py` says them; this file saves what is right beside them, so that
the pieces can be judged together all the same.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from proxy.config.abilities import ModelPart, PricePart
from proxy.config.draft import Draft
from proxy.config.faults import Path
from proxy.config.grammar import (
    AlertsPart,
    File,
    LimitPart,
    PrivacyPart,
    RoutePart,
    SettingsPart,
    UpstreamPart,
)
from proxy.config.source import Document
from proxy.config.telling import tell

P = TypeVar("P", bound=BaseModel)

_Wrong = defaultdict[Path, list[Path]]
"""Under each section and each piece of one, where in it something is wrong."""


_NOTHING: Mapping[str, Any] = {}
_UNNAMED: Mapping[str, Any] = {"model": "unnamed"}
"""What stands for the name of a route that has none, or a bad one, so that its targets are judged."""


def judge(document: Document, off: Mapping[str, str]) -> Draft:
    """The pieces that are well formed, or can be without what is wrong in them."""
    bad: _Wrong = defaultdict(list)
    try:
        File.model_validate(document.value)
    except ValidationError as error:
        for path in tell(document, File, error):
            for length in (1, 2):
                bad[path[:length]].append(path[length:])
    root = document.value if isinstance(document.value, dict) else {}
    upstreams = _entries(root.get("upstreams"))
    routes = dict(_pieces(RoutePart, root, "routes", bad, _UNNAMED))
    settings = _salvage(SettingsPart, root.get("settings") or {}, bad[("settings",)])
    alerts = _salvage(AlertsPart, root.get("alerts") or {}, bad[("alerts",)])
    privacy = _salvage(PrivacyPart, root.get("privacy") or {}, bad[("privacy",)])
    return Draft(
        document=document,
        settings=settings or SettingsPart(),
        upstreams={str(key): part for key, part in _pieces(UpstreamPart, root, "upstreams", bad)},
        routes={int(key): part for key, part in routes.items()},
        unnamed=frozenset(int(key) for key in routes if ("routes", key, "model") in document.faulted),
        limits={int(key): part for key, part in _pieces(LimitPart, root, "limits", bad)},
        alerts=alerts or AlertsPart(),
        privacy=privacy or PrivacyPart(),
        prices={str(key): part for key, part in _pieces(PricePart, root, "prices", bad)},
        models={str(key): part for key, part in _pieces(ModelPart, root, "models", bad)},
        declared=frozenset(map(str, upstreams)),
        all_prices=not bad[("prices",)],
        off=dict(off),
    )


def _pieces(
    model: type[P],
    root: Mapping[str, Any],
    section: str,
    bad: _Wrong,
    stand_ins: Mapping[str, Any] = _NOTHING,
) -> Iterator[tuple[str | int, P]]:
    """The pieces of a section, by key or position, but for those past saving."""
    if () in bad[(section,)]:
        return
    for key, item in _entries(root.get(section)).items():
        part = _salvage(model, item, bad[(section, key)], stand_ins)
        if part is not None:
            yield key, part


def _salvage(
    model: type[P], item: Any, wrong: list[Path], stand_ins: Mapping[str, Any] = _NOTHING
) -> P | None:
    """The piece without its bad values, so that what is wrong in it does not hide what else is."""
    if wrong:
        item = deepcopy(item)
    for path in wrong:
        _cut(item, path)
    if wrong and isinstance(item, dict):
        item = {**stand_ins, **item}
    try:
        return model.model_validate(item)
    except ValidationError:
        return None


def _cut(holder: Any, path: Path) -> None:
    """Take out the key nearest above `path`; a list goes as a whole, so that positions stay."""
    cuts: list[tuple[dict[str, Any], str]] = []
    for part in path:
        if isinstance(holder, dict) and part in holder:
            cuts.append((holder, str(part)))
            holder = holder[str(part)]
        else:
            break
    if cuts:
        mapping, key = cuts[-1]
        del mapping[key]


def _entries(section: Any) -> dict[str | int, Any]:
    """The pieces of a mapping or list, by key or position."""
    if isinstance(section, dict):
        return dict(section)
    return dict(enumerate(section)) if isinstance(section, list) else {}
