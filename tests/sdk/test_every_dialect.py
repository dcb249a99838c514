"""The official Python SDK in front of every dialect in turn: the caller must not notice who answers.

One program, every upstream simulated as strictly as its vendor is. What only one dialect has to show
is in the files named after it.
"""

from itertools import permutations

import openai
import pytest

from proxy.simulator.answers import REFUSAL
from proxy.wire import DIALECTS
from tests.kit.asking import CLOCK, PIXEL, WEATHER, City, Talk, chat, client_of
from tests.kit.processes import TABLE, calls, house

HEAD, _, _ = TABLE.partition("upstreams:")
MODELS = {
    "anthropic": "claude-opus-4-8",
    "gemini": "gemini-3-flash-preview",
    "openai": "gpt-5",
    "vllm": "mixtral",
}
PATHS = {"anthropic": ""}
"""Where a base URL does not end in `/v1`."""
PAIRS = list(permutations(MODELS, 2))
TROUBLES = ("rate_limit", "overload", "money", "auth", "model", "server")
SICK = {
    f"{dialect}-{trouble.replace('_', '-')}": (dialect, trouble) for dialect in MODELS for trouble in TROUBLES
}
"""Upstreams that fail in one way each: a breaker that opens for one must not hide the next."""


def upstream(name: str, dialect: str) -> str:
    known = "capabilities: openai, " if dialect == "openai" else ""
    base = f"http://127.0.0.1:{{simulator}}/{name}{PATHS.get(dialect, '/v1')}"
    return f"  {name}: {{{{dialect: {dialect}, base_url: '{base}', {known}api_key: sk-upstream}}}}\n"


def route(model: str, *upstreams: str) -> str:
    targets = ", ".join(f"{name}/{MODELS[name.partition('-')[0]]}" for name in upstreams)
    return f"  - {{{{model: {model}, targets: [{targets}]}}}}\n"


EVERYONE = (
    HEAD
    + "upstreams:\n"
    + "".join(upstream(name, name) for name in MODELS)
    + "".join(upstream(name, dialect) for name, (dialect, _) in SICK.items())
    + "routes:\n"
    + "".join(route(name, name) for name in MODELS)
    + "".join(route(f"{one}-then-{other}", one, other) for one, other in PAIRS)
    + "".join(
        route(name, name, "openai" if dialect == "vllm" else "vllm") for name, (dialect, _) in SICK.items()
    )
    + "prices:\n  '*': {{input: 0.3, output: 2.5}}\n"
)
ASK = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hello"}]

every = pytest.mark.parametrize("dialect", MODELS)
both = pytest.mark.parametrize("stream", [False, True])


@pytest.fixture(scope="module")
def everyone(tmp_path_factory):
    with house(tmp_path_factory.mktemp("everyone"), table=EVERYONE) as built:
        yield built


@pytest.fixture
def sdk(everyone):
    with client_of(everyone) as client:
        yield client


def test_no_dialect_is_left_out():
    assert set(MODELS) == set(DIALECTS)


@every
def test_a_chat_is_answered_counted_and_paid_streamed_or_not(sdk, everyone, dialect):
    heard = [chat(sdk, ASK, stream=stream, model=dialect) for stream in (False, True)]
    assert heard[0] == heard[1]
    for (said, usage), row in zip(heard, calls(everyone, 2), strict=True):
        assert said.startswith(f"Simulated answer from {dialect}")
        assert usage.completion_tokens == len(said.split(" "))
        assert (row["upstream"], row["input_tokens"]) == (dialect, usage.prompt_tokens)
        assert row["output_tokens"] == usage.completion_tokens
        assert row["nano_usd"] == usage.prompt_tokens * 300 + usage.completion_tokens * 2500


@both
@every
def test_two_tools_are_called_at_once_and_their_results_answered(sdk, dialect, stream):
    talk = Talk(sdk, dialect, ASK, stream=stream, tools=[WEATHER, CLOCK])
    asked = talk.turn()
    assert asked.finish_reason == "tool_calls"
    assert [call.function.name for call in asked.message.tool_calls] == ["weather", "clock"]
    assert len({call.id for call in asked.message.tool_calls}) == 2
    talk.give_results(backwards=True)
    answered = talk.turn()
    assert answered.finish_reason == "stop"
    assert answered.message.content.startswith(f"Simulated answer from {dialect}")
    talk.say("And tomorrow?")
    assert talk.turn().finish_reason == "tool_calls"


@every
def test_parse_and_the_stream_helper_give_an_object_of_the_schema(sdk, dialect):
    parsed = sdk.chat.completions.parse(model=dialect, messages=ASK, response_format=City)
    assert isinstance(parsed.choices[0].message.parsed, City)
    with sdk.chat.completions.stream(model=dialect, messages=ASK, response_format=City) as events:
        choice = events.get_final_completion().choices[0]
    assert isinstance(choice.message.parsed, City)
    assert choice.finish_reason == "stop"


