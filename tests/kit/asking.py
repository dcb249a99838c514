"""What programs ask for, whoever answers: shared by the tests that put the SDK before each dialect."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pydantic
from openai import OpenAI

from tests.kit.processes import House

PIXEL = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


class City(pydantic.BaseModel):
    name: str
    people: int


@contextmanager
def client_of(built: House) -> Iterator[OpenAI]:
    """A client without retries, while every simulated upstream is well."""
    built.script("{}")
    with OpenAI(base_url=built.base_url, api_key=built.key, max_retries=0) as client:
        yield client
    built.script("{}")


def chat(sdk: OpenAI, messages: list[dict[str, Any]], *, stream: bool) -> tuple[str, Any]:
    """The text and the usage of one answer for the model `chat`."""
    if not stream:
        answer = sdk.chat.completions.create(model="chat", messages=messages)
        return answer.choices[0].message.content, answer.usage
    options = {"stream": True, "stream_options": {"include_usage": True}}
    *chunks, last = sdk.chat.completions.create(model="chat", messages=messages, **options)
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks), last.usage
