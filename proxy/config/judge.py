"""A document judged by the grammar: the pieces, and a fault for each thing wrong.

pydantic finds the mistakes; this file says them as people do, with the line, what was seen and what
to write. It never lets pydantic's own text out, because that quotes values that may be secret.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from proxy.config.abilities import ModelPart, PricePart
from proxy.config.draft import Draft
from proxy.config.faults import Path, plain, suggest
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

P = TypeVar("P", bound=BaseModel)

_Wrong = defaultdict[Path, list[Path]]
"""Under each section and each piece of one, where in it something is wrong."""

_FORMS: Mapping[str, tuple[str, str]] = {
    "string_type": ("not text", "write text, in quotes if it looks like a number"),
    "string_pattern_mismatch": ("not a name", "write letters, digits and . _ : / @ + - (no spaces)"),
    "string_too_long": ("too long", "shorten it"),
    "string_too_short": ("nothing", "write a value, or leave the key out"),
    "int_type": ("not a whole number", "write digits, such as 50_000"),
    "int_parsing": ("not a whole number", "write digits, such as 50_000"),
    "int_from_float": ("not a whole number", "write digits, such as 50_000"),
    "float_type": ("not a number", "write a number, such as 1.5"),
    "float_parsing": ("not a number", "write a number, such as 1.5"),
    "bool_type": ("not a yes or no", "write true or false"),
    "bool_parsing": ("not a yes or no", "write true or false"),
    "dict_type": ("not a mapping", "write `key: value` pairs, indented below it"),
    "model_type": ("not a mapping", "write `key: value` pairs, indented below it"),
    "list_type": ("not a list", "write items with `- ` before each, or [a, b]"),
}
_BOUNDS: Mapping[str, tuple[str, str]] = {
    "greater_than": ("too small", "write more than {gt}"),
    "greater_than_equal": ("too small", "write {ge} or more"),
    "less_than_equal": ("too large", "write {le} or less"),
    "too_short": ("nothing in it", "write at least {min_length}"),
    "too_long": ("too many", "keep to {max_length}"),
}


def judge(document: Document, off: Mapping[str, str]) -> Draft:
    """The pieces that are well formed, or can be without what is wrong in them."""
    bad: _Wrong = defaultdict(list)
    try:
        File.model_validate(document.value)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            path = tuple(part for part in detail["loc"] if part != "[key]")
            for length in (1, 2):
                bad[path[:length]].append(path[length:])
            if path not in document.faulted:
                _note(document, path, detail)
    root = document.value if isinstance(document.value, dict) else {}
    upstreams = _entries(root.get("upstreams"))
    settings = _salvage(SettingsPart, root.get("settings") or {}, bad[("settings",)])
    alerts = _salvage(AlertsPart, root.get("alerts") or {}, bad[("alerts",)])
    privacy = _salvage(PrivacyPart, root.get("privacy") or {}, bad[("privacy",)])
    return Draft(
        document=document,
        settings=settings or SettingsPart(),
        upstreams={str(key): part for key, part in _pieces(UpstreamPart, root, "upstreams", bad)},
        routes={int(key): part for key, part in _pieces(RoutePart, root, "routes", bad)},
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
    model: type[P], root: Mapping[str, Any], section: str, bad: _Wrong
) -> Iterator[tuple[str | int, P]]:
    """The pieces of a section, by key or position, but for those past saving."""
    if () in bad[(section,)]:
        return
    for key, item in _entries(root.get(section)).items():
        part = _salvage(model, item, bad[(section, key)])
        if part is not None:
            yield key, part


def _salvage(model: type[P], item: Any, wrong: list[Path]) -> P | None:
    """The piece without its bad values, so that what is wrong in it does not hide what else is."""
    if wrong:
        item = deepcopy(item)
    for path in wrong:
        _cut(item, path)
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


def _note(document: Document, path: Path, detail: ErrorDetails) -> None:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        document.fault(path, "unknown key", suggest(str(path[-1]), _siblings(path)))
    elif kind == "missing":
        document.fault(path, "this key is missing", _required(path))
    else:
        problem, remedy = _say(kind, context, detail["input"])
        shown = document.seen(path, detail["input"])
        document.fault(path, f"{problem} (was {shown})", remedy)


def _say(kind: str, context: Mapping[str, Any], value: Any) -> tuple[str, str]:
    if kind == "wrong":
        return context["problem"], context["remedy"]
    if kind in {"literal_error", "enum"}:
        words = str(context["expected"]).replace("'", "").replace(" or ", ", ").split(", ")
        return "not one of the words known here", suggest(str(value), [word or '""' for word in words])
    if kind in _BOUNDS:
        problem, remedy = _BOUNDS[kind]
        return problem, remedy.format_map(context)
    return _FORMS.get(kind, ("not as it should be", "see docs/config.md for what this key takes"))


def _required(path: Path) -> str:
    holder = _siblings(path).get(str(path[-1]))
    meaning = (holder.description if holder is not None else None) or "a value"
    return f"write `{plain(str(path[-1]))}: …` ({meaning.rstrip('.')})"


def _siblings(path: Path) -> Mapping[str, Any]:
    """The keys that the grammar knows where `path` ends."""
    model: type[BaseModel] = File
    parts = iter(path[:-1])
    for part in parts:
        field = model.model_fields.get(str(part))
        inner = _model_in(field.annotation) if field is not None else None
        if field is None or inner is None:
            continue
        model = inner
        if get_origin(field.annotation) in {dict, list}:
            next(parts, None)
    return model.model_fields


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model somewhere inside a field's type, such as a list or mapping of it."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in get_args(annotation):
        found = _model_in(argument)
        if found is not None:
            return found
    return None
