"""What is said: fixed words, exact counts, samples that their schemas allow."""

import json
import uuid
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field

from proxy.simulator.answers import ITEMS_MAX, sample, say
from proxy.simulator.script import HEALTHY, Do
from tests.simulator.playing import HELLO


class Colour(StrEnum):
    RED = "red"


class Leaf(BaseModel):
    size: int = Field(ge=3)
    ratio: float = Field(gt=0, lt=2)
    small: float = Field(le=0.5)
    name: str = Field(min_length=4)


class Node(BaseModel):
    colour: Colour
    kind: Literal["tree"]
    leaves: Annotated[list[Leaf], Field(min_length=2)]
    note: str | None
    left: "Node | None"
    branches: list["Node"]
    day: date
    at: datetime
    ident: uuid.UUID
    fresh: bool
    either: int | str


@pytest.mark.parametrize("model", [Leaf, Node])
def test_a_sample_is_what_its_model_takes(model):
    """Nested, optional, enumerated and recursive members, with bounds and formats."""
    value = sample(model.model_json_schema())
    assert sample(model.model_json_schema()) == value
    model.model_validate(value)


@pytest.mark.parametrize("more", [{}, {"parameters": None}, {"parameters": {}}, {"parameters": {"$id": "T"}}])
def test_a_tool_that_asks_for_nothing_is_called_with_an_empty_object(more):
    tools = [{"type": "function", "function": {"name": "now", **more}}]
    (called,) = say("one", HELLO | {"tools": tools}, HEALTHY).calls
    assert (called.name, "".join(called.tokens)) == ("now", "{}")


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({}, None),
        ({"type": "object"}, {}),
        ({"properties": {"a": {"type": "string"}}}, {"a": "x"}),
        (
            {
                "type": "object",
                "properties": {"a": {"type": "string"}, "b": {"type": "null"}},
                "required": ["b"],
            },
            {"b": None},
        ),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [1, 1]),
        ({"type": "array", "minItems": 10**9}, [None] * ITEMS_MAX),
        ({"type": ["string", "null"]}, "x"),
        ({"const": 0}, 0),
        ({"enum": ["b", "a"]}, "b"),
        ({"anyOf": [{"type": "boolean"}, {"type": "null"}]}, True),
        ({"$defs": {"a": {"const": 7}}, "$ref": "#/$defs/a"}, 7),
        ({"$ref": "#/nowhere"}, None),
        ({"$ref": "#"}, None),
        ({"type": "integer", "minimum": 5}, 5),
        ({"type": "integer", "exclusiveMinimum": 5}, 6),
        ({"type": "number", "maximum": -1}, -1),
        ({"type": "string", "minLength": 3}, "xxx"),
        ({"type": "string", "format": "email"}, "x@example.com"),
        (True, None),
    ],
)  # fmt: skip
def test_samples(schema, expected):
    assert sample(schema) == expected


def test_the_same_request_gets_the_same_answer():
    assert say("one", HELLO, HEALTHY) == say("one", HELLO, HEALTHY)
    assert "one" in "".join(say("one", HELLO, HEALTHY).tokens)


@pytest.mark.parametrize(
    ("members", "length", "tokens", "finish"),
    [
        ({}, 5, 5, "stop"),
        ({"max_tokens": 3}, 5, 3, "length"),
        ({"max_completion_tokens": 2, "max_tokens": 4}, 5, 2, "length"),
        ({"max_tokens": 5}, 5, 5, "stop"),
    ],
)
def test_lengths(members, length, tokens, finish):
    said = say("one", HELLO | members, Do(tokens=length))
    assert (len(said.tokens), said.finish) == (tokens, finish)
    assert "".join(said.tokens) == " 1 2 3 4 5"[: 2 * tokens]
    usage = said.usage(3)
    assert usage["completion_tokens"] == 3 * tokens
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


@pytest.mark.parametrize(
    ("begun", "members", "rest", "finish"),
    [
        (" 1 2", {}, " 3 4 5", "stop"),
        (" 1 2", {"max_tokens": 2}, " 3 4", "length"),
        ("1", {}, " 2 3 4 5", "stop"),
        (" 1 2 3 4 5", {}, "", "stop"),
    ],
)
def test_it_goes_on_after_the_words_that_were_said(begun, members, rest, finish):
    messages = [*HELLO["messages"], {"role": "assistant", "content": begun}]
    said = say("one", HELLO | members | {"messages": messages, "continue_final_message": True}, Do(tokens=5))
    assert ("".join(said.tokens), said.finish) == (rest, finish)
    anew = say("one", HELLO | {"messages": messages}, Do(tokens=5))
    assert "".join(anew.tokens) == " 1 2 3 4 5"


SIZED = {
    "type": "function",
    "function": {"name": "go", "parameters": {"properties": {"a": {"const": "two words"}}}},
}
SCHEMA = {"type": "json_schema", "json_schema": {"schema": SIZED["function"]["parameters"]}}


@pytest.mark.parametrize("members", [{"tools": [SIZED]}, {"response_format": SCHEMA}], ids=["call", "schema"])
@pytest.mark.parametrize(("length", "tokens"), [(9, 9), (2, 2), (1, 2)])
def test_json_of_any_length_is_json(members, length, tokens):
    said = say("one", HELLO | members, Do(tokens=length))
    assert len(said.tokens) == tokens
    assert json.loads("".join(said.tokens)) == {"a": "two words"}
