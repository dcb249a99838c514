"""One choice of a streamed answer: what has been seen of it, and its deltas put right.

The reader keeps one per choice index. The official SDKs concatenate whatever strings they are
given twice, so the role goes out once; the same of tool calls is seen to by `openai_calls.py`.
"""

from collections.abc import Mapping
from typing import Any

from proxy.table import ReasoningField
from proxy.wire.answer import FAILED, finish_reason, name_reasoning, settle_text
from proxy.wire.counts import Tally, size
from proxy.wire.openai_calls import Calls, Malformed
from proxy.wire.openai_thoughts import Thoughts


class Choice:
    """The state of one choice. `take` is given each of its pieces in order."""

    __slots__ = (
        "_asked",
        "_begun",
        "_calls",
        "_legacy",
        "_place",
        "_reasoning_field",
        "_tally",
        "_thoughts",
        "broken",
        "finished",
    )

    def __init__(
        self,
        tally: Tally,
        thoughts: Thoughts | None,
        reasoning_field: ReasoningField,
        asked: Mapping[str, Any],
        place: tuple[str, int],
        *,
        legacy: bool,
    ) -> None:
        self._tally = tally
        self._reasoning_field = reasoning_field
        self._thoughts = thoughts
        self._asked = asked
        self._place = place
        """The call's own id, and which of its choices this is."""
        self._legacy = legacy
        self._begun = False
        self._calls: Calls | None = None
        self.finished = False
        self.broken = False
        """The upstream said that it gave up."""

    @property
    def calls(self) -> list[str]:
        """Ids of its tool calls that the caller has seen."""
        return [] if self._calls is None else self._calls.ids

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
                if self._calls is None:
                    self._calls = Calls(self._tally, self._asked, legacy=self._legacy)
                changed = self._calls.take(delta) or changed
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

    def _finish(self, choice: dict[str, Any], delta: dict[str, Any]) -> bool:
        reason = choice["finish_reason"]
        if not isinstance(reason, str) or not reason:
            choice["finish_reason"] = None
            return True
        self.broken = reason in FAILED
        self.finished = True
        calls = self._calls
        word = finish_reason(reason, called=calls is not None, legacy=self._legacy)
        choice["finish_reason"] = word
        lacking = calls is not None and calls.finish(delta, *self._place)
        return lacking or word != reason
