"""Schemas in Gemini's words: what stands beside a reference or in an `allOf`, and what is told instead."""

import pytest

from proxy.wire.gemini.schema import fit

REF = {"$ref": "#/$defs/P"}
SHUT = {"additionalProperties": False}
TWO = [{"type": "integer"}, {"type": "null"}]


@pytest.mark.parametrize(
    ("schema", "fitted", "without"),
    [
        (REF, REF, []),
        ({**REF, "default": 1}, REF, []),
        ({**REF, "description": "A"}, {"anyOf": [REF], "description": "A"}, []),
        (
            {**REF, "anyOf": TWO, "description": "A"},
            {"anyOf": [REF], "description": 'A (anyOf: [{"type":"integer"},{"type":"null"}])'},
            ["anyOf"],
        ),
        (
            {**REF, "pattern": "b", "minLength": 1},
            {"anyOf": [REF], "description": '(pattern: "b"; minLength: 1)'},
            ["pattern", "minLength"],
        ),
        ({"type": "object", "allOf": [REF]}, {"type": "object", "anyOf": [REF]}, []),
        ({"properties": {}, "allOf": [SHUT]}, {"properties": {}, "anyOf": [SHUT]}, []),
        (
            {"anyOf": TWO, "allOf": [SHUT]},
            {"anyOf": TWO, "description": '(allOf: [{"additionalProperties":false}])'},
            ["allOf"],
        ),
    ],
)
def test_what_stands_beside_a_reference_or_in_an_all_of_is_kept_or_told(schema, fitted, without):
    lost = []
    assert fit(schema, lost) == fitted
    assert lost == without
