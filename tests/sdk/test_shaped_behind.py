"""The official Python SDK in front of DeepSeek, Mistral and Ollama, each as strict as it is."""

import json

import openai
import pytest

from tests.kit.asking import PIXEL, WEATHER, City, client_of
from tests.kit.processes import TABLE, house

HEAD, _, _ = TABLE.partition("upstreams:")
NAMES = ("deepseek", "mistral", "ollama")
SHAPED_TABLE = (
    HEAD
    + "upstreams:\n"
    + "".join(
        f"  {name}:\n    base_url: http://127.0.0.1:{{simulator}}/{name}/v1\n"
        f"    api_key: sk-upstream-{name}\n    capabilities: {name}\n"
        for name in NAMES
    )
    + "routes:\n"
    + "".join(f"  - {{{{model: {name}, targets: [{name}/big]}}}}\n" for name in NAMES)
    + "  - {{model: any, targets: [deepseek/big, mistral/big, ollama/big]}}\n"
)
ASK = [
    {"role": "developer", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "Weather?"}], "name": "jane"},
]
SCHEMA = {"type": "json_schema", "json_schema": {"name": "city", "schema": City.model_json_schema()}}
THOUGHT = "This is made up, so no thought is needed."


@pytest.fixture(scope="module")
def behind(tmp_path_factory):
    with house(tmp_path_factory.mktemp("shaped"), table=SHAPED_TABLE) as built:
        yield built


@pytest.fixture
def sdk(behind):
    with client_of(behind) as client:
        yield client


def turn(sdk, model, messages, *, stream, **more):
    """One answer of a model that is asked to think, however it comes: the choice and the usage."""
    asked = {"model": model, "messages": messages, "reasoning_effort": "high", "max_completion_tokens": 200}
    asked |= {"tools": [WEATHER], "safety_identifier": "jane@example.com", "store": False, **more}
    if not stream:
        answer = sdk.chat.completions.create(**asked)
    else:
        with sdk.chat.completions.stream(**asked, stream_options={"include_usage": True}) as events:
            answer = events.get_final_completion()
    return answer.choices[0], answer.usage


def as_programs_write_it(message):
    """The message as it goes back: some programs keep what the SDK gave, most only what they know."""
    called = [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.function.name, "arguments": call.function.arguments},
        }
        for call in message.tool_calls
    ]
    return {"role": "assistant", "content": message.content, "tool_calls": called}


def answered(messages, message):
    results = [
        {"role": "tool", "tool_call_id": call.id, "name": "weather", "content": "mild"}
        for call in message.tool_calls
    ]
    return [*messages, as_programs_write_it(message), *results]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("name", NAMES)
def test_a_loop_of_tools_with_reasoning_goes_round(sdk, name, stream):
    first, _ = turn(sdk, name, ASK, stream=stream)
    assert first.finish_reason == "tool_calls"
    assert first.message.reasoning_content == THOUGHT
    assert first.message.role == "assistant"
    second, _ = turn(sdk, name, answered(ASK, first.message), stream=stream)
    assert second.finish_reason == "stop"
    assert second.message.content.startswith(f"Simulated answer from {name}")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("name", ["deepseek", "ollama"])
def test_reasoning_that_the_program_lost_reaches_the_upstream_all_the_same(sdk, name, stream):
    """The simulated prompt is counted by its size, so that one with the reasoning in it counts more."""
    first, _ = turn(sdk, name, ASK, stream=stream)
    history = answered(ASK, first.message)
    kept = turn(sdk, name, history, stream=stream)[1].prompt_tokens
    own = [
        message | ({"reasoning_content": THOUGHT} if "tool_calls" in message else {}) for message in history
    ]
    assert turn(sdk, name, own, stream=stream)[1].prompt_tokens == kept
    strange = json.loads(json.dumps(history).replace(first.message.tool_calls[0].id, "call_nobody_has_seen"))
    assert turn(sdk, name, strange, stream=stream)[1].prompt_tokens < kept


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_conversation_with_tools_moves_between_the_strict(sdk, behind, stream):
    messages = ASK
    for down, name in ((), "deepseek"), (("deepseek",), "mistral"), (("deepseek", "mistral"), "ollama"):
        behind.script("".join(f"{broken}: [{{do: {{error: overload}}}}]\n" for broken in down) or "{}")
        called, _ = turn(sdk, "any", messages, stream=stream)
        messages = answered(messages, called.message)
        said, _ = turn(sdk, "any", messages, stream=stream)
        assert said.message.content.startswith(f"Simulated answer from {name}")
        messages = [
            *messages,
            said.message.model_dump(exclude={"parsed"}),
            {"role": "user", "content": "And now?"},
            {"role": "user", "content": "Quick!"},
        ]


def test_thinking_can_be_switched_off(sdk):
    choice, _ = turn(sdk, "deepseek", ASK, stream=False, reasoning_effort="none")
    assert not hasattr(choice.message, "reasoning_content")


@pytest.mark.parametrize(
    ("name", "wrong", "param"),
    [
        ("deepseek", {"n": 2}, "n"),
        ("deepseek", {"response_format": SCHEMA}, "response_format"),
        ("deepseek", {"picture": PIXEL}, "messages[0].content[1]"),
        ("ollama", {"picture": "https://example.com/a.png"}, "messages[0].content[1]"),
        ("ollama", {"tools": [WEATHER], "tool_choice": "required"}, "tool_choice"),
        ("mistral", {"logprobs": True}, "logprobs"),
        ("mistral", {"tools": [{"type": "custom", "custom": {"name": "shell"}}]}, "tools[0]"),
    ],
)
def test_what_a_server_cannot_do_is_refused_by_name(sdk, name, wrong, param):
    content = [{"type": "text", "text": "What?"}]
    if "picture" in wrong:
        content.append({"type": "image_url", "image_url": {"url": wrong.pop("picture")}})
    asked = {"model": name, "messages": [{"role": "user", "content": content}], **wrong}
    with pytest.raises(openai.BadRequestError) as caught:
        sdk.chat.completions.create(**asked)
    assert (caught.value.param, caught.value.code) == (param, "unsupported_parameter")


def test_what_one_cannot_do_the_next_does(sdk):
    parsed = sdk.chat.completions.parse(model="any", messages=ASK, response_format=City)
    assert isinstance(parsed.choices[0].message.parsed, City)
