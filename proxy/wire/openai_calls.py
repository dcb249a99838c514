"""The tool calls of one streamed choice: each piece where the caller has its call, and nothing said twice.

`openai_choice.py` makes a `Calls` when the first piece of one comes, and gives it every further piece. The
official SDKs differ in what they make of an id or a name in parts: Python's adds them up, Node's keeps the
last. So both go out once, in the first piece of their call, which waits until it has an id and a name from
which no tool that is offered goes on, or until the arguments begin. Nearly every upstream says all that at
once, and nothing waits. What comes later still goes out, with its own piece; what comes again does not.
"""

from collections.abc import Hashable, Mapping
from typing import Any

from msgspec import Struct

from proxy.wire.answer import made_id
from proxy.wire.counts import Tally, size
from proxy.wire.tolerant import dumps, loads

_CALLS_MOST = 1024
"""In one choice; a model makes a few, and vendors allow some 128 tools."""
_NAME_MOST = 1024
"""Characters of a name: vendors allow 64 to 128, and one that never ends is no name."""
_WAIT_MOST = 65_536
"""Bytes of pieces of one choice that may wait; whatever comes then begins its call with what is known."""


class Malformed(Exception):
    """A piece that no client could read."""


class _Call(Struct):
    """One call, as far as it has come."""

    slot: int
    """Which call the caller has it for."""
    head: dict[str, Any] | None
    """What waits to go out; None: the call has begun for the caller."""
    id: Any = None
    """The first that the upstream gave it."""
    name: str = ""
    length: int = 0
    """How much of its arguments has come, white space at the ends of pieces left out."""
    closes: bool = False
    """Whether they may be whole by now."""
    other: bool = False
    """It is none of a function."""


