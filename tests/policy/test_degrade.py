"""What a call loses on its way to a target that cannot do all of it."""

import copy

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.abilities import ModelFacts
from proxy.policy.degrade import BY_SCHEMA, can_drop, degrade
from proxy.policy.estimate import estimate
from proxy.policy.fit import Ability, lacks, needs_of
from proxy.policy.prompt import Prompt
from proxy.table import Route
from proxy.wire.body import check
from tests.kit.asking import PIXEL, WEATHER
from tests.kit.scripted_ports import call

USER = {"role": "user", "content": "hi"}
LAWYER = {"role": "system", "content": "You are a lawyer."}
SCHEMA = {"type": "object", "properties": {"ä": {"type": "string"}}}
BY_THE_SCHEMA = BY_SCHEMA + '{"type":"object","properties":{"ä":{"type":"string"}}}'
FORMAT = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
ALLOWED = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [{"type": "function"}]}}
TOLD = {"messages": [{"role": "system", "content": BY_THE_SCHEMA}, USER]}
FUNCTION = {"name": "weather", "parameters": {"type": "object"}}


def needed(asked):
    return needs_of(asked, Prompt.of(asked.body))


# facts, members asked with, members sent (None: gone), names told
CASES = {
    "tools and all that belongs to them": (
        ModelFacts(tools=False),
        {"tools": [WEATHER], "tool_choice": "auto", "parallel_tool_calls": False, "temperature": 1},
        {"tools": None, "tool_choice": None, "parallel_tool_calls": None, "temperature": 1},
        ("tools", "tool_choice", "parallel_tool_calls"),
    ),
    "old functions": (
        ModelFacts(tools=False, forced_tools=False),
        {"functions": [FUNCTION], "function_call": {"name": "weather"}},
        {"functions": None, "function_call": None},
        ("functions", "function_call"),
    ),
    "a forced choice is left to the dialect": (
        ModelFacts(forced_tools=False),
        {"tools": [WEATHER], "tool_choice": "required"},
        {"tools": [WEATHER], "tool_choice": "required"},
        (),
    ),
    "a schema becomes any object and an instruction": (
        ModelFacts(schemas=False),
        {"response_format": FORMAT},
        {"response_format": {"type": "json_object"}, **TOLD},
        ("response_format",),
    ),
    "the instruction ends the system message": (
        ModelFacts(schemas=False),
        {"response_format": FORMAT, "messages": [LAWYER, USER]},
        {"messages": [{"role": "system", "content": f"You are a lawyer.\n\n{BY_THE_SCHEMA}"}, USER]},
        ("response_format",),
    ),
    "one of parts too": (
        ModelFacts(schemas=False),
        {
            "response_format": FORMAT,
            "messages": [{"role": "developer", "content": [{"type": "text", "text": "x"}]}, USER],
        },
        {
            "messages": [
                {
                    "role": "developer",
                    "content": [{"type": "text", "text": "x"}, {"type": "text", "text": BY_THE_SCHEMA}],
                },
                USER,
            ]
        },
        ("response_format",),
    ),
    "a schema that is not there": (
        ModelFacts(schemas=False),
        {"response_format": {"type": "json_schema"}},
        {
            "response_format": {"type": "json_object"},
            "messages": [{"role": "system", "content": BY_SCHEMA + "{}"}, USER],
        },
        ("response_format",),
    ),
    "a schema beside tools becomes an instruction alone": (
        ModelFacts(schemas_with_tools=False),
        {"response_format": FORMAT, "tools": [WEATHER]},
        {"response_format": None, "tools": [WEATHER], **TOLD},
        ("response_format",),
    ),
    "without tools there is room for the schema": (
        ModelFacts(tools=False, schemas_with_tools=False),
        {"response_format": FORMAT, "tools": [WEATHER]},
        {"response_format": FORMAT, "tools": None, "messages": [USER]},
        ("tools",),
    ),
    "neither schemas nor schemas beside tools": (
        ModelFacts(schemas=False, schemas_with_tools=False),
        {"response_format": FORMAT, "tools": [WEATHER]},
        {"response_format": None, "tools": [WEATHER], **TOLD},
        ("response_format",),
    ),
    "odds": (
        ModelFacts(logprobs=False),
        {"logprobs": True, "top_logprobs": 3},
        {"logprobs": None, "top_logprobs": None},
        ("logprobs", "top_logprobs"),
    ),
    "the second answer": (ModelFacts(choices=False), {"n": 2}, {"n": None}, ("n",)),
    "thought": (
        ModelFacts(thinking=frozenset()),
        {"reasoning_effort": "high"},
        {"reasoning_effort": None},
        ("reasoning_effort",),
    ),
    "nothing": (ModelFacts(), {"n": 2, "logprobs": True}, {"n": 2, "logprobs": True}, ()),
}


