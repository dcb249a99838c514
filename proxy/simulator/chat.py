"""A simulated upstream that speaks OpenAI's chat completions, as OpenAI or as vLLM does.

Pure; `server.py` plays it at `/<name>/v1/chat/completions`.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import orjson

from proxy.simulator.answers import Called, Said
from proxy.simulator.manners import ERRORS, judge, of_status, shape
from proxy.simulator.tongue import Tongue

DONE = b"data: [DONE]\n\n"


class Answer:
    """One answer in OpenAI's members."""

    done = DONE
    _refusal = "refusal"

    def __init__(self, ident: str, body: dict[str, Any], said: Said) -> None:
        """`ident` names the upstream and the answer, as every id of the answer does."""
        self._ident = ident
        self._head: dict[str, Any] = {
            "id": f"chatcmpl-simulated-{ident}",
            "created": 1_767_225_600,
            "model": str(body.get("model") or "simulated"),
        }
        self._said = said
        self._member = self._refusal if said.refused else "content"
        """Where the words stand."""
        self._choices = range(int(body.get("n") or 1))
        self._usage_asked = bool((body.get("stream_options") or {}).get("include_usage"))

    def whole(self) -> bytes:
        choices = [
            {
                "index": index,
                "message": self._message(index),
                "logprobs": None,
                "finish_reason": self._said.finish,
            }
            for index in self._choices
        ]
        usage = self._said.usage(len(self._choices))
        return orjson.dumps({**self._head, "object": "chat.completion", "choices": choices, "usage": usage})

    def _message(self, index: int) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
        calls = [
            self._call(number) | {"function": {"name": call.name, "arguments": "".join(call.tokens)}}
            for number, call in self._calls(index)
        ]
        return message | ({"tool_calls": calls} if calls else {self._member: "".join(self._said.tokens)})

    def events(self) -> Iterator[bytes]:
        """All events of the stream, `[DONE]` left out."""
        for index in self._choices:
            yield self._event(index, {"role": "assistant", "content": None if self._said.tool else ""})
        yield from self._aloud()
        for index in self._choices:
            for place, (number, call) in enumerate(self._calls(index)):
                begun = self._call(number) | {
                    "index": place,
                    "function": {"name": call.name, "arguments": ""},
                }
                yield self._event(index, {"tool_calls": [begun]})
                for token in call.tokens:
                    yield self._event(index, self._delta(token, place))
        for token in self._said.tokens if self._said.tool is None else ():
            for index in self._choices:
                yield self._event(index, self._delta(token))
        for index in self._choices:
            yield self._event(index, {}, self._said.finish)
        if self._usage_asked:
            yield self._frame({"choices": [], "usage": self._said.usage(len(self._choices))})

    def _delta(self, token: str, place: int = 0) -> dict[str, Any]:
        if self._said.tool is None:
            return {self._member: token}
        return {"tool_calls": [{"index": place, "function": {"arguments": token}}]}

    def _calls(self, index: int) -> Iterator[tuple[int, Called]]:
        """The calls of one choice, each with a number of its own among all choices."""
        for place, call in enumerate(self._said.calls):
            yield index + place * len(self._choices), call

    def _aloud(self) -> Iterator[bytes]:
        """OpenAI shows none of them, but counts them."""
        return iter(())

    def _call(self, number: int) -> dict[str, Any]:
        return {"id": f"call_{self._ident}-{number}", "type": "function"}

    def _event(self, index: int, delta: dict[str, Any], finish: str | None = None) -> bytes:
        return self._frame({"choices": [{"index": index, "delta": delta, "finish_reason": finish}]})

    def _frame(self, members: dict[str, Any]) -> bytes:
        event = {**self._head, "object": "chat.completion.chunk", **members}
        return b"data: " + orjson.dumps(event) + b"\n\n"


class EngineAnswer(Answer):
    """As vLLM says it: what the model thought is shown, and a refusal is but words."""

    _refusal = "content"

    def _message(self, index: int) -> dict[str, Any]:
        thought = "".join(self._said.thought)
        return super()._message(index) | ({"reasoning": thought} if thought else {})

    def _aloud(self) -> Iterator[bytes]:
        for token in self._said.thought:
            for index in self._choices:
                yield self._event(index, {"reasoning": token})


def tongue(dialect: str) -> Tongue:
    """Chat completions as `openai` or `vllm` has them."""
    broken = b"data: " + orjson.dumps(shape(dialect, ERRORS["server"])) + b"\n\n"
    is_vllm = dialect == "vllm"
    return Tongue(
        judge=partial(judge, dialect),
        shape=partial(shape, dialect),
        errors=ERRORS,
        of_status=of_status,
        error_event=lambda: broken + DONE if is_vllm else broken,
        as_chat=lambda body: body,
        answer=EngineAnswer if is_vllm else Answer,
        early=is_vllm,
    )
