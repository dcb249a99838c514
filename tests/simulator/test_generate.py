"""The simulated upstream that speaks Gemini: the vendor's types read it, the vendor's rules hold."""

import json

import aiohttp
import pytest
from google.genai import types
from openai.types.chat import ChatCompletion

from proxy.abilities import ModelFacts
from proxy.simulator import serve
from proxy.simulator.generate import judge, shape
from proxy.wire import DIALECTS
from tests.wire.samples import HELLO, accumulate, make_call, make_upstream, read_whole

HI = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}
TOOL = {
    "functionDeclarations": [
        {
            "name": "weather",
            "parametersJsonSchema": {"type": "object", "properties": {"city": {"type": "string"}}},
        }
    ]
}
SENTINEL = "skip_thought_signature_validator"
CALL = {"functionCall": {"name": "weather", "args": {"city": "x"}}}
ASKED = {"role": "model", "parts": [{**CALL, "thoughtSignature": SENTINEL}]}
RESULT = {"functionResponse": {"name": "weather", "response": {"output": "cold"}}}
STRING = {"functionResponse": {"name": "weather", "response": "cold"}}
TOLD = {"role": "user", "parts": [RESULT]}
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
        + "long: [{do: {tokens: 50}}]\n"
    )

    async def _ask(body, name="gemini", method="generateContent", model="gemini-sim"):
        url = f"{base}/{name}/v1/models/{model}:{method}"
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
        {"contents": [*HI["contents"], ASKED, {"role": "user", "parts": [STRING]}]},
    ],
)
async def test_what_the_vendor_refuses_is_refused(ask, wrong):
    status, body = await ask(wrong)
    assert (status, json.loads(body)["error"]["status"]) == (400, "INVALID_ARGUMENT")


async def test_a_result_is_answered_in_words(ask):
    contents = [*HI["contents"], ASKED, TOLD]
    answer = types.GenerateContentResponse.model_validate_json(
        (await ask({"contents": contents, "tools": [TOOL]}))[1]
    )
    assert answer.text.startswith("Simulated answer")


def turn(*parts):
    return {"role": "model", "parts": list(parts)}


def of(name, **members):
    return {"functionResponse": {**RESULT["functionResponse"], "name": name, **members}}


@pytest.mark.parametrize(
    ("asked", "told", "words"),
    [
        (turn(CALL), [RESULT], "Function call is missing a thought_signature in functionCall parts."),
        (turn(CALL, {**CALL, "thoughtSignature": SENTINEL}), [RESULT] * 2, "Function call is missing"),
        (turn({**CALL, "thoughtSignature": "bWFkZSB1cA=="}), [RESULT], "Corrupted thought signature."),
        (ASKED, [of("weather", id="x")], "function_response.id"),
        (ASKED, [RESULT, RESULT], "equal the function call parts"),
        (turn({"text": "x", "functionCall": {}}), [RESULT], "one of its data fields"),
        (turn({"thoughtSignature": "AA=="}), [RESULT], "one of its data fields"),
        (turn({"text": "x", "signature": "y"}), [RESULT], 'Unknown name "signature"'),
    ],
)
async def test_a_history_is_refused_in_the_vendors_words(ask, asked, told, words):
    contents = [*HI["contents"], asked, {"role": "user", "parts": told}]
    status, body = await ask({"contents": contents})
    assert status == 400
    assert words in json.loads(body)["error"]["message"]


@pytest.mark.parametrize("method", ["generateContent", "streamGenerateContent"])
async def test_it_calls_all_it_may_and_takes_back_its_own_signature_alone(ask, method):
    other = {"functionDeclarations": [{"name": "go"}]}
    body = (await ask({**HI, "tools": [TOOL, other]}, method=method))[1]
    events = [line.removeprefix(b"data: ") for line in body.splitlines() if line]
    chunks = [json.loads(event)["candidates"][0]["content"]["parts"] for event in events]
    first, second = [part for parts in chunks for part in parts if "functionCall" in part]
    assert "thoughtSignature" not in second
    told = [of(one["functionCall"]["name"], id=one["functionCall"]["id"]) for one in (first, second)]

    async def again(*parts):
        contents = [*HI["contents"], turn(*parts), {"role": "user", "parts": told}]
        return (await ask({"contents": contents, "tools": [TOOL, other]}, method=method))[0]

    assert await again(first, second) == 200
    assert await again({**first, "thoughtSignature": SENTINEL}, second) == 200
    moved = {**second, "thoughtSignature": first["thoughtSignature"]}
    assert await again({**first, "thoughtSignature": SENTINEL}, moved) == 400
    changed = {**first, "functionCall": {**first["functionCall"], "args": {"city": "elsewhere"}}}
    assert await again(changed, second) == 400


@pytest.mark.parametrize("method", ["generateContent", "streamGenerateContent"])
async def test_a_long_answer_may_be_a_call(ask, method):
    status, body = await ask({**HI, "tools": [TOOL]}, name="long", method=method)
    assert status == 200
    assert json.dumps(CALL["functionCall"]["args"], separators=(",", ":")).encode() in body
    assert b'"candidatesTokenCount":50' in body


async def test_older_models_want_no_signature(ask):
    contents = [*HI["contents"], turn(CALL), TOLD]
    assert (await ask({"contents": contents}, model="gemini-2.5-flash"))[0] == 200


async def test_older_models_take_no_format_beside_tools(ask):
    body = {**HI, "tools": [TOOL], "generationConfig": {"responseMimeType": "application/json"}}
    assert (await ask(body))[0] == 200
    status, told = await ask(body, model="gemini-2.5-flash")
    assert status == 400
    assert GEMINI.error(status, {}, told).kind == "unable"


@pytest.mark.parametrize("method", ["generateContent", "streamGenerateContent"])
async def test_it_gives_as_many_candidates_as_it_is_asked_for(ask, method):
    call = make_call({**HELLO, "n": 3, "stream": method != "generateContent"})
    body = (await ask({**HI, "generationConfig": {"candidateCount": 3}}, method=method))[1]
    if call.stream:
        out = read_whole(GEMINI.reader(call, make_upstream()), body)
        choices = accumulate(out)[1].choices
    else:
        reply = GEMINI.reply(call, make_upstream(), 200, {}, body)
        choices = ChatCompletion.model_validate_json(reply.body).choices
    assert [choice.index for choice in choices] == [0, 1, 2]
    assert {choice.finish_reason for choice in choices} == {"stop"}
    assert all(choice.message.content.startswith("Simulated answer") for choice in choices)


@pytest.mark.parametrize("count", [0, 9, "2", 1.5, True])
async def test_it_gives_no_other_number_of_candidates(ask, count):
    assert (await ask({**HI, "generationConfig": {"candidateCount": count}}))[0] == 400


async def test_what_a_model_cannot_do_is_refused_in_the_vendors_words():
    facts = ModelFacts(choices=False, logprobs=False)
    for settings in ({"candidateCount": 2}, {"responseLogprobs": True}, {"logprobs": 3}):
        refusal = judge({**HI, "generationConfig": settings}, facts)
        told = GEMINI.error(refusal.status, {}, json.dumps(shape(refusal)).encode())
        assert told.kind == "unable"
    assert judge({**HI, "generationConfig": {"candidateCount": 1, "responseLogprobs": False}}, facts) is None


async def test_another_method_is_not_found(ask):
    assert (await ask(HI, method="countTokens"))[0] == 404
