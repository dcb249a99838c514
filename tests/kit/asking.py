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
CLOCK = {
    "type": "function",
    "function": {
        "name": "clock",
        "parameters": {"type": "object", "properties": {"zone": {"type": "string"}}, "required": ["zone"]},
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


def chat(
    sdk: OpenAI, messages: list[dict[str, Any]], *, stream: bool, model: str = "chat"
) -> tuple[str, Any]:
    """The text and the usage of one answer."""
    talk = Talk(sdk, model, messages, stream=stream)
    return talk.turn().message.content, talk.usage


class Talk:
    """A conversation as a program keeps it: its history is what the SDK gave it, and nothing else."""

    def __init__(
        self, sdk: OpenAI, model: str, messages: list[dict[str, Any]], *, stream: bool, **asked: Any
    ) -> None:
        self._sdk = sdk
        self._asked = {"model": model, **asked}
        self._stream = stream
        self._calls: list[str] = []
        self.messages = list(messages)
        self.usage: Any = None

    def turn(self) -> Any:
        """The next answer, which becomes part of the history."""
        asked = {**self._asked, "messages": self.messages}
        if self._stream:
            with self._sdk.chat.completions.stream(**asked, stream_options={"include_usage": True}) as events:
                answer = events.get_final_completion()
        else:
            answer = self._sdk.chat.completions.create(**asked)
        self.usage = answer.usage
        choice = answer.choices[0]
        self._remember(choice.message)
        return choice

    def say(self, text: str) -> None:
        """What the user says next."""
        self.messages.append({"role": "user", "content": text})

    def give_results(self, *, backwards: bool = False) -> None:
        """A result for each call of the last turn."""
        for made in reversed(self._calls) if backwards else self._calls:
            self.messages.append({"role": "tool", "tool_call_id": made, "content": f"result of {made}"})

    def _remember(self, message: Any) -> None:
        """Only the members of OpenAI's own: most programs lose all others."""
        kept: dict[str, Any] = {"role": "assistant", "content": message.content}
        calls = message.tool_calls or []
        if calls:
            kept["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.function.name, "arguments": call.function.arguments},
                }
                for call in calls
            ]
        self._calls = [call.id for call in calls]
        self.messages.append(kept)
