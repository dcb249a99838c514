"""The history of a conversation as Gemini's turns.

`request.py` calls `translate`. Gemini wants turns of `user` and `model` in alternation, a user's
first, nothing empty, and the results of a turn's calls all together right behind it, named as the
calls were. A history that cannot be said so raises `Unable` with its place in the caller's list.
"""

from typing import Any

from proxy.errors import CallerFault
from proxy.wire.body import decode
from proxy.wire.gemini.media import Part, parts, texts
from proxy.wire.gemini.names import legal
from proxy.wire.unable import Unable

UNSIGNED = "skip_thought_signature_validator"
"""Google's documented word for a call whose thought signature is not known."""

_RESERVED = frozenset({"output", "error"})
"""Members of a function's response that mean something to Gemini."""


def translate(messages: list[dict[str, Any]], *, signed: bool) -> tuple[list[Part], list[dict[str, Any]]]:
    """The parts of the system instruction, and the turns."""
    turns = _Turns(signed=signed)
    for number, message in enumerate(messages):
        turns.add(message, f"messages[{number}]")
    return turns.end()


class _Turns:
    """The turns so far."""

    __slots__ = ("_asked_at", "_late", "_results", "_signed", "_system", "_turns", "_waiting")

    def __init__(self, *, signed: bool) -> None:
        self._signed = signed
        self._system: list[Part] = []
        self._turns: list[dict[str, Any]] = []
        self._asked_at = ""
        """Where the calls stand that wait for results."""
        self._waiting: dict[str, tuple[int, str]] = {}
        """Calls without a result so far: by id, their number and name."""
        self._results: list[tuple[int, Part]] = []
        self._late: list[Part] = []
        """System texts that came between calls and results."""

    def add(self, message: dict[str, Any], where: str) -> None:
        """The next message."""
        match message["role"]:
            case "system" | "developer":
                self._instruct(message, where)
            case "user":
                self._no_result_missing()
                found = parts(message.get("content"), f"{where}.content")
                if not found:
                    raise Unable(f"{where}.content", f"'{where}.content' must not be empty.", "invalid_value")
                self._turn("user", found)
            case "assistant":
                self._no_result_missing()
                self._assistant(message, where)
            case "tool":
                self._result(message, where)
            case _:
                raise Unable(f"{where}.role", f"'{where}.role' is not a role known here.", "invalid_value")

    def end(self) -> tuple[list[Part], list[dict[str, Any]]]:
        """Everything; where there are only system texts, the last one asks."""
        self._no_result_missing()
        if not self._turns and self._system:
            self._turn("user", [self._system.pop()])
        if not self._turns:
            raise Unable("messages", "'messages' must say something.", "invalid_value")
        return self._system, self._turns

    def _instruct(self, message: dict[str, Any], where: str) -> None:
        """At the head the instruction; later, for there is only one, a marked text of the user's turn."""
        found = texts(message.get("content"), f"{where}.content")
        if not self._turns:
            self._system += found
            return
        marked = [{"text": f"<system>{part['text']}</system>"} for part in found]
        if self._waiting:
            self._late += marked
        elif marked:
            self._turn("user", marked)

    def _assistant(self, message: dict[str, Any], where: str) -> None:
        if message.get("audio") is not None:
            raise Unable(f"{where}.audio", "An answer that was spoken is known only where it was spoken.")
        found = texts(message.get("content"), f"{where}.content")
        found += texts(message.get("refusal"), f"{where}.refusal")
        calls = message.get("tool_calls") or []
        if not isinstance(calls, list):
            raise Unable(f"{where}.tool_calls", f"'{where}.tool_calls' must be a list.", "invalid_type")
        for number, call in enumerate(calls):
            found.append(self._call(call, number, f"{where}.tool_calls[{number}]"))
        self._asked_at = f"{where}.tool_calls"
        if not found:
            return
        if not self._turns:
            raise Unable(where, "A conversation must begin with a user's message here.")
        self._turn("model", found)

    def _call(self, call: Any, number: int, where: str) -> Part:
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise Unable(where, f"'{where}' must call a function.")
        made_id = call.get("id")
        if not isinstance(made_id, str) or made_id in self._waiting:
            raise Unable(f"{where}.id", f"'{where}.id' must be a string of its own.", "invalid_value")
        name = legal(function["name"])
        self._waiting[made_id] = (number, name)
        args = _arguments(function.get("arguments"), f"{where}.function.arguments")
        part: Part = {"functionCall": {"id": made_id, "name": name, "args": args}}
        if self._signed and number == 0:
            part["thoughtSignature"] = UNSIGNED
        return part

    def _result(self, message: dict[str, Any], where: str) -> None:
        made_id = message.get("tool_call_id")
        asked = self._waiting.pop(made_id, None) if isinstance(made_id, str) else None
        if asked is None:
            reason = f"'{where}.tool_call_id' answers no tool call of the message before."
            raise Unable(f"{where}.tool_call_id", reason, "invalid_value")
        number, name = asked
        said = "".join(part["text"] for part in texts(message.get("content"), f"{where}.content"))
        answer = {"id": made_id, "name": name, "response": _response(said)}
        self._results.append((number, {"functionResponse": answer}))
        if not self._waiting:
            self._results.sort(key=_number)
            self._turn("user", [part for _, part in self._results] + self._late)
            self._results, self._late = [], []

    def _turn(self, role: str, found: list[Part]) -> None:
        """Another turn, or more of the same one: roles alternate."""
        if self._turns and self._turns[-1]["role"] == role:
            self._turns[-1]["parts"] += found
        else:
            self._turns.append({"role": role, "parts": found})

    def _no_result_missing(self) -> None:
        if self._waiting:
            reason = f"Each of '{self._asked_at}' must be answered by a tool message right after it."
            raise Unable(self._asked_at, reason, "invalid_value")


def _number(result: tuple[int, Part]) -> int:
    return result[0]


def _arguments(arguments: Any, where: str) -> dict[str, Any]:
    """The arguments of a call as an object; none at all are an empty one."""
    if isinstance(arguments, dict):
        return arguments
    if arguments is None or (isinstance(arguments, str) and not arguments.strip()):
        return {}
    found = _object(arguments) if isinstance(arguments, str) else None
    if found is None:
        raise Unable(where, f"'{where}' must be the text of a JSON object.", "invalid_value")
    return found


def _response(said: str) -> dict[str, Any]:
    """A result as the object it is, else as a text in one."""
    found = _object(said)
    return {"output": said} if found is None or found.keys() <= _RESERVED else found


def _object(text: str) -> dict[str, Any] | None:
    try:
        return decode(text.encode())
    except CallerFault:
        return None
