"""Requests are read by the protos of Google's retired SDK, too, wherever those know the field.

The SDK speaks the same API as its successor, in the state of its last release: what came later is
listed here, by its place, and taken out before the protos look. They forbid everything else. What
`google.generativeai.protos` names is imported from where it stands, which spares a warning.
"""

import json

import pytest
from google.ai.generativelanguage_v1beta.types import GenerateContentRequest
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.wire.dialect import NOTHING_RECALLED
from proxy.wire.gemini import Gemini
from tests.wire.gemini.asked import MODELS, bodies, hard_bodies
from tests.wire.samples import make_call, make_target, make_upstream
from tests.wire.test_cases import CASES

GEMINI = Gemini()
REQUEST = GenerateContentRequest.pb()
UNKNOWN = (
    "contents.parts.thought",
    "contents.parts.thoughtSignature",
    "generationConfig.responseJsonSchema",
    "generationConfig.seed",
    "generationConfig.thinkingConfig",
    "serviceTier",
    "tools.functionDeclarations.parametersJsonSchema",
)
"""Members that the old protos have no field for."""
SENT = sorted((CASES / "gemini").glob("*/request.upstream.json"))


def take_out(value, path):
    """Whether the member at `path` was there, in any of the objects on the way."""
    if isinstance(value, list):
        return max(map(take_out, value, [path] * len(value)), default=False)
    name, *rest = path
    if not rest:
        return value.pop(name, None) is not None
    return name in value and take_out(value[name], rest)


def parse(sent):
    """The request as the old protos read it, and the members they did not know."""
    unknown = {place for place in UNKNOWN if take_out(sent, place.split("."))}
    calling = sent.get("toolConfig", {}).get("functionCallingConfig", {})
    if calling.get("mode") == "VALIDATED":  # a word that came later, too
        calling["mode"] = "AUTO"
    return json_format.ParseDict(sent, REQUEST()), unknown


@settings(max_examples=1500, deadline=None, derandomize=True)
@given(bodies() | hard_bodies(), st.sampled_from(MODELS))
def test_generated_calls_become_requests_in_the_old_protos(body, model):
    call = make_call(body, drop_params=True)
    request = GEMINI.request(call, make_target("gemini", model), make_upstream("gemini"), NOTHING_RECALLED)
    sent = json.loads(request.body)
    read, _ = parse(sent)
    back = json_format.MessageToDict(read)
    assert [turn["role"] for turn in back["contents"]] == [turn["role"] for turn in sent["contents"]]
    assert [len(turn["parts"]) for turn in back["contents"]] == [
        len(turn["parts"]) for turn in sent["contents"]
    ]


@pytest.mark.parametrize("path", SENT, ids=lambda path: path.parent.name)
def test_golden_requests_are_requests_in_the_old_protos(path):
    parse(json.loads(path.read_text()))


def test_the_list_of_what_came_later_is_true():
    """Each listed member is sent by some golden case, and really unknown to the protos."""
    seen = set()
    for path in SENT:
        seen |= parse(json.loads(path.read_text()))[1]
    assert seen == set(UNKNOWN)
    for place in UNKNOWN:
        at = REQUEST.DESCRIPTOR
        *way, last = place.split(".")
        for name in way:
            at = at.fields_by_camelcase_name[name].message_type
        assert last not in at.fields_by_camelcase_name
