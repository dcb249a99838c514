"""Simulated Mistral, DeepSeek and Ollama: OpenAI's shape with each one's ways.

Pure; `server.py` plays them at `/<name>/v1/chat/completions` for upstreams of these names, or that a
script declares. They answer as `chat.py` does and depart from it where the real ones do: reasoning
and its place, ids, padding, where the count stands, what is said twice.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson

from proxy.simulator.answers import Said
from proxy.simulator.chat import Answer
from proxy.simulator.manners import ERRORS, Refusal, of_status, shape
from proxy.simulator.strict import judge_deepseek, judge_mistral, judge_ollama
from proxy.simulator.tongue import JsonObject, Tongue

THOUGHT = "This is made up, so no thought is needed."


class _Thinking(Answer):
    """An answer that may begin with reasoning; a refusal is but words, for none has a place for it."""

    _refusal = "content"

    def __init__(self, ident: str, body: dict[str, Any], said: Said) -> None:
        super().__init__(ident, body, said)
        self._thought = THOUGHT if self._thinks(body) else ""

    def _thinks(self, body: Mapping[str, Any]) -> bool:
        return body.get("reasoning_effort") not in (None, "none")

    def _words(self) -> Iterator[str]:
        """The reasoning, a word a chunk."""
        first, *rest = self._thought.split(" ")
        yield first
        yield from (f" {word}" for word in rest)


class DeepSeek(_Thinking):
    """Thinks unless told not to; the count stands on the last chunk."""

    def _thinks(self, body: Mapping[str, Any]) -> bool:
        return body.get("thinking") != {"type": "disabled"}

    def _call(self, index: int) -> dict[str, Any]:
        return {"id": f"call_00_{self._ident}-{index}", "type": "function"}

    def _message(self, index: int) -> dict[str, Any]:
        message = super()._message(index)
        return message | {"reasoning_content": self._thought} if self._thought else message

    def _counted(self) -> dict[str, Any]:
        usage = self._said.usage(1)
        return {**usage, "prompt_cache_hit_tokens": 0, "prompt_cache_miss_tokens": usage["prompt_tokens"]}

    def events(self) -> Iterator[bytes]:
        """As the real one: reasoning first, every chunk with a `usage`, the last with the count."""
        yield b": keep-alive\n\n"
        yield self._event(0, {"role": "assistant", "content": None, "reasoning_content": ""})
        for word in self._words() if self._thought else ():
            yield self._event(0, {"content": None, "reasoning_content": word})
        if self._said.tool is not None:
            function = {"name": self._said.tool, "arguments": ""}
            yield self._event(0, {"tool_calls": [self._call(0) | {"index": 0, "function": function}]})
        for token in self._said.tokens:
            yield self._event(0, self._delta(token))
        last = {"index": 0, "delta": {"content": ""}, "finish_reason": self._said.finish}
        yield self._frame({"choices": [last], "usage": self._counted()})


class Mistral(_Thinking):
    """Thinks in lists; a tool call, the finish and the count come in one padded chunk."""

    def _call(self, index: int) -> dict[str, Any]:
        made = hashlib.sha256(f"{self._ident}-{index}".encode()).hexdigest()[:9]
        return {"id": made, "type": "function"}

    def _thoughts(self, text: str) -> list[dict[str, Any]]:
        return [{"type": "thinking", "thinking": [{"type": "text", "text": text}]}]

    def _message(self, index: int) -> dict[str, Any]:
        message = super()._message(index)
        del message["refusal"]
        message.setdefault("tool_calls", None)
        if self._thought:
            said = message["content"]
            text = [{"type": "text", "text": said}] if said else []
            message["content"] = self._thoughts(self._thought) + text
        return message

    def events(self) -> Iterator[bytes]:
        """Reasoning as lists, then words, or one whole call."""
        for index in self._choices:
            yield self._padded(index, {"role": "assistant", "content": ""})
            for word in self._words() if self._thought else ():
                yield self._padded(index, {"content": self._thoughts(word)})
            if self._said.tool is None:
                for token in self._said.tokens:
                    yield self._padded(index, {"content": token})
                last: dict[str, Any] = {"content": ""}
            else:
                function = {"name": self._said.tool, "arguments": "".join(self._said.tokens)}
                last = {"tool_calls": [self._call(index) | {"index": 0, "function": function}]}
            choice = {"index": index, "delta": last, "finish_reason": self._said.finish}
            yield self._frame({"choices": [choice], "usage": self._said.usage(len(self._choices)), "p": "ab"})

    def _padded(self, index: int, delta: dict[str, Any]) -> bytes:
        choice = {"index": index, "delta": delta, "finish_reason": None}
        return self._frame({"choices": [choice], "p": "abcdef"})


class Ollama(_Thinking):
    """Says the role with every piece, and has a name of its own for reasoning."""

    def _message(self, index: int) -> dict[str, Any]:
        message = super()._message(index)
        return message | {"reasoning": self._thought} if self._thought else message

    def events(self) -> Iterator[bytes]:
        """The role again and again."""
        for word in self._words() if self._thought else ():
            yield self._event(0, {"role": "assistant", "content": "", "reasoning": word})
        yield from super().events()

    def _event(self, index: int, delta: dict[str, Any], finish: str | None = None) -> bytes:
        return super()._event(index, {"role": "assistant", **delta}, finish)


def _shape_mistral(refusal: Refusal) -> JsonObject:
    message: Any = refusal.message
    if refusal.status == 422:
        place = (refusal.param or "body").split(".")
        message = {"detail": [{"type": refusal.code, "loc": place, "msg": refusal.message, "input": None}]}
    code = None if refusal.status == 422 else refusal.code
    return {"object": "error", "message": message, "type": refusal.type, "param": None, "code": code}


def _shape_openai(refusal: Refusal) -> JsonObject:
    return shape("openai", refusal)


def _tongue(
    judge: Callable[[Any], Refusal | None], shaped: Callable[[Refusal], JsonObject], answer: type[Answer]
) -> Tongue:
    broken = b"data: " + orjson.dumps(shaped(ERRORS["server"])) + b"\n\n"
    return Tongue(
        judge=judge,
        shape=shaped,
        errors=ERRORS,
        of_status=of_status,
        error_event=lambda: broken,
        as_chat=lambda body: body,
        answer=answer,
    )


SHAPED: Mapping[str, Tongue] = {
    "deepseek": _tongue(judge_deepseek, _shape_openai, DeepSeek),
    "mistral": _tongue(judge_mistral, _shape_mistral, Mistral),
    "ollama": _tongue(judge_ollama, _shape_openai, Ollama),
}
"""By the name of the upstream, or as a script declares it."""
