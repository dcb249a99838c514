"""Schemas tightened: what moves into words, what is refused, what is never touched."""

import copy

import pytest

from proxy.wire.anthropic.schema import Load, Untightened, tighten

STR = {"type": "string"}
SHUT = {"additionalProperties": False}
APART = {"properties": {"a": STR}, "allOf": [{**SHUT, "type": "object"}], **SHUT}


def obj(**properties):
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    ("given", "tight"),
    [
        ({"type": "integer", "maximum": 9}, {"type": "integer", "description": "{maximum: 9}"}),
        (
            {"type": "string", "description": "A code", "minLength": 2, "maxLength": 3},
            {"type": "string", "description": "A code\n\n{minLength: 2, maxLength: 3}"},
        ),
        ({"type": "string", "format": "email"}, {"type": "string", "format": "email"}),
        ({"type": "string", "format": "phone"}, {"type": "string", "description": '{format: "phone"}'}),
        ({"type": "string", "pattern": "^[a-z]+$"}, {"type": "string", "pattern": "^[a-z]+$"}),
        ({"type": "string", "pattern": "(?=x)"}, {"type": "string", "description": '{pattern: "(?=x)"}'}),
        ({"type": "array", "items": STR, "minItems": 1}, {"type": "array", "items": STR, "minItems": 1}),
        (
            {"type": "array", "items": STR, "minItems": 2},
            {"type": "array", "items": STR, "description": "{minItems: 2}"},
        ),
        ({"oneOf": [STR, {"type": "null"}]}, {"anyOf": [STR, {"type": "null"}]}),
        ({"$schema": "x", "enum": ["a", 1, None]}, {"enum": ["a", 1, None]}),
        ({"enum": [{"a": 1}]}, {"description": '{enum: [{"a":1}]}'}),
        ({"properties": {"a": STR}}, {"properties": {"a": STR}, "additionalProperties": False}),
        (
            {"type": "object", "additionalProperties": False},
            {"type": "object", "additionalProperties": False},
        ),
        (
            {"$defs": {"s": STR}, **obj(a={"$ref": "#/$defs/s"})},
            {"$defs": {"s": STR}, **obj(a={"$ref": "#/$defs/s"})},
        ),
        (
            {"$defs": {"s": STR}, **obj(a={"allOf": [{"$ref": "#/$defs/s"}], "description": "A"})},
            {"$defs": {"s": STR}, **obj(a={"$ref": "#/$defs/s", "description": "A"})},
        ),
        ({"allOf": [{**STR, "title": "S"}], "title": "T"}, {**STR, "title": "T"}),
        ({"$schema": "x", "allOf": [obj(a=STR)]}, obj(a=STR)),
        ({"properties": {"a": STR}, "allOf": [{**SHUT, "type": "object"}]}, APART),
        ({"anyOf": [STR], "additionalProperties": False}, {"anyOf": [STR]}),
    ],
)
def test_what_cannot_be_enforced_is_said(given, tight):
    before = copy.deepcopy(given)
    assert tighten(given, Load()) == tight
    assert given == before
    assert tighten(tight, Load()) == tight


@pytest.mark.parametrize(
    "given",
    [
        {"type": "object"},
        {"type": "object", "properties": {"a": STR}, "additionalProperties": True},
        {"type": "object", "additionalProperties": STR},
        {"type": "object", "properties": {"a": STR}, "patternProperties": {"x": STR}},
        {"allOf": [{"$ref": "#/$defs/s"}, {"minLength": 1}], "$defs": {"s": STR}},
        {"allOf": [{"$ref": "#/$defs/s"}], "$ref": "#/$defs/t", "$defs": {"s": STR, "t": STR}},
        {"allOf": [{"$ref": "#/$defs/s"}], "$defs": {"s": obj(a=STR)}, **obj(z=STR)},
        {"properties": {"a": STR}, "allOf": [SHUT]},
        {"properties": {"a": STR}, "allOf": [{"additionalProperties": STR}]},
        {"type": "object", "properties": {"a": STR}, "additionalProperties": {}},
        {"anyOf": []},
        {"$ref": "https://example.org/schema"},
        {"type": "object", "properties": {"next": {"$ref": "#"}}},
        {"$defs": {"a": {"items": {"$ref": "#/$defs/b"}}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
        {"properties": {"a": True}},
        {"properties": []},
        {"items": [STR]},
        True,
    ],
)
def test_what_would_change_the_meaning_is_refused(given):
    with pytest.raises(Untightened):
        tighten(given, Load())


def test_depth_is_bounded():
    schema = STR
    for _ in range(60):
        schema = {"type": "array", "items": schema}
    with pytest.raises(Untightened):
        tighten(schema, Load())


def test_the_weight_of_a_schema_is_counted():
    load = Load()
    tighten(
        {"type": "object", "properties": {"a": STR, "b": {"type": ["string", "null"]}}, "required": ["a"]},
        load,
    )
    assert (load.optional, load.unions) == (1, 1)
    assert load.bearable
    assert not Load(strict_tools=21).bearable
    assert not Load(optional=25).bearable
    assert not Load(unions=17).bearable
