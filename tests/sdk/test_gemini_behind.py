"""The official Python SDK in front of a Gemini: the caller must not notice who answers."""

import openai
import pytest

from tests.kit.asking import PIXEL, WEATHER, City, chat, client_of
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
prices:
  gemini/*: {{input: 0.30, output: 2.50}}
  vllm/*: {{input: 0, output: 0}}
"""
)
ASK = [{"role": "user", "content": "hello"}]


@pytest.fixture(scope="module")
def behind(tmp_path_factory):
    with house(tmp_path_factory.mktemp("gemini"), table=GEMINI_TABLE) as built:
        yield built


@pytest.fixture
def sdk(behind):
    with client_of(behind) as client:
        yield client


@pytest.mark.parametrize("stream", [False, True])
def test_a_chat_is_answered_counted_and_paid(sdk, behind, stream):
    said, usage = chat(sdk, ASK, stream=stream)
    assert said.startswith("Simulated answer from gemini")
    assert usage.completion_tokens == len(said.split(" "))
    newest = calls(behind, 1)[0]
    assert newest["upstream"] == "gemini"
    assert newest["output_tokens"] == usage.completion_tokens
    assert newest["nano_usd"] > 0


def test_parse_gives_an_object_of_the_schema(sdk):
    parsed = sdk.chat.completions.parse(model="alone", messages=ASK, response_format=City)
    assert isinstance(parsed.choices[0].message.parsed, City)


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


@pytest.mark.parametrize("stream", [False, True])
def test_a_conversation_with_tools_survives_a_change_of_upstream(sdk, behind, stream):
    def turn(messages):
        if not stream:
            return sdk.chat.completions.create(model="chat", messages=messages, tools=[WEATHER]).choices[0]
        with sdk.chat.completions.stream(model="chat", messages=messages, tools=[WEATHER]) as events:
            return events.get_final_completion().choices[0]

    def answered(messages, choice):
        calls = [call.to_dict() for call in choice.message.tool_calls]
        for call in calls:
            call["function"].pop("parsed_arguments", None)
            call.pop("index", None)
        results = [{"role": "tool", "tool_call_id": call["id"], "content": "cold"} for call in calls]
        return [*messages, {"role": "assistant", "tool_calls": calls}, *results]

    first = turn(ASK)
    assert first.finish_reason == "tool_calls"
    history = answered(ASK, first)
    assert turn(history).message.content.startswith("Simulated answer from gemini")
    behind.script("gemini: [{do: {error: overload}}]")
    assert turn(history).message.content.startswith("Simulated answer from vllm")
    elsewhere = answered([*history, *ASK], turn([*history, *ASK]))
    behind.script("{}")
    assert turn(elsewhere).message.content.startswith("Simulated answer from gemini")


def test_what_is_lost_is_said_in_a_header(sdk):
    raw = sdk.chat.completions.with_raw_response.create(
        model="alone", messages=ASK, tools=[WEATHER], parallel_tool_calls=False
    )
    assert raw.headers["x-fallthrough-degraded"] == "parallel_tool_calls"


def test_a_stream_that_breaks_is_an_error_and_no_answer(sdk, behind):
    behind.script("gemini: [{do: {no_done: true}}]")
    with pytest.raises(openai.APIError):
        list(sdk.chat.completions.create(model="alone", messages=ASK, stream=True))


@pytest.mark.parametrize("kind", ["rate_limit", "overload", "money", "auth", "model", "server"])
def test_every_trouble_of_the_upstream_is_somebody_elses_answer(sdk, behind, kind):
    behind.script(f"gemini: [{{do: {{error: {kind}}}}}]")
    answer = sdk.chat.completions.create(model="chat", messages=ASK)
    assert answer.choices[0].message.content.startswith("Simulated answer from vllm")
