"""A whole answer of Messages, judged and said again as a chat completion.

The dialect calls `judge_reply` with the body of a success. Blocks of the upstream's own tools and
of kinds nobody knows yet are passed over: the caller offered no such tools and could not answer.
What must come back with the caller's calls is kept aside (`memory.py`).
"""

from collections.abc import Mapping
from typing import Any

from proxy.call import Call, Kind, Phase, Signal
from proxy.wire.answer import finish_reason
from proxy.wire.anthropic.errors import complain
from proxy.wire.anthropic.memory import Keeping
from proxy.wire.anthropic.tools import answer_tool
from proxy.wire.anthropic.usage import reported
from proxy.wire.chunks import completion
from proxy.wire.counts import estimated, fewest, size, weighed
from proxy.wire.dialect import Reply
from proxy.wire.errors import inband
from proxy.wire.tolerant import dumps, exact, loads

_FINISHES: Mapping[str, str] = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}
"""All other reasons are `stop`, or `tool_calls` if the caller has been given some."""


class Malformed(Exception):
    """A part of an answer that no client could read."""


def finish(reason: Any, *, called: bool, legacy: bool) -> str:
    """OpenAI's word for a `stop_reason`."""
    word = _FINISHES.get(reason, "stop") if isinstance(reason, str) else "stop"
    return finish_reason(word, called=called, legacy=legacy)


def explanation(reason: Any, details: Any) -> str:
    """What the upstream says of its refusal."""
    said = details.get("explanation") if isinstance(details, dict) and reason == "refusal" else None
    return said if isinstance(said, str) else ""


def judge_reply(call: Call, status: int, body: bytes) -> Reply | Signal:
    """The caller's bytes, or why this is no answer."""
    try:
        return _judge(call, exact(loads(body), body))
    except Malformed as fault:
        return Signal(Kind.BAD_ANSWER, Phase.HEADERS, status, detail=str(fault))
    except ValueError:
        return Signal(Kind.BAD_ANSWER, Phase.HEADERS, status, detail="not JSON that can be passed on")


def _judge(call: Call, answer: Any) -> Reply | Signal:
    if not isinstance(answer, dict):
        raise Malformed("not an object")
    if answer.get("error") or answer.get("type") == "error":
        return inband(complain(answer), Phase.HEADERS)
    blocks = answer.get("content")
    if not isinstance(blocks, list):
        raise Malformed("no content")
    gathered = _Gathered(answer_tool(call.body))
    for block in blocks:
        gathered.take(block)
    legacy = bool(call.body.get("functions"))
    reason = answer.get("stop_reason")
    if reason is None and not gathered.output_bytes:
        raise Malformed("neither an answer nor its end")
    message = gathered.message(explanation(reason, answer.get("stop_details")), legacy=legacy)
    word = finish(reason, called=bool(gathered.calls), legacy=legacy)
    usage = reported(answer.get("usage"))
    model = answer.get("model")
    out = completion(call, model if isinstance(model, str) else call.model, message, word, usage)
    seen = gathered.output_bytes
    usage = weighed(usage, estimated(call.prompt_bytes, seen, 0), fewest(seen))
    # The old form of calls has no ids by which anything could be found again.
    return Reply(out, usage, () if legacy else gathered.kept.memories())


class _Gathered:
    """What the caller can use of an answer's blocks."""

    def __init__(self, answer_name: str | None) -> None:
        self._answer_name = answer_name
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self.calls: list[dict[str, Any]] = []
        self.kept = Keeping()

    @property
    def output_bytes(self) -> int:
        """Size of what the caller can see."""
        called = len(dumps(self.calls)) if self.calls else 0
        return called + sum(size(text) for text in (*self._texts, *self._thoughts))

    def take(self, block: Any) -> None:
        """One block of the answer."""
        if not isinstance(block, dict):
            raise Malformed("a block that is no object")
        match block.get("type"):
            case "text":
                text = string(block, "text")
                self._texts.append(text)
                self.kept.text(text, begins=True)
            case "thinking":
                thought = string(block, "thinking")
                self._thoughts.append(thought)
                self.kept.thought(thought, block.get("signature"))
            case "redacted_thinking":
                self.kept.hidden(block.get("data"))
            case "tool_use":
                self._call(block)

    def message(self, refused: str, *, legacy: bool) -> dict[str, Any]:
        """The caller's message."""
        text = "".join(self._texts)
        message: dict[str, Any] = {
            "role": "assistant",
            "content": None if not text and (self.calls or refused) else text,
            "refusal": refused if refused and not text else None,
        }
        thought = "".join(self._thoughts)
        if thought:
            message["reasoning_content"] = thought
        if self.calls and legacy:
            message["function_call"] = self.calls[0]["function"]
        elif self.calls:
            message["tool_calls"] = self.calls
        return message

    def _call(self, block: dict[str, Any]) -> None:
        name, made = string(block, "name"), string(block, "id")
        given = block.get("input") or {}
        if not isinstance(given, dict) or not name or not made:
            raise Malformed("a malformed tool call")
        arguments = dumps(given).decode()
        if name == self._answer_name:
            self._texts.append(arguments)
        else:
            function = {"name": name, "arguments": arguments}
            self.calls.append({"id": made, "type": "function", "function": function})
            self.kept.call(made)


def string(part: Mapping[str, Any], name: str) -> str:
    """A member that must be text."""
    value = part.get(name, "")
    if not isinstance(value, str):
        raise Malformed(f"a {name} that is no text")
    return value
