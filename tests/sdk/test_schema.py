"""Structured outputs of the official SDK on a route that holds answers to their schema."""

import openai
import pytest
from openai import OpenAI
from pydantic import BaseModel

from tests.kit.processes import calls, house

ASK = [{"role": "user", "content": "Where is it?"}]
PROSE = "[{do: {prose: true}}]"


class Place(BaseModel):
    """What is asked for."""

    city: str
    inhabitants: int


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """A proxy of its own: what other tests did to the upstreams of theirs would decide who answers here."""
    with house(tmp_path_factory.mktemp("house")) as built:
        yield built


@pytest.fixture
def sdk(healthy):
    with OpenAI(base_url=healthy.base_url, api_key=healthy.key) as client:
        yield client


def test_a_form_that_one_upstream_does_not_keep_to_comes_from_the_next(sdk, healthy):
    healthy.script(f"first: {PROSE}")
    found = sdk.chat.completions.parse(model="checked", messages=ASK, response_format=Place)
    assert isinstance(found.choices[0].message.parsed, Place)
    row = calls(healthy, 1)[0]
    assert (row["result"], row["upstream"]) == ("ok", "vllm")
    assert [attempt["result"] for attempt in row["attempts"]] == ["off_schema", "ok"]
    assert row["output_tokens"] > found.usage.completion_tokens


def test_when_nobody_keeps_to_it_the_sdk_raises_once_with_the_reason(sdk, healthy):
    healthy.script(f"{{first: {PROSE}, vllm: {PROSE}}}")
    before = len(calls(healthy, 1000))
    with pytest.raises(openai.InternalServerError) as raised:
        sdk.chat.completions.parse(model="checked", messages=ASK, response_format=Place)
    assert (raised.value.status_code, raised.value.code) == (502, "off_schema")
    assert "off_schema" in str(raised.value)
    assert len(calls(healthy, 1000)) == before + 1, "the SDK does not ask again for what was paid for"


def test_a_stream_goes_out_as_it_comes_whatever_it_says(sdk, healthy):
    healthy.script(f"first: {PROSE}")
    form = {"type": "json_schema", "json_schema": {"name": "place", "schema": Place.model_json_schema()}}
    chunks = sdk.chat.completions.create(model="checked", messages=ASK, response_format=form, stream=True)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text.startswith("Simulated answer from first")


def test_a_schema_that_leads_elsewhere_is_refused_by_name(sdk):
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"$ref": "https://evil.example/"}}}
    with pytest.raises(openai.BadRequestError) as raised:
        sdk.chat.completions.create(model="checked", messages=ASK, response_format=form)
    assert (raised.value.code, raised.value.param) == (
        "invalid_schema", "response_format.json_schema.schema",
    )  # fmt: skip
