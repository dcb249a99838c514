"""Whole answers held to their caller's JSON schema; and schemas that mean harm."""

import json
import random

import pytest

from proxy.errors import CallerFault
from proxy.wire.effort import Effort
from proxy.wire.schema import PLACE, STEPS_MAX, schema_of

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "pattern": "^[A-Z]"}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def wanted(schema):
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "form", "schema": schema}}}


def answered(*contents, **message):
    choices = [
        {
            "index": at,
            "message": {"role": "assistant", "content": content, **message},
            "finish_reason": "stop",
        }
        for at, content in enumerate(contents)
    ]
    return json.dumps({"choices": choices}).encode()


def fault(schema, content, **message):
    return schema_of(wanted(schema)).fault(answered(content, **message))


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"response_format": None},
        {"response_format": {"type": "json_object"}},
        {"response_format": {"type": "text"}},
        {"response_format": {"type": "json_schema"}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "form"}}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "form", "schema": True}}},
    ],
)
def test_nothing_is_held_to_a_schema_that_was_not_asked_for(body):
    assert schema_of(body) is None


def test_an_answer_that_keeps_to_its_schema_is_fine():
    assert fault(PERSON, '{"name":"Ada","age":36}') is None
    assert fault(PERSON, ' {"age": 0,\n "name": "B"} ') is None


OFF = {
    "not json": ("Certainly! Here it is.", "not JSON"),
    "fenced": ('```json\n{"name":"Ada","age":36}\n```', "not JSON"),
    "cut": ('{"name":"Ada","a', "not JSON"),
    "empty": ("", "not JSON"),
    "nothing": (None, "no text"),
    "a member missing": ('{"name":"Ada"}', "not as the schema has it"),
    "a member too many": ('{"name":"Ada","age":36,"x":1}', "not as the schema has it"),
    "a wrong type": ('{"name":"Ada","age":"36"}', "not as the schema has it"),
    "out of range": ('{"name":"Ada","age":-1}', "not as the schema has it"),
    "off its pattern": ('{"name":"ada","age":1}', "not as the schema has it"),
    "another thing": ("[]", "not as the schema has it"),
}


@pytest.mark.parametrize("case", OFF)
def test_an_answer_off_its_schema_is_told_in_words_that_hold_none_of_it(case):
    content, words = OFF[case]
    assert fault(PERSON, content) == words


def test_every_choice_must_keep_to_it():
    schema, good = schema_of(wanted(PERSON)), '{"name":"Ada","age":36}'
    assert schema.fault(answered(good, good)) is None
    assert schema.fault(answered(good, "no")) == "not JSON"


def test_a_call_of_tools_a_refusal_and_what_was_filtered_are_no_answers_in_a_form():
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    assert fault(PERSON, None, tool_calls=[call]) is None
    assert fault(PERSON, None, function_call={"name": "f", "arguments": "{}"}) is None
    assert fault(PERSON, None, refusal="I would rather not.") is None
    filtered = json.loads(answered(None))
    filtered["choices"][0]["finish_reason"] = "content_filter"
    assert schema_of(wanted(PERSON)).fault(json.dumps(filtered).encode()) is None


def test_references_within_a_schema_are_followed():
    tree = {
        "$defs": {
            "node": {
                "type": "object",
                "properties": {"value": {"type": "integer"}, "next": {"$ref": "#/$defs/node"}},
                "required": ["value"],
            },
            "a/b~c": {"type": "integer"},
        },
        "anyOf": [{"$ref": "#/$defs/node"}, {"$ref": "#/$defs/a~1b~0c"}],
    }
    assert fault(tree, '{"value":1,"next":{"value":2,"next":{"value":3}}}') is None
    assert fault(tree, '{"value":1,"next":{"value":2,"next":{}}}') == "not as the schema has it"
    assert fault(tree, "7") is None


def test_references_to_a_place_in_a_list_are_followed():
    schema = {"items": {"$ref": "#/prefixItems/1"}, "prefixItems": [True, {"type": "integer"}]}
    assert fault(schema, '["x",1,2]') is None
    assert fault(schema, '["x",1,"y"]') == "not as the schema has it"


def test_members_may_have_the_names_of_keywords():
    schema = {"type": "object", "properties": {"$ref": {"type": "string"}, "$id": {"type": "string"}}}
    assert fault(schema, '{"$ref":"x","$id":"y"}') is None
    assert fault(schema, '{"$ref":1}') == "not as the schema has it"


