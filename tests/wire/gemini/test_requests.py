"""Whatever an OpenAI caller asks becomes a request that Google's own types accept, or is refused."""

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat.completion_create_params import CompletionCreateParamsBase

from proxy.call import Kind, Phase, Signal, UpstreamRequest
from proxy.facts.models import facts_of
from proxy.wire.body import check
from proxy.wire.dialect import NOTHING_RECALLED
from proxy.wire.gemini import Gemini
from proxy.wire.gemini.names import Names, legal
from proxy.wire.gemini.request import HINTS, NOTED, REFUSED, TRANSLATED
from tests.wire.gemini.asked import MODELS, NAME, bodies
from tests.wire.gemini.vendor import Request, check_turns
from tests.wire.samples import HELLO, make_call, make_target, make_upstream

GEMINI = Gemini()


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


@pytest.mark.parametrize(
    "arguments",
    [
        '{"a":' + "9" * 5000 + "}",
        '{"a":[' + "9" * 30 + "," + "[" * 100 + "]" * 100 + "]}",
        "[" + "9" * 30 + "]",
    ],
    ids=["thousands of digits", "long and deep", "a list"],
)
def test_arguments_beyond_reading_are_left_to_others(arguments):
    called = {"id": "a", "type": "function", "function": {"name": "go", "arguments": arguments}}
    talk = [*HELLO["messages"], {"role": "assistant", "tool_calls": [called]}]
    talk.append({"role": "tool", "tool_call_id": "a", "content": "1"})
    signal = GEMINI.request(
        make_call({**HELLO, "messages": talk}),
        make_target("gemini"),
        make_upstream("gemini"),
        NOTHING_RECALLED,
    )
    assert (signal.kind, signal.told.param) == (Kind.UNABLE, "messages[1].tool_calls[0].function.arguments")