class Calls:
    """The state of one choice's calls."""

    __slots__ = ("_begun", "_by_id", "_by_index", "_calls", "_legacy", "_offered", "_tally", "_waited", "ids")

    def __init__(self, tally: Tally, asked: Mapping[str, Any], *, legacy: bool) -> None:
        """`asked`: the caller's body; `legacy`: it is answered with one `function_call`."""
        self._tally = tally
        self._legacy = legacy
        self._offered = _names(asked.get("functions") if legacy else asked.get("tools"))
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}
        """By the upstream's index: the last call there."""
        self._by_id: dict[Hashable, int] = {}
        """The index of the call that last got an id."""
        self._begun = 0
        """So many calls have begun for the caller without one between that waits."""
        self._waited = 0
        """Bytes of the pieces that had to wait."""
        self.ids: list[str] = []
        """Those that the caller has seen."""

    def take(self, delta: dict[str, Any]) -> bool:
        """Put the pieces of a delta right in place; whether any changed."""
        given = delta["tool_calls"]
        if not isinstance(given, list):
            raise Malformed
        changed = self._legacy
        out: list[dict[str, Any]] = []
        for piece in given:
            if not is_sound(piece):
                raise Malformed
            changed = self._piece(piece, out) or changed
        if len(out) == len(given) and not changed:
            return False
        if self._legacy or not out:
            del delta["tool_calls"]
        else:
            delta["tool_calls"] = out
        if self._legacy:
            _in_old_form(out, delta)
        return True

    def finish(self, delta: dict[str, Any], call_id: str, choice: int) -> bool:
        """A call without arguments still has an object of none, for clients parse the text; whether one had.

        One without an id gets ours, made of the place where it stands: clients send it back with the result.
        """
        named = self._legacy or not call_id
        calls = self._calls[: 1 if self._legacy else None]
        for call in calls:
            if not call.name:  # nobody can run it
                raise Malformed
        lacking = [call for call in calls if not call.length or not (named or call.id)]
        pieces = delta.get("tool_calls") or []
        last = {piece["index"]: piece for piece in pieces}
        for call in lacking:
            rest = self._rest(call, "" if named or call.id else made_id(call_id, choice, call.slot))
            if self._legacy:
                said = delta.get("function_call")
                delta["function_call"] = (said if isinstance(said, dict) else {}) | rest["function"]
            elif call.slot in last:
                piece = last[call.slot]
                piece.update(_merged(piece, rest))
            else:
                pieces.append(rest)
        if pieces:
            delta["tool_calls"] = pieces
        return bool(lacking)

    def _rest(self, call: _Call, made: str) -> dict[str, Any]:
        """The piece that a call still lacks in the end; `made`: its id, if it has none of its own."""
        rest: dict[str, Any] = {"index": call.slot}
        if not call.other:  # Python's SDK wants the member of a function's call, were it empty
            rest["function"] = {} if call.length else {"arguments": "{}"}
            call.length = call.length or 2
        if made:
            call.id = rest["id"] = made
        if call.head is not None:
            self._begin(call, rest)
        elif made:
            self._seen(made)
        return rest

    def _piece(self, piece: dict[str, Any], out: list[dict[str, Any]]) -> bool:
        """One piece, unless it waits; whether it is not what came."""
        numbered = type(piece.get("id")) is int
        if numbered:  # clients take texts only
            piece["id"] = str(piece["id"])
        call = self._call_of(piece)
        begins = call.head is not None
        changed = piece.get("index") != call.slot or numbered
        piece["index"] = call.slot
        if _is_other(piece):
            changed = self._other(call, piece) or changed
        else:
            if "function" not in piece:
                piece["function"] = {}
                changed = True
            if call.head is None:
                changed = self._later(call, piece) or changed
            else:
                self._learn(call, piece)
            changed = self._arguments(call, piece) or changed
            if call.head is not None:
                if not call.length and not self._is_whole(call) and self._waited <= _WAIT_MOST:
                    self._waited += len(dumps(piece))
                    call.head = _merged(call.head, piece)
                    return True
                changed = self._begin(call, piece) or changed
        if begins:
            out += self._heads_before(call)
        out.append(piece)
        return changed

    def _call_of(self, piece: dict[str, Any]) -> _Call:
        """The call that a piece belongs to, or begins."""
        key = piece.get("index")
        if key is None:
            key = self._unplaced(piece)
        elif type(key) is not int:
            raise Malformed
        call = self._by_index.get(key)
        if call is None or _begins_another(piece, call):
            if len(self._calls) == _CALLS_MOST:
                raise Malformed
            call = self._by_index[key] = _Call(len(self._calls), {})
            self._calls.append(call)
        made = piece.get("id")
        if made and not call.id and isinstance(made, Hashable):
            self._by_id[made] = key
        return call

    def _unplaced(self, piece: dict[str, Any]) -> int:
        """The index of a piece without one: a new id or name begins a call, all else is of the last."""
        made, place = piece.get("id"), max(0, len(self._by_index) - 1)
        if made and self._calls:
            known = self._by_id.get(made) if isinstance(made, Hashable) else None
            if known is None and (self._calls[-1].id or _name(piece)):
                return len(self._by_index)
            place = place if known is None else known
        call = self._by_index.get(place)
        return place if call is None or self._goes_on(call, piece) else len(self._by_index)

    def _goes_on(self, call: _Call, piece: dict[str, Any]) -> bool:
        """Whether a piece can be of a call by the name it gives: some give all calls one id, or none."""
        name = _name(piece)
        if not name or not (call.length or call.name in self._offered):
            return True
        if call.closes and _is_object(piece["function"].get("arguments")):
            return False
        if not call.length and any(tool.startswith(call.name + name) for tool in self._offered):
            return True
        return name.startswith(call.name) or call.name.startswith(name)

    def _is_whole(self, call: _Call) -> bool:
        """Whether it has all that the first piece of a call says, as far as can be known."""
        name = call.name
        return bool(call.id and name) and (
            name in self._offered or not any(tool.startswith(name) for tool in self._offered)
        )

    def _learn(self, call: _Call, piece: dict[str, Any]) -> str:
        """What is new of its name in a piece; an id counts once."""
        call.id = call.id or piece.get("id")
        more = _name(piece).removeprefix(call.name)
        if not more:
            return ""
        goes_on = (not call.length and call.name not in self._offered) or not call.name
        if not goes_on and not any(tool.startswith(call.name + more) for tool in self._offered):
            return ""
        if len(call.name) + len(more) > _NAME_MOST:
            raise Malformed
        call.name += more
        if call.head is None:
            self._note(more)
        else:
            self._tally.waiting += size(more)
        return more

    def _begin(self, call: _Call, piece: dict[str, Any]) -> bool:
        """Make a piece the first of its call, with all that is known of it; whether it was not that."""
        held, call.head = call.head, None
        changed = bool(held)
        if held:
            piece.update(_merged(held, piece))
        function = piece["function"]
        for part, member, known in (
            (piece, "id", call.id),
            (piece, "type", piece.get("type") or "function"),
            (function, "name", call.name),
        ):
            if known and part.get(member) != known:
                part[member] = known
                changed = True
        self._tally.waiting -= size(call.name)
        self._note(call.name)
        self._seen(call.id)
        return changed

    def _heads_before(self, call: _Call) -> list[dict[str, Any]]:
        """First pieces of calls that still wait, for Python's SDK counts calls as they come."""
        heads = []
        for earlier in self._calls[self._begun : call.slot]:
            if earlier.head is not None:
                first: dict[str, Any] = {"index": earlier.slot, "function": {}}
                self._begin(earlier, first)
                heads.append(first)
        self._begun = max(self._begun, call.slot)
        return heads

    def _later(self, call: _Call, piece: dict[str, Any]) -> bool:
        """Leave in a piece only what its call has not said; whether there was more."""
        changed = self._same(call, piece)
        function = piece["function"]
        if "name" not in function:
            return changed
        name, more = function["name"], self._learn(call, piece)
        if more and more == name:
            return changed
        del function["name"]
        if more:
            function["name"] = more
        return True

    def _same(self, call: _Call, piece: dict[str, Any]) -> bool:
        """Take from a piece its call's kind, and the id unless it comes late; whether they were there."""
        said = call.id
        repeated = [member for member in ("id", "type") if member in piece]
        if not said and piece.get("id"):
            call.id = piece["id"]
            self._seen(call.id)
            repeated.remove("id")
        for member in repeated:
            del piece[member]
        return bool(repeated)

    def _arguments(self, call: _Call, piece: dict[str, Any]) -> bool:
        """Arguments as text, for some send an object; whether they were none."""
        function = piece["function"]
        given = function.get("arguments")
        changed = isinstance(given, dict) or (call.head is not None and not isinstance(given, str))
        if changed:
            given = function["arguments"] = dumps(given).decode() if isinstance(given, dict) else ""
        self._note(given or "")
        text = (given or "").strip()
        if text:
            call.length += len(text)
            call.closes = text.endswith("}")
        return changed

    def _other(self, call: _Call, piece: dict[str, Any]) -> bool:
        """A piece of a call of the other kind, which only OpenAI makes: as it came, but named once."""
        first, call.head = call.head is not None, None
        call.other = call.other or first
        call.length += 1  # so that nobody gives it the arguments of a function
        call.name = call.name or piece["custom"].get("name") or ""
        for holder in (piece["custom"], piece.get("function") or {}):
            for member in ("name", "input", "arguments"):
                self._note(holder.get(member) or "")
        if not first:
            return self._same(call, piece)
        call.id = piece.get("id")
        self._seen(call.id)
        return False

    def _seen(self, made: Any) -> None:
        if isinstance(made, str) and not self._legacy:
            self.ids.append(made)

    def _note(self, text: Any) -> None:
        if not isinstance(text, str):
            raise Malformed
        self._tally.output_bytes += size(text)


