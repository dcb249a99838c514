"""An `allOf` of one: when it is that one, and when what stands beside it must stay apart."""

import pytest

from proxy.wire.flat_schema import flat

REF = {"$ref": "#/$defs/P"}
PLAIN = {"properties": {"a": {"type": "string"}}}
SHUT = {"additionalProperties": False}
LIST = {"items": {"type": "string"}}


@pytest.mark.parametrize("inner", [REF, {**PLAIN, **SHUT}, LIST])
def test_words_that_ask_nothing_stand_beside_anything(inner):
    aside = {"description": "A", "title": "T", "default": None, "$defs": {"P": {}}, "$schema": "x"}
    assert flat({"allOf": [inner], **aside}) == {**inner, **aside}


@pytest.mark.parametrize("beside", [{"type": "object"}, {"type": "object", **PLAIN, **SHUT}])
def test_a_reference_stays_apart_from_what_asks_something(beside):
    schema = {**beside, "allOf": [REF]}
    assert flat(schema) is schema


@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        (PLAIN, SHUT),
        (SHUT, PLAIN),
        (LIST, {"prefixItems": [{}]}),
        ({"prefixItems": [{}]}, LIST),
        (REF, PLAIN),
    ],
)
def test_a_word_that_minds_its_neighbours_keeps_the_ones_it_has(outer, inner):
    schema = {**outer, "allOf": [inner]}
    assert flat(schema) is schema


def test_words_that_mind_nobody_come_together():
    assert flat({"type": "object", "allOf": [PLAIN]}) == {"type": "object", **PLAIN}
    both = {"type": "object", "allOf": [{"type": "object"}]}
    assert flat(both) is both
