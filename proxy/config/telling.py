"""Mistakes that pydantic finds, said as people do: with the line, what was seen and what to write.

For every grammar of a file: `judge.py` has the table's, `proxy/rehearsal` that of its scripts. It never
lets pydantic's own text out, because that quotes values that may be secret.
"""

from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from proxy.config import forms
from proxy.config.faults import Path, kind_of, plain, suggest
from proxy.config.meanings import meanings
from proxy.config.source import Document

_FORMS: Mapping[str, tuple[str, str]] = {
    "string_type": ("not text", "write text, in quotes if it looks like a number"),
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
_LETTERS: Mapping[str, str] = {
    forms.NAME: "write letters, digits and . _ : / @ + - (no spaces)",
    forms.UPSTREAM_NAME: "write letters, digits and . _ : @ + - (no / and no spaces; 64 at most)",
    forms.MODEL_GLOB: "write letters, digits and . _ : / @ + - * ? (no spaces)",
    forms.HEADER_NAME: "write letters, digits and -",
    forms.MEMBER: "write letters, digits and . _ -",
    forms.PSEUDONYM: "write the pseudonym that the ledger has for this person, forty of 0-9 and a-f",
}
"""What names of each pattern are made of."""
_BOUNDS: Mapping[str, tuple[str, str]] = {
    "greater_than": ("too small", "write more than {gt}"),
    "greater_than_equal": ("too small", "write {ge} or more"),
    "less_than_equal": ("too large", "write {le} or less"),
    "too_short": ("nothing in it", "write at least {min_length}"),
    "too_long": ("too many", "keep to {max_length}"),
}


def tell(document: Document, root: type[BaseModel], error: ValidationError) -> Iterator[Path]:
    """Note a fault for each mistake that `root` found in the document; yields where each is."""
    for detail in error.errors(include_url=False):
        path = tuple(part for part in detail["loc"] if part != "[key]")
        if path not in document.faulted:
            _note(document, root, path, detail)
        yield path


def _note(document: Document, root: type[BaseModel], path: Path, detail: ErrorDetails) -> None:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        document.fault(path, "unknown key", suggest(str(path[-1]), _siblings(root, path)))
    elif kind == "missing":
        document.fault(path, "this key is missing", _required(root, path))
    else:
        problem, remedy = _say(kind, context, detail["input"])
        in_place_of_more = kind in {"dict_type", "model_type"}
        shown = kind_of(detail["input"]) if in_place_of_more else document.seen(path, detail["input"])
        document.fault(path, f"{problem} (was {shown})", remedy)


def _say(kind: str, context: Mapping[str, Any], value: Any) -> tuple[str, str]:
    if kind == "wrong":
        return context["problem"], context["remedy"]
    if kind in {"literal_error", "enum"}:
        words = str(context["expected"]).replace("'", "").replace(" or ", ", ").split(", ")
        return "not one of the words known here", suggest(str(value), [word or '""' for word in words])
    if kind == "string_pattern_mismatch":
        return "not a name", _LETTERS.get(context["pattern"], "write letters and digits")
    if kind == "value_error":
        return str(context["error"]), "change one of them"
    if kind in _BOUNDS:
        problem, remedy = _BOUNDS[kind]
        return problem, remedy.format_map(context)
    return _FORMS.get(kind, ("not as it should be", "see docs/config.md for what this key takes"))


def _required(root: type[BaseModel], path: Path) -> str:
    key = str(path[-1])
    meaning = meanings(_around(root, path)).get(key, "a value")
    return f"write `{plain(key)}: …` ({meaning.rstrip('.')})"


def _siblings(root: type[BaseModel], path: Path) -> Mapping[str, Any]:
    """The keys that the grammar knows where `path` ends."""
    return {field.alias or name: field for name, field in _around(root, path).model_fields.items()}


def _around(root: type[BaseModel], path: Path) -> type[BaseModel]:
    """The model of the mapping in which `path` ends."""
    model = root
    parts = iter(path[:-1])
    for part in parts:
        field = model.model_fields.get(str(part))
        inner = _model_in(field.annotation) if field is not None else None
        if field is None or inner is None:
            continue
        model = inner
        if get_origin(field.annotation) in {dict, list}:
            next(parts, None)
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model somewhere inside a field's type, such as a list or mapping of it."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in get_args(annotation):
        found = _model_in(argument)
        if found is not None:
            return found
    return None
