"""The official Python SDK in front of a Gemini: what only it has to show, beside `test_every_dialect.py`."""

import openai
import pytest

from proxy.simulator.contents import signature
from tests.kit.asking import PIXEL, WEATHER, client_of
from tests.kit.processes import TABLE, calls, house

HEAD, _, _ = TABLE.partition("upstreams:")
GEMINI_TABLE = (
    HEAD
    + """\
upstreams:
  gemini:
    dialect: gemini
    base_url: http://127.0.0.1:{simulator}/gemini/v1
    api_key: sk-upstream-gemini
  vllm:
    dialect: vllm
    base_url: http://127.0.0.1:{simulator}/vllm/v1
routes:
  - model: chat
    targets: [gemini/gemini-3-flash-preview, vllm/mixtral]
  - model: alone
    targets: [gemini/gemini-2.5-flash]
  - model: newest
    targets: [gemini/gemini-3-pro-preview]
  - model: several
    targets: [gemini/gemini-next-year, vllm/mixtral]
models:
  gemini/gemini-next-year: {{choices: true}}
prices:
  gemini/*: {{input: 0.30, output: 2.50}}
  vllm/*: {{input: 0, output: 0}}
"""
)
CLOCK = {"type": "function", "function": {"name": "clock"}}
ASK = [{"role": "user", "content": "hello"}]


@pytest.fixture(scope="module")
def behind(tmp_path_factory):
    with house(tmp_path_factory.mktemp("gemini"), table=GEMINI_TABLE) as built:
        yield built


@pytest.fixture
def sdk(behind):
    with client_of(behind) as client:
        yield client


def test_a_picture_goes_inside_the_request_and_a_link_goes_elsewhere(sdk):
    def look(model, url):
        content = [{"type": "text", "text": "what?"}, {"type": "image_url", "image_url": {"url": url}}]
        messages = [{"role": "user", "content": content}]
        raw = sdk.chat.completions.with_raw_response.create(model=model, messages=messages)
        return raw.headers["x-fallthrough-upstream"]

    assert look("chat", PIXEL) == "gemini"
    assert look("chat", "https://example.com/a.png") == "vllm"
    with pytest.raises(openai.BadRequestError) as caught:
        look("alone", "https://example.com/a.png")
    assert caught.value.param == "messages[0].content[1].image_url.url"
    assert caught.value.code == "unsupported_parameter"


def turn(sdk, messages, tools, *, stream, model="chat"):
    """The choice of one answer, as an SDK's user gets it."""
    if not stream:
        return sdk.chat.completions.create(model=model, messages=messages, tools=tools).choices[0]
    with sdk.chat.completions.stream(model=model, messages=messages, tools=tools) as events:
        return events.get_final_completion().choices[0]


def answered(messages, choice):
    """The conversation after an answer's tool calls, with what callers keep of them."""
    functions = [(call.id, call.function) for call in choice.message.tool_calls]
    calls = [
        {"id": ident, "type": "function", "function": {"name": one.name, "arguments": one.arguments}}
        for ident, one in functions
    ]
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "cold"} for call in calls]
    return [*messages, {"role": "assistant", "tool_calls": calls}, *results]


@pytest.mark.parametrize("stream", [False, True])
def test_a_loop_of_parallel_calls_keeps_the_signatures_that_callers_never_see(sdk, behind, stream):
    """The upstream knows its calls by their signatures: it refuses an altered one, so they did come back."""
    messages = ASK
    for _ in range(2):
        choice = turn(sdk, messages, [WEATHER, CLOCK], stream=stream, model="newest")
        assert [call.function.name for call in choice.message.tool_calls] == ["weather", "clock"]
        assert "signature" not in choice.model_dump_json()
        messages = [*answered(messages, choice), *ASK]
    last = turn(sdk, messages[:-1], [WEATHER, CLOCK], stream=stream, model="newest")
    assert last.message.content.startswith("Simulated answer from gemini")
    assert "ignature" not in behind.log()
    messages[1]["tool_calls"][0]["function"]["arguments"] = '{"city":"elsewhere"}'
    with pytest.raises(openai.APIStatusError):
        turn(sdk, messages[:-1], [WEATHER, CLOCK], stream=stream, model="newest")


def test_a_signature_that_a_caller_kept_itself_is_sent_and_judged_upstream(sdk):
    def after(**kept):
        call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
        if kept:
            call["extra_content"] = {"google": kept}
        result = {"role": "tool", "tool_call_id": "call_1", "content": "cold"}
        messages = [*ASK, {"role": "assistant", "tool_calls": [call]}, result]
        return sdk.chat.completions.create(model="newest", messages=messages, tools=[WEATHER])

    own = signature({"name": "weather", "args": {}})
    for answer in (after(), after(thought_signature=own)):
        assert answer.choices[0].message.content.startswith("Simulated answer")
    with pytest.raises(openai.APIStatusError):
        after(thought_signature="bWFkZSB1cA==")


def test_several_answers_go_to_who_is_known_to_give_them(sdk):
    raw = sdk.chat.completions.with_raw_response.create(model="chat", messages=ASK, n=2)
    assert raw.headers["x-fallthrough-upstream"] == "vllm"
    assert [choice.index for choice in raw.parse().choices] == [0, 1]
    with pytest.raises(openai.BadRequestError) as caught:
        sdk.chat.completions.create(model="newest", messages=ASK, n=2)
    assert caught.value.param == "n"
    assert len(sdk.chat.completions.create(model="alone", messages=ASK, n=2).choices) == 2


@pytest.mark.parametrize("stream", [False, True])
def test_several_answers_come_from_a_gemini_of_which_the_table_says_so(sdk, behind, stream):
    asked = {"model": "several", "messages": ASK, "n": 2}
    if stream:
        with sdk.chat.completions.stream(**asked, stream_options={"include_usage": True}) as events:
            answer = events.get_final_completion()
    else:
        answer = sdk.chat.completions.create(**asked)
    assert [choice.index for choice in answer.choices] == [0, 1]
    said = [choice.message.content for choice in answer.choices]
    assert all(one.startswith("Simulated answer from gemini") for one in said)
    assert {choice.finish_reason for choice in answer.choices} == {"stop"}
    assert answer.usage.completion_tokens == sum(len(one.split(" ")) for one in said)
    (row,) = calls(behind, 1)
    assert (row["upstream"], row["output_tokens"]) == ("gemini", answer.usage.completion_tokens)


def test_what_is_lost_is_said_in_a_header(sdk):
    raw = sdk.chat.completions.with_raw_response.create(
        model="alone", messages=ASK, tools=[WEATHER], parallel_tool_calls=False
    )
    assert raw.headers["x-fallthrough-degraded"] == "parallel_tool_calls"


def test_a_stream_that_ends_without_a_finish_is_an_error_and_no_answer(sdk, behind):
    behind.script("gemini: [{do: {no_done: true}}]")
    with pytest.raises(openai.APIError):
        list(sdk.chat.completions.create(model="alone", messages=ASK, stream=True))
