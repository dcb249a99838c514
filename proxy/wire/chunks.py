"""OpenAI's answers, made from what another dialect's upstream says.

Readers of translated streams call `Chunks` event by event, and translated whole answers end in
`completion`. Here the promises to the official SDKs are kept: the role once, an id and a name once
a call, calls counted from 0 without gaps, arguments that always parse, a finish before the usage,
the usage only for those who asked, and nothing between it and `[DONE]`. Where several answers were
asked for, each has `Chunks` of its own beside the first's, and the first begins and ends them all.
"""

from collections.abc import Mapping
from typing import Any, Self

from proxy.call import Call
from proxy.usage import Usage
from proxy.wire.answer import name_reasoning
from proxy.wire.counts import shown, size
from proxy.wire.tolerant import dumps

_DONE = b"data: [DONE]\n\n"
_NO_ARGUMENTS = "{}"


def answer_id(call: Call) -> str:
    """The id of the caller's answer: the call's own, so that it finds the call in the ledger."""
    return f"chatcmpl-{call.id.removeprefix('req_')}"


def completion(
    call: Call,
    model: str,
    message: dict[str, Any],
    finish: str,
    usage: Usage | None,
    logprobs: dict[str, Any] | None = None,
) -> bytes:
    """A whole answer of one choice."""
    return completion_of(
        call, model, [choice(0, message, finish, logprobs)], None if usage is None else shown(usage)
    )


def choice(
    index: int, message: dict[str, Any], finish: str, logprobs: dict[str, Any] | None
) -> dict[str, Any]:
    """One of the choices of a whole answer."""
    return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": finish}


def completion_of(
    call: Call, model: str, choices: list[dict[str, Any]], usage: Mapping[str, Any] | None
) -> bytes:
    """A whole answer of any number of choices; the usage as OpenAI writes it."""
    for each in choices:
        name_reasoning(each["message"], call.reasoning_field)
    answer = {
        "id": answer_id(call),
        "object": "chat.completion",
        "created": call.created,
        "model": model,
        "choices": choices,
        "system_fingerprint": None,
    }
    if usage is not None:
        answer["usage"] = usage
    return dumps(answer)


class Chunks:
    """Writes the chunks of one choice and remembers what the caller has seen of it."""

    __slots__ = (
        "_arguments",
        "_begun",
        "_call",
        "_head",
        "_index",
        "_lead",
        "_legacy",
        "_tail",
        "model",
        "output_bytes",
        "pieces",
    )

    def __init__(self, call: Call, *, legacy: bool, index: int = 0, head: bytes = b"") -> None:
        self._call = call
        self._legacy = legacy
        self._index = index
        self._begun = False
        self._head = head
        self._lead = self._tail = b""
        self._arguments: list[int] = []
        """Characters of arguments sent, by tool call."""
        self.model = call.model
        """What the answer says of its model; settled by the first chunk."""
        self.output_bytes = 0
        self.pieces = 0

    @property
    def called(self) -> bool:
        """Whether the caller has been given a tool call."""
        return bool(self._arguments)

    def beside(self, index: int) -> Self:
        """Another choice of the same answer, which has begun."""
        return type(self)(self._call, legacy=self._legacy, index=index, head=self._head)

    def begin(self) -> bytes:
        """The role, if it has not been said: choices begin in their order, whoever speaks first."""
        return self._begin("")

    def text(self, text: str, logprobs: dict[str, Any] | None = None) -> bytes:
        """A piece of the answer."""
        return self._shown({"content": text}, text, logprobs=logprobs) if text else b""

    def reasoning(self, text: str) -> bytes:
        """A piece of what the model thought; an empty one where the route's callers get none of it."""
        delta = {"reasoning_content": text}
        name_reasoning(delta, self._call.reasoning_field)
        return self._shown(delta, text) if text else b""

    def refusal(self, text: str) -> bytes:
        """Why there is no answer."""
        return self._shown({"refusal": text}, text) if text else b""

    def open_call(self, name: str, made_id: str) -> tuple[int, bytes]:
        """The next tool call begins: its number, and its first chunk."""
        number = len(self._arguments)
        self._arguments.append(0)
        function = {"name": name, "arguments": ""}
        piece = {"index": number, "id": made_id, "type": "function", "function": function}
        return number, self._of_call(number, piece, name, content=None)

    def arguments(self, number: int, text: str) -> bytes:
        """A piece of a tool call's arguments."""
        if not text:
            return b""
        self._arguments[number] += len(text)
        return self._of_call(number, {"index": number, "function": {"arguments": text}}, text)

    def close_call(self, number: int, otherwise: str = _NO_ARGUMENTS) -> bytes:
        """A tool call is complete; `otherwise` are its arguments if none were sent."""
        return b"" if self._arguments[number] else self.arguments(number, otherwise)

    def end(self, finish: str, usage: Usage | None) -> bytes:
        """The end of an answer of one choice."""
        return self.close(finish) + self.done(None if usage is None else shown(usage))

    def close(self, finish: str) -> bytes:
        """The finish of this choice."""
        out = [self.close_call(number) for number in range(len(self._arguments))]
        out.append(self._begin("") + self._chunk({}, finish))
        return b"".join(out)

    def done(self, usage: Mapping[str, Any] | None) -> bytes:
        """After the last finish: the usage for those who asked, as OpenAI writes it, and `[DONE]`."""
        if usage is None or not self._call.include_usage:
            return _DONE
        return self._head + b'"choices":[],"usage":' + dumps(usage) + b"}\n\n" + _DONE

    def _of_call(self, number: int, piece: dict[str, Any], seen: str, content: str | None = "") -> bytes:
        if not self._legacy:
            return self._shown({"tool_calls": [piece]}, seen, content)
        return self._shown({"function_call": piece["function"]}, seen, content) if number == 0 else b""

    def _shown(
        self,
        delta: dict[str, Any],
        seen: str,
        content: str | None = "",
        logprobs: dict[str, Any] | None = None,
    ) -> bytes:
        self.output_bytes += size(seen)
        self.pieces += 1
        return self._begin(content) + self._chunk(delta, logprobs=logprobs)

    def _begin(self, content: str | None) -> bytes:
        """The chunk with the role, before anything else."""
        if self._begun:
            return b""
        self._begun = True
        self._head = self._head or self._opening()
        self._lead = self._head + b'"choices":[{"index":%d,"delta":' % self._index
        self._tail = b"}]" + (b',"usage":null' if self._call.include_usage else b"") + b"}\n\n"
        return self._chunk({"role": "assistant", "content": content})

    def _opening(self) -> bytes:
        """What every chunk of the answer says alike."""
        head = {
            "id": answer_id(self._call),
            "object": "chat.completion.chunk",
            "created": self._call.created,
            "model": self.model,
        }
        return b"data: " + dumps(head)[:-1] + b","

    def _chunk(
        self, delta: dict[str, Any], finish: str | None = None, logprobs: dict[str, Any] | None = None
    ) -> bytes:
        reason = b"null" if finish is None else b'"%b"' % finish.encode()
        return b'%b%b,"logprobs":%b,"finish_reason":%b%b' % (
            self._lead,
            dumps(delta),
            b"null" if logprobs is None else dumps(logprobs),
            reason,
            self._tail,
        )
