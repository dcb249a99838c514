"""What the keys of a grammar mean, as its models say it: the text below each field.

`schema.py` and `telling.py` ask. It is read off the models' source when somebody wants to know, so that a
start, which hardly ever does, need not read the source of its own grammar. Where there is no source, or
another version's, whoever asks goes without the texts: a fault in a table has to be told all the same.
"""

import ast
import inspect
from collections.abc import Mapping
from itertools import pairwise
from textwrap import dedent

from pydantic import BaseModel


def meanings(model: type[BaseModel]) -> Mapping[str, str]:
    """Key → its text, of the model and of those that it is made of; a key without one is not there."""
    texts: dict[str, str] = {}
    for made_of in reversed(model.__mro__):
        if issubclass(made_of, BaseModel) and made_of is not BaseModel:
            texts |= _written(made_of)
    keys = {name: field.alias or name for name, field in model.model_fields.items()}
    return {keys[name]: text for name, text in texts.items() if name in keys}


def _written(model: type[BaseModel]) -> dict[str, str]:
    """Field → its text, of one class; nothing if its source is not to be had."""
    try:
        tree = ast.parse(dedent(inspect.getsource(model)))
    except (OSError, SyntaxError):
        return {}
    body = [line for node in tree.body if isinstance(node, ast.ClassDef) for line in node.body]
    return {
        field.target.id: inspect.cleandoc(text.value.value)
        for field, text in pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
        if isinstance(text.value.value, str)
    }
