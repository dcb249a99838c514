"""One choice of a streamed answer: what has been seen of it, and its deltas put right.

The reader keeps one per choice index. The official SDKs concatenate whatever strings they are
given twice, and index lists by what they are told, so role, ids and names go out once and tool
calls are counted from 0 without gaps.
"""

from typing import Any

from proxy.table import ReasoningField
from proxy.wire.answer import FAILED, finish_reason, name_reasoning, settle_text
from proxy.wire.counts import Tally, size
from proxy.wire.openai_thoughts import Thoughts
from proxy.wire.tolerant import dumps


class Malformed(Exception):
    """A piece that no client could read."""


class Choice:
    """The state of one choice. `take` is given each of its pieces in order."""

    __slots__ = (
        "_arguments",
        "_begun",
        "_ids",
        "_legacy",
        "_reasoning_field",
        "_slots",
        "_tally",
        "_thoughts",
        "broken",
        "calls",
        "finished",
    )

    def __init__(
        self, tally: Tally, thoughts: Thoughts | None, reasoning_field: ReasoningField, *, legacy: bool
    ) -> None:
        self._tally = tally
        self._reasoning_field = reasoning_field
        self._thoughts = thoughts
        self._legacy = legacy
        self.calls: list[str] = []
        """Ids of its tool calls that the caller has seen."""
        self._begun = False
        self._slots: dict[int, int] = {}
        """By the upstream's index: which call the caller has it for."""
        self._ids: list[Any] = []
        """What the upstream calls each of them."""
        self._arguments: list[int] = []
        """How much of each one's arguments has come."""
        self.finished = False
        self.broken = False
        """The upstream said that it gave up."""

    def take(self, choice: dict[str, Any]) -> bool:
        """Note what the piece brings and put it right in place; whether it changed."""
        delta = choice.get("delta")
        changed = delta is None
        if delta is None:
            delta = choice["delta"] = {}
        elif type(delta) is not dict:
            raise Malformed
        tally = self._tally
        before = tally.output_bytes
        if "role" in delta or not self._begun:
            changed = self._role(delta) or changed
        if delta:
            changed = self._text(delta) or changed
            if delta.get("tool_calls"):
                changed = self._calls(delta) or changed
            if tally.output_bytes > before:
                tally.pieces += 1
        if choice.get("finish_reason") is not None:
            changed = self._finish(choice, delta) or changed
        return changed

    def _role(self, delta: dict[str, Any]) -> bool:
        if self._begun:
            return delta.pop("role", None) is not None
        self._begun = True
        if delta.get("role") == "assistant":
            return False
        delta["role"] = "assistant"
        return True

    def _text(self, delta: dict[str, Any]) -> bool:
        content = delta.get("content")
        changed = False
        if "reasoning" in delta or isinstance(content, list):
            changed = settle_text(delta)
            content = delta.get("content")
        if content:
            self._note(content)
        if len(delta) > 1 or content is None:
            for name in ("reasoning_content", "refusal"):
                if delta.get(name):
                    self._note(delta[name])
                    if self._thoughts is not None and name == "reasoning_content":
                        self._thoughts.add(delta[name])
            for name in ("function_call", "audio"):
                if isinstance(delta.get(name), dict):
                    self._note("".join(text for text in delta[name].values() if isinstance(text, str)))
            if self._reasoning_field != "reasoning_content":
                changed = name_reasoning(delta, self._reasoning_field) or changed
        return changed

    def _note(self, text: Any) -> None:
        if not isinstance(text, str):
            raise Malformed
        self._tally.output_bytes += size(text)

    def _calls(self, delta: dict[str, Any]) -> bool:
        changed = False
        calls = delta["tool_calls"]
        if not isinstance(calls, list):
            raise Malformed
        for call in calls:
            if not isinstance(call, dict) or not isinstance(call.get("function", {}), dict):
                raise Malformed
            changed = self._call(call) or changed
        if self._legacy:
            del delta["tool_calls"]
            first = [call["function"] for call in calls if call["index"] == 0]
            if first:
                delta["function_call"] = first[0]
            changed = True
        return changed

    def _call(self, call: dict[str, Any]) -> bool:
        """One piece of a tool call: where it belongs, and nothing said twice."""
        key = call.get("index")
        if key is None:
            key = len(self._slots) if call.get("id") else max(0, len(self._slots) - 1)
        elif type(key) is not int:
            raise Malformed
        slot = self._slots.get(key)
        changed = False
        if slot is None or _begins_another(call, self._ids[slot]):
            slot = self._slots[key] = len(self._ids)
            self._ids.append(call.get("id"))
            self._arguments.append(0)
            changed = self._first_piece(call)
        else:
            changed = self._later_piece(call)
        if call.get("index") != slot:
            call["index"] = slot
            changed = True
        function = call["function"]
        arguments = function.get("arguments") or ""
        self._note(function.get("name") or "")
        self._note(arguments)
        self._arguments[slot] += len(arguments)
        return changed

    def _first_piece(self, call: dict[str, Any]) -> bool:
        function = call.setdefault("function", {})
        if isinstance(call.get("id"), str) and not self._legacy:
            self.calls.append(call["id"])
        changed = not call.get("type")
        if changed:
            call["type"] = "function"
        arguments = function.get("arguments")
        if not isinstance(arguments, str):
            function["arguments"] = dumps(arguments).decode() if isinstance(arguments, dict) else ""
            changed = True
        return changed

    def _later_piece(self, call: dict[str, Any]) -> bool:
        function = call.setdefault("function", {})
        repeated = [name for name in ("id", "type") if name in call]
        for name in repeated:
            del call[name]
        return function.pop("name", None) is not None or bool(repeated)

    def _finish(self, choice: dict[str, Any], delta: dict[str, Any]) -> bool:
        reason = choice["finish_reason"]
        if not isinstance(reason, str) or not reason:
            choice["finish_reason"] = None
            return True
        self.broken = reason in FAILED
        self.finished = True
        word = finish_reason(reason, called=bool(self._slots), legacy=self._legacy)
        choice["finish_reason"] = word
        return (bool(self._arguments) and self._complete_arguments(delta)) or word != reason

    def _complete_arguments(self, delta: dict[str, Any]) -> bool:
        """A call without arguments still has an object of none: clients parse the text."""
        empty = [slot for slot, length in enumerate(self._arguments) if length == 0]
        if not empty:
            return False
        if self._legacy:
            delta.setdefault("function_call", {})["arguments"] = "{}"
        else:
            calls = delta.setdefault("tool_calls", [])
            for slot in empty:
                mine = [call for call in calls if call.get("index") == slot]
                if mine:
                    mine[-1]["function"]["arguments"] = "{}"
                else:
                    calls.append({"index": slot, "function": {"arguments": "{}"}})
                self._arguments[slot] = 2
        return True


def _begins_another(call: dict[str, Any], known: Any) -> bool:
    """Whether a piece begins a call of its own at the index of a `known` one: some count all calls as 0.

    An id alone does not tell, for others make up a new one with every piece.
    """
    made = call.get("id")
    return bool(known and made and made != known and call.get("function", {}).get("name"))