@every
def test_an_answer_cut_by_the_maximum_is_never_parsed(sdk, dialect):
    with pytest.raises(openai.LengthFinishReasonError):
        sdk.chat.completions.parse(model=dialect, messages=ASK, max_tokens=1)


@every
def test_a_picture_goes_up_as_data(sdk, dialect):
    content = [{"type": "text", "text": "what?"}, {"type": "image_url", "image_url": {"url": PIXEL}}]
    messages = [{"role": "user", "content": content}]
    raw = sdk.chat.completions.with_raw_response.create(model=dialect, messages=messages)
    assert raw.headers["x-fallthrough-upstream"] == dialect


@both
@every
def test_reasoning_is_asked_for_shown_and_counted(sdk, dialect, stream):
    """OpenAI shows none of it; Gemini must be asked to."""
    more = {"extra_body": {"include_reasoning": True}} if dialect == "gemini" else {}
    talk = Talk(sdk, dialect, ASK, stream=stream, reasoning_effort="high", **more)
    message = talk.turn().message
    assert message.content.startswith(f"Simulated answer from {dialect}")
    shown = (message.model_extra or {}).get("reasoning_content", "")
    assert bool(shown) is (dialect != "openai")
    said = len(message.content.split(" "))
    thought = talk.usage.completion_tokens - said
    assert thought == len(shown.split(" ")) if shown else thought > 0
    if dialect != "anthropic":  # which need not tell them apart
        assert talk.usage.completion_tokens_details.reasoning_tokens == thought


@both
@every
def test_a_refusal_is_an_answer_and_ends_there(sdk, everyone, dialect, stream):
    everyone.script(f"{dialect}: [{{do: {{refuse: true}}}}]")
    answer = sdk.chat.completions.create(model=dialect, messages=ASK, stream=stream)
    pieces = [chunk.choices[0] for chunk in answer] if stream else answer.choices
    said = [piece.delta if stream else piece.message for piece in pieces]
    told = {
        "anthropic": ("content_filter", "", REFUSAL),
        "gemini": ("content_filter", "", "The prompt was blocked: PROHIBITED_CONTENT."),
        "openai": ("stop", "", REFUSAL),
        "vllm": ("stop", REFUSAL, ""),
    }
    seen = ("".join(one.content or "" for one in said), "".join(one.refusal or "" for one in said))
    assert (pieces[-1].finish_reason, *seen) == told[dialect]


@pytest.mark.parametrize("dialect", ["anthropic", "gemini"])
def test_what_was_filtered_is_never_parsed(sdk, everyone, dialect):
    everyone.script(f"{dialect}: [{{do: {{refuse: true}}}}]")
    with pytest.raises(openai.ContentFilterFinishReasonError):
        sdk.chat.completions.parse(model=dialect, messages=ASK, response_format=City)


@both
@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_a_conversation_with_tools_goes_on_with_another_dialect_and_returns(
    sdk, everyone, one, other, stream
):
    talk = Talk(sdk, f"{one}-then-{other}", ASK, stream=stream, tools=[WEATHER, CLOCK])
    assert talk.turn().finish_reason == "tool_calls"
    talk.give_results()
    everyone.script(f"{one}: [{{do: {{error: server}}}}]")
    assert talk.turn().message.content.startswith(f"Simulated answer from {other}")
    talk.say("And now?")
    assert len(talk.turn().message.tool_calls) == 2
    talk.give_results()
    everyone.script("{}")
    assert talk.turn().message.content.startswith(f"Simulated answer from {one}")


@pytest.mark.parametrize("name", SICK)
def test_every_trouble_of_an_upstream_is_somebody_elses_answer(sdk, everyone, name):
    everyone.script(f"{name}: [{{do: {{error: {SICK[name][1]}}}}}]")
    raw = sdk.chat.completions.with_raw_response.create(model=name, messages=ASK)
    assert raw.headers["x-fallthrough-upstream"] in {"openai", "vllm"}
    assert int(raw.headers["x-fallthrough-attempts"]) >= 2
    assert raw.parse().choices[0].message.content.startswith("Simulated answer from ")


@pytest.mark.fault("c4-error")
@pytest.mark.parametrize("do", ["cut: 4", "error_event: 4, chunk_delay: 20ms"])
@every
def test_a_stream_that_breaks_is_an_error_and_no_answer(sdk, everyone, dialect, do):
    everyone.script(f"{dialect}: [{{do: {{{do}}}}}]")
    text = ""
    with pytest.raises(openai.APIError) as caught:
        for chunk in sdk.chat.completions.create(model=dialect, messages=ASK, stream=True):
            text += chunk.choices[0].delta.content or ""
    assert text
    assert caught.value.code == "upstream_broken"
