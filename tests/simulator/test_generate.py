"""The simulated upstream that speaks Gemini: the vendor's types read it, the vendor's rules hold."""

import json

import aiohttp
import pytest
from google.genai import types

from proxy.simulator import serve
from proxy.wire import DIALECTS
from tests.wire.samples import HELLO, make_call, make_upstream

HI = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}
TOOL = {
    "functionDeclarations": [
        {
            "name": "weather",
            "parametersJsonSchema": {"type": "object", "properties": {"city": {"type": "string"}}},
        }
    ]
}
ASKED = {"role": "model", "parts": [{"functionCall": {"name": "weather", "args": {}}}]}
GEMINI = DIALECTS["gemini"]


@pytest.fixture
async def ask(tmp_path):
    """Posts a body to a simulated upstream; gives the status and the body of the answer."""
    script = tmp_path / "script.yaml"
    kinds = ("rate_limit", "overload", "money", "auth", "model", "server", "context")
    lines = [f"{kind}: [{{do: {{error: {kind}}}}}]\n" for kind in kinds]
    script.write_text(
        "".join(lines)
        + "broke: [{do: {error_event: 2}}]\nshort: [{do: {no_done: true}}]\nteapot: [{do: {status: 418}}]\n"
    )

    async def _ask(body, name="gemini", method="generateContent"):
        url = f"{base}/{name}/v1/models/gemini-sim:{method}"
        async with aiohttp.ClientSession() as session, session.post(url, json=body) as answer:
            return answer.status, await answer.read()

    async with serve(script, "127.0.0.1", 0) as base:
        yield _ask


async def test_the_vendors_types_read_a_whole_answer(ask):
    status, body = await ask(HI)
    answer = types.GenerateContentResponse.model_validate_json(body)
    assert status == 200
    assert answer.text.startswith("Simulated answer from gemini")
    assert answer.candidates[0].finish_reason == "STOP"
    assert answer.usage_metadata.candidates_token_count == len(answer.text.split(" "))


async def test_the_vendors_types_read_a_stream_with_a_call(ask):
    _, body = await ask({**HI, "tools": [TOOL]}, method="streamGenerateContent")
    events = [line[6:] for line in body.splitlines() if line]
    chunks = [types.GenerateContentResponse.model_validate_json(event) for event in events]
    assert chunks[0].function_calls[0].args == {"city": "x"}
    assert chunks[-1].candidates[0].finish_reason == "STOP"


async def test_it_answers_in_the_schema_asked_for(ask):
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 4}}}
    config = {"responseMimeType": "application/json", "responseJsonSchema": schema}
    answer = types.GenerateContentResponse.model_validate_json(
        (await ask({**HI, "generationConfig": config}))[1]
    )
    assert json.loads(answer.text) == {"n": 4}


async def test_a_maximum_cuts_it(ask):
    words = {**HI, "generationConfig": {"maxOutputTokens": 2}}
    answer = types.GenerateContentResponse.model_validate_json((await ask(words))[1])
    assert (answer.text, answer.candidates[0].finish_reason) == ("Simulated answer", "MAX_TOKENS")


@pytest.mark.parametrize(
    ("name", "status", "kind"),
    [
        ("rate_limit", 429, "rate_limited"),
        ("overload", 503, "overloaded"),
        ("money", 429, "no_credit"),
        ("auth", 400, "bad_key"),
        ("model", 404, "no_model"),
        ("server", 500, "overloaded"),
        ("context", 400, "too_long"),
        ("teapot", 418, "bad_request"),
    ],
)
async def test_a_script_speaks_in_the_vendors_errors(ask, name, status, kind):
    told = await ask(HI, name)
    assert told[0] == status
    assert GEMINI.error(status, {}, told[1]).kind == kind


@pytest.mark.parametrize(("name", "kind"), [("broke", "overloaded"), ("short", "truncated")])
async def test_a_stream_that_breaks_is_not_taken_for_whole(ask, name, kind):
    _, body = await ask(HI, name, "streamGenerateContent")
    reader = GEMINI.reader(make_call({**HELLO, "stream": True}), make_upstream())
    reader.feed(body)
    reader.finish()
    assert reader.failure.kind == kind


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        {},
        {**HI, "model": "x"},
        {**HI, "generationConfig": {"n": 2}},
        {**HI, "tools": [{"functionDeclarations": [{"name": "3d"}]}]},
        {"contents": [{"role": "user", "parts": []}]},
        {"contents": [{"role": "user", "parts": [{"text": ""}]}]},
        {"contents": [{"role": "assistant", "parts": [{"text": "x"}]}]},
        {"contents": [ASKED]},
        {"contents": [*HI["contents"], ASKED]},
        {"contents": [*HI["contents"], ASKED, *HI["contents"]]},
        {
            "contents": [
                *HI["contents"],
                ASKED,
                {
                    "role": "user",
                    "parts": [{"functionResponse": {"name": "weather", "response": "cold"}}],
                },
            ]
        },
    ],
)
async def test_what_the_vendor_refuses_is_refused(ask, wrong):
    status, body = await ask(wrong)
    assert (status, json.loads(body)["error"]["status"]) == (400, "INVALID_ARGUMENT")


async def test_a_result_is_answered_in_words(ask):
    result = {"functionResponse": {"name": "weather", "response": {"output": "cold"}}}
    contents = [*HI["contents"], ASKED, {"role": "user", "parts": [result]}]
    answer = types.GenerateContentResponse.model_validate_json(
        (await ask({"contents": contents, "tools": [TOOL]}))[1]
    )
    assert answer.text.startswith("Simulated answer")


async def test_another_method_is_not_found(ask):
    assert (await ask(HI, method="countTokens"))[0] == 404