REFUSED = {
    "a remote reference": {"$ref": "https://evil.example/schema.json"},
    "a reference to a file": {"$ref": "file:///etc/passwd"},
    "a relative reference": {"$ref": "other.json#/x"},
    "an anchor": {"$ref": "#there", "$defs": {"x": {"$anchor": "there"}}},
    "a reference to nothing": {"$ref": "#/$defs/none"},
    "a reference to no schema": {"$ref": "#/required/0", "required": ["a"]},
    "a reference past the end of a list": {"$ref": "#/allOf/1", "allOf": [True]},
    "a reference to a place of thousands of digits": {"$ref": "#/allOf/" + "9" * 5000, "allOf": [True]},
    "a reference to a place in other digits": {"$ref": "#/allOf/\u0660", "allOf": [True]},
    "a reference to where no schema is": {"$ref": "#/x/y", "x": {"y": {"properties": 3}}},
    "a reference that is no text": {"$ref": 3},
    "a base elsewhere": {"$id": "https://evil.example/", "type": "object"},
    "a base elsewhere, deep down": {"properties": {"a": {"items": {"$id": "x"}}}},
    "a dynamic reference": {"$dynamicRef": "#node"},
    "unevaluated members": {"unevaluatedProperties": False},
    "no schema": {"type": "nonsense"},
    "a keyword of the wrong type": {"properties": []},
    "a pattern that is none": {"pattern": "("},
    "a pattern that may take for ever": {"pattern": "(?=a)b"},
    "a pattern that takes too much room": {"pattern": "(?:a{1000}){1000}"},
    "too many patterns": {"patternProperties": {f"^{at}": True for at in range(101)}},
    "too long": {"enum": ["x" * 70_000]},
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_schema_that_cannot_be_used_is_the_caller_s_fault(case):
    with pytest.raises(CallerFault) as refused:
        schema_of(wanted(REFUSED[case]))
    told = refused.value.told
    assert (told.status, told.code, told.param) == (400, "invalid_schema", PLACE)
    assert "evil" not in told.message


def doubling(depth, within):
    """A schema that means itself twice at each step."""
    steps = {
        str(at): {"allOf": [{"$ref": f"#/$defs/{at + 1}"}, {"$ref": f"#/$defs/{at + 1}"}]}
        for at in range(depth)
    }
    return {"$ref": "#/$defs/0", "$defs": {**steps, str(depth): within}}


TWICE = [{"$ref": "#/$defs/n"}, {"$ref": "#/$defs/n"}]
HOSTILE = {
    "doubling in place": (doubling(40, {"type": "object"}), "{}"),
    "doubling a long list of words": (doubling(12, {"enum": [f"w{at}" for at in range(5000)]}), '"x"'),
    "doubling with the depth of the answer": (
        {"$ref": "#/$defs/n", "$defs": {"n": {"additionalProperties": {"allOf": TWICE}}}},
        '{"a":' * 60 + "1" + "}" * 60,
    ),
    "a circle": ({"allOf": [{"$ref": "#"}]}, "{}"),
    "long lists compared": (
        {"items": {"enum": [{"a": at} for at in range(3000)]}},
        json.dumps([{"a": 2999}] * 3000),
    ),
    "many patterns over a long text": (
        doubling(9, {"pattern": "^(a|aa)+$" * 10}),
        json.dumps("a" * 100_000),
    ),
    "many items that must differ": (
        {"allOf": [{"uniqueItems": True, "minItems": at} for at in range(40)]},
        json.dumps([[0] * 300 + [at] for at in range(40)]),
    ),
    "few large items that must differ": (
        {"allOf": [{"uniqueItems": True, "minItems": at} for at in range(4)]},
        json.dumps([[0] * 1000 + [at] for at in range(15)]),
    ),
    "an answer nested without end": ({"items": {"$ref": "#"}}, "[" * 400 + "]" * 400),
    "more than anybody needs": ({"items": {"type": "integer"}}, json.dumps(list(range(30_000)))),
}


A_AND_B = "".join(random.Random(1).choices("ab", k=60_000))
COUNTED = {
    "a pattern of few characters": {"pattern": r"a[ab]{400}$"},
    "a count of words": {"allOf": [{"not": {"pattern": rf"a\w{{{80 + at}}}\d"}} for at in range(49)]},
    "a count behind a star": {
        "allOf": [{"not": {"pattern": f"[ab]*a[abc ]{{{60 + at}}}[de]"}} for at in range(26)]
    },
    "counts within counts": {"pattern": r"a(?:\w{0,12}){0,12}\d"},
    "names of members": {"patternProperties": {r"a\w{80}\d": True}},
}


@pytest.mark.parametrize("case", COUNTED)
def test_repetitions_that_are_counted_are_work(case):
    schema = COUNTED[case]
    value = {A_AND_B: 1} if "patternProperties" in schema else A_AND_B
    assert fault(schema, json.dumps(value)) == "too much to validate"
    assert Effort({}, 1000 * STEPS_MAX).of(schema, value) > STEPS_MAX


def test_a_text_is_as_long_as_its_bytes():
    schema = {"pattern": "a[^x]{20}c"}
    effort = Effort({}, STEPS_MAX)
    assert effort.of(schema, "\u4e2d" * 1000) > 2 * effort.of(schema, "a" * 1000)


@pytest.mark.parametrize("case", HOSTILE)
def test_what_would_be_too_much_work_is_not_begun(case):
    schema, content = HOSTILE[case]
    assert fault(schema, content) == "too much to validate"


def test_a_pattern_takes_linear_time():
    assert fault({"pattern": "^(a+)+$"}, json.dumps("a" * 50_000 + "b")) == "not as the schema has it"


def test_ordinary_patterns_are_not_too_much():
    row = {
        "id": {"pattern": r"^[A-Z]{2}\d{6}$"},
        "day": {"pattern": r"^\d{4}-\d{2}-\d{2}$"},
        "mail": {"pattern": r"^[^@\s]+@[^@\s]+\.[a-z]{2,}$"},
    }
    schema = {"items": {"type": "object", "properties": row, "required": list(row)}}
    rows = [{"id": f"AB{at:06}", "day": "2026-11-26", "mail": f"a.b{at}@example.com"} for at in range(2000)]
    assert fault(schema, json.dumps(rows)) is None
    assert fault({"uniqueItems": True}, json.dumps(rows)) is None
    assert fault({"pattern": r"^[\w\s.,;-]+$"}, json.dumps("some words, and " * 3000)) is None


def test_long_plain_answers_are_not_too_much():
    schema = {"type": "array", "items": PERSON}
    people = [{"name": f"N{at}", "age": at} for at in range(4000)]
    assert fault(schema, json.dumps(people)) is None
    union = {"anyOf": [{**PERSON, "title": str(at)} for at in range(12)]}
    assert fault({"type": "array", "items": union}, json.dumps(people[:300])) is None
