"""Whatever an OpenAI caller asks becomes a request that Google's own types accept, or is refused."""

import copy
import json
import string
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat.completion_create_params import CompletionCreateParamsBase

from proxy.call import Kind, Phase, Signal, UpstreamRequest
from proxy.facts.models import facts_of
from proxy.wire.body import check
from proxy.wire.dialect import NOTHING_RECALLED
from proxy.wire.gemini import Gemini
from proxy.wire.gemini.signatures import UNSIGNED
from proxy.wire.gemini.names import Names, legal
from proxy.wire.gemini.request import HINTS, NOTED, REFUSED, TRANSLATED
from tests.wire.gemini.vendor import Request
from tests.wire.samples import HELLO, make_call, make_target, make_upstream

GEMINI = Gemini()
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


@settings(max_examples=1000, deadline=None, derandomize=True)
@given(bodies(), st.sampled_from(MODELS), st.booleans())
def test_generated_calls_become_requests_in_googles_types(body, model, stream):
    check(body)
    before = copy.deepcopy(body)
    call = make_call(body, stream=stream)
    request = GEMINI.request(call, make_target("gemini", model), make_upstream("gemini"), NOTHING_RECALLED)
    assert body == before
    assert isinstance(request, UpstreamRequest)
    sent = json.loads(request.body)
    Request.model_validate(sent)
    check_turns(sent["contents"], signed=facts_of("gemini", model).signed_calls)


def check_turns(turns, *, signed):
    """What Gemini demands of a history beyond its types."""
    assert [turn["role"] for turn in turns[:1]] == ["user"]
    assert all(one["role"] != other["role"] for one, other in pairwise(turns))
    assert all(turn["parts"] for turn in turns)
    for turn, answer in zip(turns, [*turns[1:], {"parts": []}], strict=True):
        calls = [part for part in turn["parts"] if "functionCall" in part]
        asked = [(part["functionCall"]["id"], part["functionCall"]["name"]) for part in calls]
        results = [part.get("functionResponse") for part in answer["parts"][: len(asked)]]
        assert [(result["id"], result["name"]) for result in results] == asked
        signatures = [part.get("thoughtSignature") for part in calls]
        assert signatures[:1] == ([UNSIGNED] if signed and calls else [None] * len(calls[:1]))
        assert signatures[1:] == [None] * len(calls[1:])


def test_every_parameter_of_openai_has_one_fate():
    fates = [TRANSLATED, HINTS, NOTED, REFUSED]
    known = set().union(*fates)
    assert sum(map(len, fates)) == len(known)
    assert CompletionCreateParamsBase.__annotations__.keys() | {"stream"} <= known
    assert known - CompletionCreateParamsBase.__annotations__.keys() == {
        "include_reasoning",
        "stream",
        "top_k",
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("audio", {"voice": "alloy", "format": "wav"}),
        ("logit_bias", {"1": 5}),
        ("modalities", ["text", "audio"]),
        ("moderation", {"model": "x"}),
        ("n", 2),
        ("web_search_options", {}),
        ("stop", [1]),
        ("seed", 1.5),
        ("reasoning_effort", ["high"]),
        ("response_format", {"type": "grammar"}),
        ("response_format", {"type": "json_schema", "json_schema": {"name": "x"}}),
        ("tool_choice", "required"),
    ],
)
def test_what_gemini_cannot_say_is_left_to_others_and_told_by_name(name, value):
    signal = GEMINI.request(
        make_call({**HELLO, name: value}), make_target("gemini"), make_upstream("gemini"), NOTHING_RECALLED
    )
    assert isinstance(signal, Signal)
    assert (signal.kind, signal.phase) == (Kind.UNABLE, Phase.CONNECT)
    assert signal.told.status == 400
    assert signal.told.param.startswith(name)


@pytest.mark.parametrize(
    ("model", "stream", "path"),
    [
        ("gemini-2.5-flash", False, "/models/gemini-2.5-flash:generateContent"),
        ("gemini-2.5-flash", True, "/models/gemini-2.5-flash:streamGenerateContent?alt=sse"),
        ("models/gemini-3-pro", False, "/models/gemini-3-pro:generateContent"),
        ("tunedModels/mine-1", False, "/tunedModels/mine-1:generateContent"),
    ],
)
def test_the_model_stands_in_the_path(model, stream, path):
    request = GEMINI.request(
        make_call(stream=stream), make_target("gemini", model), make_upstream("gemini"), NOTHING_RECALLED
    )
    assert request.path == path


@pytest.mark.parametrize(
    "model", ["..", "../x", "a/b", "models/../x", "a?b", "a#b", "a:b", "a%2fb", "", "a b", "ä", "a\n"]
)
def test_no_model_leads_out_of_the_path(model):
    signal = GEMINI.request(
        make_call(), make_target("gemini", model), make_upstream("gemini"), NOTHING_RECALLED
    )
    assert signal.kind is Kind.UNABLE


def test_the_key_goes_in_its_header_and_nowhere_else():
    request = GEMINI.request(make_call(), make_target("gemini"), make_upstream("gemini"), NOTHING_RECALLED)
    headers = dict(request.headers)
    assert headers.pop("x-goog-api-key") == "sk-secret"
    assert "sk-secret" not in str(headers) + request.path + request.body.decode()
    assert "authorization" not in headers


@given(st.lists(NAME, unique=True, max_size=9))
def test_names_are_legal_and_find_their_way_back(names):
    known = Names(names)
    for name in names:
        assert known.caller_s(legal(name)) == name
        assert legal(name)[0].isalpha() or legal(name)[0] == "_"
        assert len(legal(name)) <= 64
    assert known.caller_s("never declared") is None
