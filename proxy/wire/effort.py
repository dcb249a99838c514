"""How much work it is to hold a value to a JSON schema: an upper bound, found before the work is done.

`schema.py` asks, because schemas come from callers: a few lines of references that double at each step
would keep a validator busy for hours, and nothing can interrupt it. The bound is the sum over all pairs
of a subschema and the part of the value that it is applied to, each pair looked at once, so that finding
it is cheap. It validates nothing.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from proxy.wire.pattern import states

PAIRS_MAX = 20_000
"""Of subschemas and parts of a value. A long answer under a plain schema has some thousands."""
DEPTH_MAX = 160
"""Subschemas and parts one within another."""
HOLDER_STEPS = 10
"""To compare an object or a list, besides what is in it."""
PAIRWISE_MAX = 16
"""Items that must differ: up to so many are compared each with each, more are hashed and compared once."""
STATES_A_STEP = 8
"""Of a pattern, for each byte of a text. A step is 0.1 µs."""

_LISTS = ("allOf", "anyOf", "oneOf")
_ONES = ("not", "if", "then", "else")


class TooMuch(Exception):
    """It is more work than anybody gets."""


class Effort:
    """The bound for one value."""

    def __init__(self, references: Mapping[int, Any], most: int) -> None:
        self._references = references
        """What the references of a schema mean, by the identity of the schema that has one."""
        self._most = most
        self._known: dict[tuple[int, int], int | None] = {}
        """By the identities of schema and value; None while a pair is being looked at."""
        self._weights: dict[int, int] = {}
        """What each schema asks of any value, by its identity."""
        self._states: dict[str, int] = {}
        """By pattern."""

    def of(self, schema: Any, value: Any, depth: int = 0) -> int:
        """So many steps at most. Raises `TooMuch`."""
        if not isinstance(schema, dict):
            return 1
        pair = (id(schema), id(value))
        if pair in self._known:
            known = self._known[pair]
            if known is None:
                raise TooMuch  # a schema that leads back to itself at the same place
            return known
        if len(self._known) >= PAIRS_MAX or depth >= DEPTH_MAX:
            raise TooMuch
        self._known[pair] = None
        weight = self._weights.get(id(schema))
        if weight is None:
            weight = self._weights[id(schema)] = _weight(schema, self._most)
        total = weight + self._own(schema, value)
        self._hold(total)
        for inner, part in self._inner(schema, value):
            total += self.of(inner, part, depth + 1)
            self._hold(total)
        self._known[pair] = total
        return total

    def _hold(self, total: int) -> None:
        if total > self._most:
            raise TooMuch

    def _own(self, schema: dict[str, Any], value: Any) -> int:
        """What it asks of this value itself, by how long that is."""
        if isinstance(value, str) and "pattern" in schema:
            return self._matched([schema["pattern"]], [value])
        if isinstance(value, dict) and "patternProperties" in schema:
            return self._matched(schema["patternProperties"], value)
        if isinstance(value, list) and schema.get("uniqueItems"):
            size = _size(value, self._most)
            return 8 * len(value) + size * (len(value) if len(value) <= PAIRWISE_MAX else 2)
        return 0

    def _matched(self, patterns: Iterable[str], texts: Iterable[str]) -> int:
        """To hold texts to patterns: at each byte, and at the end, every state may be gone through."""
        return sum(map(self._states_of, patterns)) * sum(map(_places, texts)) // STATES_A_STEP

    def _states_of(self, pattern: str) -> int:
        many = self._states.get(pattern)
        if many is None:
            many = self._states[pattern] = states(pattern)
        return many

    def _inner(self, schema: dict[str, Any], value: Any) -> Iterator[tuple[Any, Any]]:
        """Every subschema that may be applied, with what it is applied to."""
        if id(schema) in self._references:
            yield self._references[id(schema)], value
        for name in _LISTS:
            for inner in schema.get(name, ()):
                yield inner, value
        for name in _ONES:
            if name in schema:
                yield schema[name], value
        if isinstance(value, dict):
            for inner in schema.get("dependentSchemas", {}).values():
                yield inner, value
            yield from _of_members(schema, value)
        elif isinstance(value, list):
            yield from _of_items(schema, value)


def _of_members(schema: dict[str, Any], value: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    named, rest = schema.get("properties", {}), schema.get("additionalProperties", True)
    patterns, names = schema.get("patternProperties", {}), schema.get("propertyNames")
    for name, part in value.items():
        yield named.get(name, rest), part
        for inner in patterns.values():
            yield inner, part
        if names is not None:
            yield names, name


def _of_items(schema: dict[str, Any], value: list[Any]) -> Iterator[tuple[Any, Any]]:
    first, rest = schema.get("prefixItems", ()), schema.get("items", True)
    contained = schema.get("contains")
    for number, part in enumerate(value):
        yield (first[number] if number < len(first) else rest), part
        if contained is not None:
            yield contained, part


def _weight(schema: dict[str, Any], most: int) -> int:
    """What a schema asks of any value: about a step for each comparison."""
    compared = ("enum", "const", "required", "dependentRequired")
    return 1 + len(schema) + sum(_size(schema[name], most) for name in compared if name in schema)


def _places(text: str) -> int:
    return 1 + (len(text) if text.isascii() else len(text.encode()))


def _size(value: Any, most: int) -> int:
    """About how many steps it takes to compare a value with another; those that hold others take more.

    What is more than `most` is not counted to its end.
    """
    total, level = 0, [value]
    while level and total <= most:
        below: list[Any] = []
        total += len(level)
        for each in level if total <= most else ():
            if isinstance(each, dict):
                below += each.values()
                total += HOLDER_STEPS + len(each)
            elif isinstance(each, list):
                below += each
                total += HOLDER_STEPS
            elif isinstance(each, str):
                total += len(each) // 64
        level = below
    return total
