"""The history of a conversation as Gemini's turns.

`request.py` calls `translate`. Gemini wants turns of `user` and `model` in alternation, a user's
first, nothing empty, and the results of a turn's calls all together right behind it, named as the
calls were and with the id that Gemini gave them, if it did. A history that cannot be said so raises
`Unable` with its place in the caller's list, or is mended where the route has leeway: something is
added then, and nothing that anybody said is taken away.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from proxy.errors import CallerFault
from proxy.wire.body import IntegerTooBig, decode
from proxy.wire.dialect import Recalled
from proxy.wire.gemini.media import Part, parts, texts
from proxy.wire.gemini.names import legal
from proxy.wire.gemini.signatures import UNKNOWN, Turn, sent_back, sign, turn_of
from proxy.wire.leeway import Leeway
from proxy.wire.tolerant import exact, loads
from proxy.wire.unable import Unable

_RESERVED = frozenset({"output", "error"})
"""Members of a function's response that mean something to Gemini."""
_OPENING = "Hello."
"""Said for a user who is missing before the model's first word."""
_NO_RESULT = "There is no result of this call."


def translate(
    messages: list[dict[str, Any]], recalled: Recalled, leeway: Leeway, *, signed: bool
) -> tuple[list[Part], list[dict[str, Any]]]:
    """The parts of the system instruction, and the turns."""
    turns = _Turns(recalled, leeway, signed=signed)
    for number, message in enumerate(messages):
        turns.add(message, f"messages[{number}]")
    return turns.end()


class _Asked(Struct, frozen=True):
    """A call that waits for its result."""

    number: int
    name: str
    ident: dict[str, str]
    """The member `id`, or nothing where Gemini gave the call none."""

    def response(self, said: dict[str, Any]) -> Part:
        return {"functionResponse": {**self.ident, "name": self.name, "response": said}}


class _Turns:
    """The turns so far."""

    __slots__ = (
        "_asked_at",
        "_late",
        "_leeway",
        "_recalled",
        "_results",
        "_signed",
        "_system",
        "_turns",
        "_waiting",
    )

    def __init__(self, recalled: Recalled, leeway: Leeway, *, signed: bool) -> None:
        self._recalled = recalled
        self._leeway = leeway
        self._signed = signed
        self._system: list[Part] = []
        self._turns: list[dict[str, Any]] = []
        self._asked_at = ""
        """Where the calls stand that wait for results."""
        self._waiting: dict[str, _Asked] = {}
        """Calls without a result so far, by the caller's id."""
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
        said = texts(message.get("content"), f"{where}.content")
        said += texts(message.get("refusal"), f"{where}.refusal")
        asked = message.get("tool_calls") or []
        if not isinstance(asked, list):
            raise Unable(f"{where}.tool_calls", f"'{where}.tool_calls' must be a list.", "invalid_type")
        self._asked_at = f"{where}.tool_calls"
        found = self._calls(said, asked) if asked else said
        if not found:
            return
        if not self._turns:
            self._leeway.lose(where, "A conversation must begin with a user's message here.")
            self._turn("user", [{"text": _OPENING}])
        self._turn("model", found)

    def _calls(self, said: list[Part], asked: list[Any]) -> list[Part]:
        """The parts of a turn that calls functions, as Gemini knows it."""
        found = {_ident(call, f"{self._asked_at}[{number}]"): call for number, call in enumerate(asked)}
        if len(found) < len(asked):
            raise Unable(
                self._asked_at, f"Each of '{self._asked_at}' must have an id of its own.", "invalid_value"
            )
        turn = turn_of(self._recalled, found)
        calls = {
            ident: self._call(call, ident, turn, f"{self._asked_at}[{number}]")
            for number, (ident, call) in enumerate(found.items())
        }
        return sign(turn.restore(said, calls), needed=self._signed)

    def _call(self, call: dict[str, Any], ident: str, turn: Turn, where: str) -> Part:
        name, given, place = _function(call, where, self._leeway)
        shown = {"id": ident} if turn.names(ident) else {}
        self._waiting[ident] = _Asked(len(self._waiting), legal(name), shown)
        args = _arguments(given)
        if args is None:
            reason = f"'{place}' must be the text of a JSON object."
            self._leeway.lose(place, reason, "invalid_value")
            args = {"_raw": given}
        part: Part = {"functionCall": {**shown, "name": legal(name), "args": args}}
        kept = sent_back(call) if turn is UNKNOWN else None
        if kept is not None:
            part["thoughtSignature"] = kept
        return part

    def _result(self, message: dict[str, Any], where: str) -> None:
        ident = message.get("tool_call_id")
        asked = self._waiting.pop(ident, None) if isinstance(ident, str) else None
        if asked is None:
            reason = f"'{where}.tool_call_id' answers no tool call of the message before."
            raise Unable(f"{where}.tool_call_id", reason, "invalid_value")
        said = "".join(part["text"] for part in texts(message.get("content"), f"{where}.content"))
        self._answer(asked, _response(said))

    def _answer(self, asked: _Asked, said: dict[str, Any]) -> None:
        """A result; with the last one the user's turn begins."""
        self._results.append((asked.number, asked.response(said)))
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
        """Every call has been answered; where the route allows, the rest is answered with nothing."""
        if not self._waiting:
            return
        reason = f"Each of '{self._asked_at}' must be answered by a tool message right after it."
        self._leeway.lose(self._asked_at, reason, "invalid_value")
        for ident in tuple(self._waiting):
            self._answer(self._waiting.pop(ident), {"error": _NO_RESULT})


def _number(result: tuple[int, Part]) -> int:
    return result[0]


def _ident(call: Any, where: str) -> str:
    ident = call.get("id") if isinstance(call, dict) else None
    if not isinstance(ident, str):
        raise Unable(f"{where}.id", f"'{where}.id' must be a string.", "invalid_value")
    return ident


def _function(call: Mapping[str, Any], where: str, leeway: Leeway) -> tuple[str, Any, str]:
    """What a call calls, with what, and where that stands."""
    function = call.get("function")
    if isinstance(function, dict) and isinstance(function.get("name"), str):
        return function["name"], function.get("arguments"), f"{where}.function.arguments"
    custom = call.get("custom")
    reason = f"'{where}' must call a function."
    if not isinstance(custom, dict) or not isinstance(custom.get("name"), str):
        raise Unable(where, reason)
    leeway.lose(where, reason)
    return custom["name"], {"input": custom.get("input")}, f"{where}.custom.input"


def _arguments(arguments: Any) -> dict[str, Any] | None:
    """The arguments of a call as an object; none at all are an empty one, and None cannot be read."""
    if isinstance(arguments, dict):
        return arguments
    if arguments is None or (isinstance(arguments, str) and not arguments.strip()):
        return {}
    return _object(arguments) if isinstance(arguments, str) else None


def _response(said: str) -> dict[str, Any]:
    """A result as the object it is, else as a text in one."""
    found = _object(said)
    return {"output": said} if found is None or found.keys() <= _RESERVED else found


def _object(text: str) -> dict[str, Any] | None:
    """The object that a text is, to the last digit of its integers; None if it is none that Google takes."""
    data = text.encode()
    try:
        return decode(data)
    except IntegerTooBig:  # for a body of ours, and only that: all else about it is well
        return _exactly(data)
    except CallerFault:
        return None


def _exactly(data: bytes) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = exact(loads(data), data)
    except ValueError:  # thousands of digits
        return None
    return found