@pytest.mark.parametrize("name", CASES)
def test_what_goes_is_named_and_the_callers_body_stays(name):
    facts, asked, sent, told = CASES[name]
    given = call(**asked)
    before = copy.deepcopy(given.body)
    found = degrade(given, lacks(needed(given), facts))
    assert found.dropped == told
    assert {member: found.call.body.get(member) for member in sent} == sent
    assert given.body == before
    rest = given.body.keys() - set(told) - {"messages"}
    assert {member: found.call.body[member] for member in rest} == {member: before[member] for member in rest}


def test_a_call_that_lacks_nothing_is_the_same_call():
    given = call(n=2)
    assert degrade(given, ()).call is given


CONTENT = {Ability.VISION, Ability.AUDIO, Ability.FILES, Ability.PREFILL, Ability.CONTEXT}
NONE = ModelFacts(
    **{ability.value: False for ability in Ability if ability is not Ability.CONTEXT}
    | {"thinking": frozenset(), "context": 0}
)

bodies = st.fixed_dictionaries(
    {
        "messages": st.lists(
            st.fixed_dictionaries(
                {
                    "role": st.sampled_from(["system", "developer", "user", "assistant"]),
                    "content": st.none()
                    | st.text(max_size=20)
                    | st.just([{"type": "text", "text": "what is this, please?"}])
                    | st.just([{"type": "image_url", "image_url": {"url": PIXEL}}]),
                }
            ),
            min_size=1,
            max_size=3,
        )
    },
    optional={
        "tools": st.just([WEATHER]),
        "functions": st.just([FUNCTION]),
        "tool_choice": st.sampled_from(["auto", "none", "required", ALLOWED, {"type": "function"}]),
        "function_call": st.sampled_from(["auto", {"name": "weather"}]),
        "parallel_tool_calls": st.booleans(),
        "response_format": st.sampled_from([FORMAT, {"type": "json_object"}, {"type": "json_schema"}]),
        "logprobs": st.booleans(),
        "top_logprobs": st.integers(0, 20),
        "n": st.integers(1, 4),
        "reasoning_effort": st.sampled_from(["none", "low", "high"]),
    },
)
facts = st.builds(
    ModelFacts,
    **{
        ability.value: st.sampled_from([None, True, False])
        for ability in Ability
        if ability not in (Ability.THINKING, Ability.CONTEXT)
    },
    thinking=st.sampled_from([None, frozenset(), frozenset({"level"})]),
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(bodies, facts)
def test_a_degraded_call_is_sound_and_asks_nothing_more_that_can_be_dropped(members, known):
    given = call(**copy.deepcopy(members))
    found = degrade(given, lacks(needed(given), known))
    check(dict(found.call.body))
    left = {lack.ability for lack in lacks(needed(found.call), known) if can_drop(lack)}
    assert left <= {Ability.FORCED_TOOLS}
    assert {**call().body, **members} == given.body


@settings(max_examples=300, deadline=None, derandomize=True)
@given(bodies)
def test_content_is_never_what_can_be_dropped(members):
    for lack in lacks(needed(call(**members)), NONE):
        assert can_drop(lack) is (lack.ability not in CONTENT)


def _prompt(asked):
    """Bytes of all that a template prints: no tokenizer makes more tokens of them."""
    return sum(len(orjson.dumps(message["content"])) for message in asked.body["messages"])


@settings(max_examples=200, deadline=None, derandomize=True)
@given(bodies)
def test_what_was_held_covers_the_instruction_that_stands_in_for_a_schema(members):
    given = call(**{**members, "response_format": FORMAT})
    found = degrade(given, lacks(needed(given), ModelFacts(schemas=False)))
    assert _prompt(found.call) <= estimate(given, Route("chat", ()), Prompt.of(given.body)).input_tokens
