"""The official Python SDK in front of a Claude: what only it has to show, beside `test_every_dialect.py`."""

import openai
import pytest

from tests.kit.asking import WEATHER, City, client_of
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


def test_a_picture_may_be_a_link(sdk):
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    messages = [{"role": "user", "content": [{"type": "text", "text": "what?"}, image]}]
    raw = sdk.chat.completions.with_raw_response.create(model="chat", messages=messages)
    assert raw.headers["x-fallthrough-upstream"] == "anthropic"


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
