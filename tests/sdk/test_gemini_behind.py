"""The official Python SDK in front of a Gemini: what only it has to show, beside `test_every_dialect.py`."""

import openai
import pytest

from tests.kit.asking import PIXEL, WEATHER, client_of
from tests.kit.processes import TABLE, house

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


def test_what_is_lost_is_said_in_a_header(sdk):
    raw = sdk.chat.completions.with_raw_response.create(
        model="alone", messages=ASK, tools=[WEATHER], parallel_tool_calls=False
    )
    assert raw.headers["x-fallthrough-degraded"] == "parallel_tool_calls"


def test_a_stream_that_ends_without_a_finish_is_an_error_and_no_answer(sdk, behind):
    behind.script("gemini: [{do: {no_done: true}}]")
    with pytest.raises(openai.APIError):
        list(sdk.chat.completions.create(model="alone", messages=ASK, stream=True))
