"""The official Python SDK in front of a Claude: what only it has to show, beside `test_every_dialect.py`."""

import json

import openai
import pytest

from tests.kit.asking import PIXEL, WEATHER, City, client_of
from tests.kit.processes import TABLE, house

HEAD, _, _ = TABLE.partition("upstreams:")
CLAUDE_TABLE = (
    HEAD
    + """\
upstreams:
  anthropic:
    dialect: anthropic
    base_url: http://127.0.0.1:{simulator}/anthropic
    api_key: sk-upstream-anthropic
  vllm:
    dialect: vllm
    base_url: http://127.0.0.1:{simulator}/vllm/v1
routes:
  - model: chat
    targets: [anthropic/claude-opus-4-8, vllm/mixtral]
  - model: older
    targets: [anthropic/claude-3-5-sonnet-20241022]
  - model: manual
    targets: [anthropic/claude-sonnet-4-5]
  - model: newest
    targets: [anthropic/claude-opus-5-5]
prices:
  anthropic/*: {{input: 3, cached: 0.3, cache_write: 3.75, output: 15}}
  vllm/*: {{input: 0, output: 0}}
"""
)
ASK = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hello"}]


@pytest.fixture(scope="module")
def behind(tmp_path_factory):
    with house(tmp_path_factory.mktemp("anthropic"), table=CLAUDE_TABLE) as built:
        yield built


@pytest.fixture
def sdk(behind):
    with client_of(behind) as client:
        yield client


@pytest.mark.parametrize("model", ["older", "newest"])
def test_a_schema_is_held_however_the_model_can_be(sdk, model):
    parsed = sdk.chat.completions.parse(model=model, messages=ASK, response_format=City)
    assert isinstance(parsed.choices[0].message.parsed, City)
    with sdk.chat.completions.stream(model=model, messages=ASK, response_format=City) as events:
        choice = events.get_final_completion().choices[0]
    assert isinstance(choice.message.parsed, City)
    assert choice.finish_reason == "stop"


def test_a_picture_goes_up_as_data_or_as_a_link(sdk):
    for url in (PIXEL, "https://example.com/a.png"):
        content = [{"type": "text", "text": "what?"}, {"type": "image_url", "image_url": {"url": url}}]
        messages = [{"role": "user", "content": content}]
        raw = sdk.chat.completions.with_raw_response.create(model="chat", messages=messages)
        assert raw.headers["x-fallthrough-upstream"] == "anthropic"


def answered(messages, choice):
    """The history with the calls of a choice and their results, as most programs keep it."""
    made = [
        {"id": call.id, "type": "function", "function": call.function.to_dict()}
        for call in choice.message.tool_calls
    ]
    for call in made:
        call["function"].pop("parsed_arguments", None)
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "cold"} for call in made]
    return [*messages, {"role": "assistant", "content": None, "tool_calls": made}, *results]


@pytest.fixture(params=[False, True], ids=["whole", "streamed"])
def turn(request, sdk):
    """What a model with a tool says next: `turn(messages, model=…)`."""

    def ask(messages, model="chat", **more):
        asked = {"model": model, "messages": messages, "tools": [WEATHER], **more}
        if not request.param:
            return sdk.chat.completions.create(**asked).choices[0]
        with sdk.chat.completions.stream(**asked) as events:
            return events.get_final_completion().choices[0]

    return ask


def test_a_conversation_with_tools_survives_a_change_of_upstream(turn, behind):
    first = turn(ASK)
    assert first.finish_reason == "tool_calls"
    history = answered(ASK, first)
    assert turn(history).message.content.startswith("Simulated answer from anthropic")
    behind.script("anthropic: [{do: {error: overload}}]")
    assert turn(history).message.content.startswith("Simulated answer from vllm")
    again = [*history, {"role": "user", "content": "And now?"}]
    elsewhere = answered(again, turn(again))
    behind.script("{}")
    assert turn(elsewhere).message.content.startswith("Simulated answer from anthropic")


@pytest.mark.parametrize("model", ["chat", "manual", "newest"])
def test_a_model_goes_on_thinking_between_its_tools(turn, model):
    """The simulated Claude refuses a thought that is not its own, and counts those that come back."""

    def thinks(messages):
        choice = turn(messages, model=model, reasoning_effort="high")
        return choice, choice.message.model_extra["reasoning_content"]

    first, thought = thinks(ASK)
    assert (first.finish_reason, thought) == ("tool_calls", "Simulated thought 1.")
    history = answered(ASK, first)
    second, thought = thinks(history)
    assert (second.finish_reason, thought) == ("stop", "Simulated thought 2.")
    history += [
        {"role": "assistant", "content": second.message.content},
        {"role": "user", "content": "And now?"},
    ]
    third, _ = thinks(history)
    assert thinks(answered(history, third))[1] == "Simulated thought 3."


def test_thoughts_are_left_behind_where_nobody_can_read_them(turn, sdk, behind):
    effort = {"reasoning_effort": "high"}
    history = answered(ASK, turn(ASK, **effort))
    behind.script("anthropic: [{do: {error: overload}}]")
    assert turn(history, **effort).message.content.startswith("Simulated answer from vllm")
    behind.script("{}")
    raw = sdk.chat.completions.with_raw_response.create(
        model="manual", messages=history, tools=[WEATHER], **effort
    )
    assert raw.headers["x-fallthrough-degraded"] == "reasoning_effort"
    newest = turn(history, model="newest", **effort)
    assert newest.message.model_extra["reasoning_content"] == "Simulated thought 1."
    assert turn(history, reasoning_effort="none").message.content.startswith("Simulated answer")
    assert turn(history, **effort).message.model_extra["reasoning_content"] == "Simulated thought 2."


def test_of_a_thought_a_caller_sees_the_words_and_a_log_nothing(sdk, behind):
    raw = sdk.chat.completions.with_raw_response.create(
        model="chat", messages=ASK, tools=[WEATHER], reasoning_effort="high"
    )
    said = json.loads(raw.text)["choices"][0]["message"]
    assert said.keys() == {"role", "content", "refusal", "reasoning_content", "tool_calls"}
    assert "signature" not in raw.text
    assert "thought" not in behind.log()


def test_what_is_lost_is_said_in_a_header(sdk):
    raw = sdk.chat.completions.with_raw_response.create(
        model="newest", messages=ASK, temperature=0.2, reasoning_effort="high"
    )
    assert raw.headers["x-fallthrough-degraded"] == "temperature"


def test_what_no_target_can_do_is_refused_by_name(sdk):
    forced = {"model": "newest", "messages": ASK, "tools": [WEATHER], "tool_choice": "required"}
    for wrong, param in (({"model": "newest", "messages": ASK, "n": 2}, "n"), (forced, "tool_choice")):
        with pytest.raises(openai.BadRequestError) as caught:
            sdk.chat.completions.create(**wrong)
        assert (caught.value.param, caught.value.code) == (param, "unsupported_parameter")


def test_what_one_target_cannot_do_is_done_by_the_next(sdk):
    raw = sdk.chat.completions.with_raw_response.create(model="chat", messages=ASK, n=2)
    assert raw.headers["x-fallthrough-upstream"] == "vllm"
    assert len(raw.parse().choices) == 2
