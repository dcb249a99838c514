"""A simulated upstream that speaks OpenAI's chat completions, as OpenAI or as vLLM does.

Pure; `server.py` plays it at `/<name>/v1/chat/completions`.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import orjson

from proxy.simulator.answers import Said
from proxy.simulator.manners import ERRORS, judge, of_status, shape
from proxy.simulator.tongue import Tongue

DONE = b"data: [DONE]\n\n"


class Answer:
    """One answer in OpenAI's members."""

    done = DONE

    def __init__(self, ident: str, body: dict[str, Any], said: Said) -> None:
        """`ident` names the upstream and the answer, as every id of the answer does."""
        self._ident = ident
        self._head: dict[str, Any] = {
            "id": f"chatcmpl-simulated-{ident}",
            "created": 1_767_225_600,
            "model": str(body.get("model") or "simulated"),
        }
        self._said = said
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
        text = "".join(self._said.tokens)
        message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
        if self._said.tool is None:
            return message
        function = {"name": self._said.tool, "arguments": text}
        return message | {"content": None, "tool_calls": [self._call(index) | {"function": function}]}

    def events(self) -> Iterator[bytes]:
        """All events of the stream, `[DONE]` left out."""
        for index in self._choices:
            yield self._event(index, {"role": "assistant", "content": None if self._said.tool else ""})
        if self._said.tool is not None:
            for index in self._choices:
                function = {"name": self._said.tool, "arguments": ""}
                yield self._event(
                    index, {"tool_calls": [self._call(index) | {"index": 0, "function": function}]}
                )
        for token in self._said.tokens:
            for index in self._choices:
                yield self._event(index, self._delta(token))
        for index in self._choices:
            yield self._event(index, {}, self._said.finish)
        if self._usage_asked:
            yield self._frame({"choices": [], "usage": self._said.usage(len(self._choices))})

    def _delta(self, token: str) -> dict[str, Any]:
        if self._said.tool is None:
            return {"content": token}
        return {"tool_calls": [{"index": 0, "function": {"arguments": token}}]}

    def _call(self, index: int) -> dict[str, Any]:
        return {"id": f"call_{self._ident}-{index}", "type": "function"}

    def _event(self, index: int, delta: dict[str, Any], finish: str | None = None) -> bytes:
        return self._frame({"choices": [{"index": index, "delta": delta, "finish_reason": finish}]})

    def _frame(self, members: dict[str, Any]) -> bytes:
        event = {**self._head, "object": "chat.completion.chunk", **members}
        return b"data: " + orjson.dumps(event) + b"\n\n"


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
        answer=Answer,
        early=is_vllm,
    )
