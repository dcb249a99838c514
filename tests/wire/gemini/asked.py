"""Calls as OpenAI's callers make them, at random: what Gemini can say, and what it cannot."""

import json
import string

from hypothesis import strategies as st

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
MODELS = (
    "gemini-2.0-flash",
    "gemini-2.5-pro",
    "models/gemini-2.5-flash-lite",
    "gemini-3-pro-preview",
    "gemini-3-flash-preview",
    "gemini-3.7-flash",
    "gemini-9",
    "tunedModels/mine",
)
PNG = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"

TEXT = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12)
NAME = st.text(string.ascii_letters + string.digits + "_-", min_size=1, max_size=64)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAME, inner, max_size=2),
    max_leaves=4,
)
ARGUMENTS = st.dictionaries(NAME, JSON, max_size=3).map(json.dumps) | st.sampled_from(["", "{}", " "])
SCHEMA = st.recursive(
    st.sampled_from([{"type": "string", "pattern": "^a"}, {"type": "integer", "minimum": 1}, {"const": "x"}]),
    lambda inner: st.dictionaries(NAME, inner, max_size=2).map(
        lambda properties: {"type": "object", "properties": properties, "additionalProperties": False}
    ),
    max_leaves=4,
)
PARTS = st.lists(
    st.builds(lambda text: {"type": "text", "text": text}, TEXT)
    | st.just({"type": "image_url", "image_url": {"url": PNG}})
    | st.just({"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}})
    | st.just({"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0xLjQK"}}),
    min_size=1,
    max_size=3,
)
FUNCTION = st.fixed_dictionaries(
    {"name": NAME},
    optional={"description": TEXT, "parameters": SCHEMA, "strict": st.booleans() | st.none()},
)


def said(role, content):
    return st.builds(lambda said: [{"role": role, "content": said}], content)


@st.composite
def exchanges(draw):
    """A turn of calls with all its results, in any order."""
    calls = draw(st.lists(st.tuples(NAME, ARGUMENTS), min_size=1, max_size=3))
    asked = [
        {"id": f"call_{number}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for number, (name, arguments) in enumerate(calls)
    ]
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": draw(st.just("") | TEXT | ARGUMENTS)}
        for call in draw(st.permutations(asked))
    ]
    return [{"role": "assistant", "content": draw(st.none() | TEXT), "tool_calls": asked}, *results]


STEP = (
    said("user", TEXT | PARTS)
    | said("assistant", TEXT)
    | said("system", TEXT)
    | said("developer", TEXT)
    | exchanges()
)
MESSAGES = st.builds(
    lambda head, first, steps: head + first + [message for step in steps for message in step],
    st.just([]) | said("system", TEXT),
    said("user", TEXT | PARTS),
    st.lists(STEP, max_size=4),
)
MEMBERS = {
    "temperature": st.floats(0, 2),
    "top_p": st.floats(0, 1),
    "frequency_penalty": st.floats(-2, 2),
    "presence_penalty": st.floats(-2, 2),
    "max_tokens": st.integers(1, 9999),
    "max_completion_tokens": st.integers(1, 9999),
    "stop": TEXT | st.lists(TEXT, max_size=4),
    "seed": st.integers(-(2**63), 2**63 - 1),
    "logprobs": st.booleans(),
    "top_logprobs": st.integers(0, 20),
    "reasoning_effort": st.sampled_from(EFFORTS),
    "service_tier": st.sampled_from(["auto", "default", "flex", "scale", "priority", "fast"]),
    "n": st.just(1),
    "parallel_tool_calls": st.booleans(),
    "metadata": st.just({"a": "b"}),
    "user": TEXT,
    "store": st.booleans(),
    "verbosity": st.just("low"),
    "stream_options": st.just({"include_usage": True}),
    "response_format": st.just({"type": "text"}),
}
OPTIONAL = {name: st.none() | values for name, values in MEMBERS.items()}


@st.composite
def bodies(draw):
    """What an OpenAI caller may send and Gemini can do."""
    body = {"model": "chat", "messages": draw(MESSAGES)}
    body |= draw(st.fixed_dictionaries({}, optional=OPTIONAL))
    functions = draw(st.lists(FUNCTION, max_size=3, unique_by=lambda function: function["name"]))
    if functions and draw(st.booleans()):
        body["tools"] = [{"type": "function", "function": function} for function in functions]
        named = [{"type": "function", "function": {"name": one["name"]}} for one in functions]
        some = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": named[:2]}}
        body["tool_choice"] = draw(st.sampled_from([None, "auto", "none", "required", named[0], some]))
    elif functions:
        body["functions"] = functions
        body["function_call"] = draw(st.sampled_from(["auto", "none", {"name": functions[0]["name"]}]))
    elif draw(st.booleans()):
        described = {"name": "x", "schema": draw(SCHEMA), "strict": True}
        body["response_format"] = draw(
            st.sampled_from([{"type": "json_object"}, {"type": "json_schema", "json_schema": described}])
        )
    return body


CUSTOM = {"type": "custom", "custom": {"name": "shell", "format": {"type": "text"}}}
CHOSEN = {"type": "custom", "custom": {"name": "shell"}}
ALLOWED = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [CHOSEN]}}
UNSAID = {
    "audio": st.just({"voice": "alloy", "format": "wav"}),
    "modalities": st.just(["text", "audio"]),
    "logit_bias": st.just({"1": 5}),
    "web_search_options": st.just({}),
    "n": st.integers(2, 128),
    "reasoning_effort": st.just("utmost"),
    "response_format": st.just({"type": "grammar"}) | st.just({"type": "json_object"}),
    "logprobs": st.just(True),
}


@st.composite
def hard_bodies(draw):
    """The same with members, tools and a history that Gemini cannot say as they stand."""
    body = draw(bodies())
    body |= draw(st.fixed_dictionaries({}, optional=UNSAID))
    if draw(st.booleans()) and not body.get("functions"):
        body["tools"] = [*body.get("tools", []), CUSTOM]
        body["tool_choice"] = draw(st.sampled_from([None, "required", CHOSEN, ALLOWED]))
    messages = list(body["messages"])
    if draw(st.booleans()):
        messages = [{"role": "assistant", "content": draw(TEXT)}, *messages]
    if draw(st.booleans()):
        wrong = draw(st.sampled_from(['{"a', "[1]", "7", "null"]))
        asked = [_call("last_0", wrong), _call("last_1"), _custom(draw)]
        messages.append({"role": "assistant", "tool_calls": asked})
        answered = {"role": "tool", "tool_call_id": "last_1", "content": draw(TEXT)}
        messages += draw(st.sampled_from([[], [answered]]))
    return {**body, "messages": messages}


def _call(ident, arguments="{}"):
    return {"id": ident, "type": "function", "function": {"name": "go", "arguments": arguments}}


def _custom(draw):
    return {"id": "last_2", "type": "custom", "custom": {"name": "shell", "input": draw(TEXT)}}
