"""What each vendor refuses, and in which words."""

import json
from typing import get_type_hints

import pytest
from openai.types.chat import completion_create_params as openai_types

from proxy.simulator.manners import ERRORS, OPENAI_MEMBERS, of_status, shape
from tests.simulator.playing import playing


def test_the_members_are_those_of_the_official_types():
    official = set(get_type_hints(openai_types.CompletionCreateParamsBase))
    official |= set(get_type_hints(openai_types.CompletionCreateParamsStreaming))
    assert official == OPENAI_MEMBERS
    assert len(OPENAI_MEMBERS) == 37


@pytest.mark.parametrize(
    ("members", "param", "malformed"),
    [
        ({"messages": None}, "messages", True),
        ({"messages": "hi"}, "messages", True),
        ({"messages": []}, "messages", False),
        ({"messages": [{"role": "robot"}]}, "messages[0].role", False),
        ({"messages": ["hi"]}, "messages[0].role", False),
        ({"tools": []}, "tools", False),
        ({"tools": [7]}, "tools[0]", True),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0]", True),
        ({"tool_choice": "auto"}, "tool_choice", False),
        ({"tool_choice": 7}, "tool_choice", True),
        ({"stream_options": {"include_usage": True}}, "stream_options", False),
        ({"stream": True, "stream_options": "usage"}, "stream_options", True),
        ({"stream": "yes"}, "stream", True),
        ({"response_format": "json"}, "response_format", True),
        ({"response_format": {"type": "json_schema"}}, "response_format", True),
        ({"temperature": 2.1}, "temperature", False),
        ({"temperature": "warm"}, "temperature", True),
        ({"top_p": -0.1}, "top_p", False),
        ({"n": 0}, "n", False),
        ({"n": 1.5}, "n", True),
        ({"n": True}, "n", True),
        ({"max_tokens": 0}, "max_tokens", False),
        ({"max_completion_tokens": 0}, "max_completion_tokens", False),
    ],
)
async def test_a_wrong_request_is_refused(tmp_path, members, param, malformed):
    async with playing(tmp_path / "s.yaml") as post:
        status, _, body = await post("openai", **members)
        told = json.loads(body)["error"]
        assert (status, told["param"], told["type"]) == (400, param, "invalid_request_error")
        assert told.keys() == {"message", "type", "param", "code"}
        status, _, body = await post("vllm", **members)
        told = json.loads(body)["error"]
        assert (status, told["code"]) == (400, 400)
        expected = ("Bad Request", f"body.{param}") if malformed else ("BadRequestError", param)
        assert (told["type"], told["param"]) == expected


@pytest.mark.parametrize("data", ["{", "", "[]", "7", b"\xff"])
async def test_a_body_that_is_no_object_is_refused(tmp_path, data):
    async with playing(tmp_path / "s.yaml") as post:
        status, _, body = await post("openai", data=data)
        assert (status, json.loads(body)["error"]["code"]) == (400, None)
        status, _, body = await post("vllm", data=data)
        told = json.loads(body)["error"]
        assert (status, told["type"], told["param"], told["code"]) == (400, "Bad Request", None, 400)


async def test_unknown_members_and_a_missing_model_are_refused_by_openai_alone(tmp_path):
    async with playing(tmp_path / "s.yaml") as post:
        status, _, body = await post("openai", top_k=3)
        told = json.loads(body)["error"]
        assert (status, told["code"], told["param"]) == (400, "unknown_parameter", "top_k")
        assert (await post("openai", model=None))[0] == 400
        assert (await post("vllm", top_k=3, model=None))[0] == 200


@pytest.mark.parametrize("word", ERRORS)
def test_an_error_has_the_shape_of_its_vendor(word):
    refusal = ERRORS[word]
    openai, vllm = shape("openai", refusal)["error"], shape("vllm", refusal)["error"]
    assert openai["message"] == refusal.message
    if refusal.status == 401:
        assert vllm == "Unauthorized"
        return
    assert vllm["code"] == refusal.status
    assert isinstance(vllm["type"], str)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(404, "NotFoundError"), (503, "Service Unavailable"), (500, "InternalServerError"),
     (429, "RateLimitError")],
)  # fmt: skip
def test_vllm_names_its_errors(status, kind):
    assert shape("vllm", of_status(status))["error"]["type"] == kind