def is_sound(call: Any) -> bool:
    """Whether a call or a piece of one is such as a client can read; whole answers are held to it too."""
    if not isinstance(call, dict):
        return False
    function = call.get("function", {})
    return isinstance(function, dict) or (function is None and isinstance(call.get("custom"), dict))


def _names(offered: Any) -> frozenset[str]:
    """Names of the functions among tools, in either form."""
    tools = [tool for tool in offered if isinstance(tool, dict)] if isinstance(offered, list) else []
    functions = [tool.get("function", tool) for tool in tools]
    named = [function.get("name") for function in functions if isinstance(function, dict)]
    return frozenset(name for name in named if isinstance(name, str))


def _name(piece: dict[str, Any]) -> str:
    """What a piece says of its call's name."""
    name = (piece.get("function") or {}).get("name") or ""
    if not isinstance(name, str):
        raise Malformed
    return name


def _is_other(piece: dict[str, Any]) -> bool:
    """Whether it is of a call that is none of a function: some servers write down all members of either."""
    custom = piece.get("custom")
    return isinstance(custom, dict) and (bool(custom) or piece.get("function") is None)


def _is_object(arguments: Any) -> bool:
    """Whether arguments are whole."""
    try:
        whole = loads(arguments.encode(errors="replace")) if isinstance(arguments, str) else arguments
        return isinstance(whole, dict)
    except ValueError:
        return False


def _merged(held: dict[str, Any], piece: dict[str, Any]) -> dict[str, Any]:
    """A head that waits, and what came after it."""
    merged = {**held, **piece}
    if "function" in piece:
        merged["function"] = {**(held.get("function") or {}), **piece["function"]}
    return merged


def _begins_another(piece: dict[str, Any], call: _Call) -> bool:
    """Whether a piece begins a call of its own at the index of another: some count all calls as 0.

    An id alone does not tell, for others make up a new one with every piece.
    """
    made = piece.get("id")
    return bool(call.id and made and made != call.id and call.name and _name(piece))


def _in_old_form(pieces: list[dict[str, Any]], delta: dict[str, Any]) -> None:
    """Who asked by `functions` gets one call, the first."""
    said: dict[str, Any] = {}
    texts: list[str] = []
    for piece in pieces:
        if piece["index"] == 0:
            function = piece.get("function") or {}
            texts.append(function.get("arguments") or "")
            said |= function
    if texts:
        delta["function_call"] = {**said, "arguments": "".join(texts)}
