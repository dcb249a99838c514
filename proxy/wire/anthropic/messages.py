"""The history of a conversation as turns of user and assistant.

`request.py` calls `converse`. The wire is stricter than OpenAI's: roles alternate, the results of
tool calls open the very next user turn in the order of the calls, ids are made of few letters and
never repeat, nothing is empty. What can be put right without changing the meaning is; for the rest
the request's leeway decides. Thoughts return to the turns they came with, from what was kept of the
answer or from what the caller kept itself; without their signature they are worth nothing here.
"""

import hashlib
import re
from typing import Any

import orjson
from msgspec import Struct, field

from proxy.abilities import ModelFacts
from proxy.wire.anthropic.content import Block, joined, text_block, texts, user_blocks
from proxy.wire.anthropic.memory import THOUGHTS, echoed, rebuild
from proxy.wire.anthropic.thinking import ways
from proxy.wire.dialect import Recalled
from proxy.wire.leeway import Leeway
from proxy.wire.tolerant import exact
from proxy.wire.unable import Unable

_LEGAL_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}", re.ASCII)
_SYSTEM = frozenset({"system", "developer"})
_OPENING = "Begin."
_GO_ON = "Go on from where you stopped."
_NO_RESULT = "There is no result: the tool was not run."
"""Words that stand in, with leeway, for what a history lacks."""


class Turn(Struct):
    """One message of the wire in the making."""

    role: str
    blocks: list[Block] = field(default_factory=list)
    results: dict[int, Block] = field(default_factory=dict)
    """By the place of their call among the calls of the turn before."""

    def message(self) -> dict[str, Any]:
        answered = [self.results[place] for place in sorted(self.results)]
        return {"role": self.role, "content": answered + self.blocks}


class Conversation(Struct, frozen=True):
    """A history that the wire takes."""

    system: list[Block]
    messages: list[dict[str, Any]]
    called: tuple[str, ...]
    """Tools that the history calls, each once."""
    continues: bool
    """The answer goes on with a turn that began without a thought: manual thinking cannot begin here."""
    prefilled: bool
    """The last turn is the assistant's, to be continued."""

    def __repr__(self) -> str:
        """Nothing of what is said."""
        return f"Conversation({len(self.messages)} messages)"

    def forget_thoughts(self) -> None:
        """Take the thoughts out: a model that is not to think takes none."""
        for message in self.messages:
            message["content"] = [block for block in message["content"] if block["type"] not in THOUGHTS]


def wire_id(name: str, nth: int = 0) -> str:
    """A tool-call id in the letters of the wire: itself if it can be, else one that stands for it.

    `nth` tells apart calls of different turns that share one id.
    """
    if nth == 0 and _LEGAL_ID.fullmatch(name):
        return name
    seed = name if nth == 0 else f"{name}\n{nth}"
    return f"call_{hashlib.sha256(seed.encode(errors='replace')).hexdigest()[:24]}"


def converse(
    messages: list[dict[str, Any]], facts: ModelFacts, leeway: Leeway, recalled: Recalled
) -> Conversation:
    """The conversation in the wire's form; raises `Unable` where it has none."""
    turns = _Turns(facts, leeway, recalled)
    head = 0
    while head < len(messages) and messages[head]["role"] in _SYSTEM:
        head += 1
    system = [
        block
        for number in range(head)
        for block in texts(messages[number].get("content"), f"messages[{number}].content", leeway)
    ]
    if head == len(messages):
        if not system:
            raise Unable("messages", "The upstream needs a message that is not empty.", "invalid_value")
        turns.user([system.pop()])
    for number in range(head, len(messages)):
        turns.take(messages[number], f"messages[{number}]")
    return turns.whole(system)


class _Turns:
    """Takes message after message."""

    def __init__(self, facts: ModelFacts, leeway: Leeway, recalled: Recalled) -> None:
        self._facts = facts
        self._leeway = leeway
        self._recalled = recalled
        self._turns: list[Turn] = []
        self._open: dict[str, tuple[int, str]] = {}
        """Calls that wait for a result, by the caller's id: place among their turn's calls, and wire id."""
        self._last_call = ""
        """Where the last call stands in the caller's messages."""
        self._calls = 0
        """Calls of the assistant's last turn."""
        self._used: set[str] = set()
        self._times: dict[str, int] = {}
        """How often each of the caller's ids was used: nobody tries again what was tried for the last."""
        self._called: dict[str, None] = {}

    def take(self, message: dict[str, Any], place: str) -> None:
        """One of the caller's messages."""
        role = message["role"]
        content = message.get("content")
        if role in _SYSTEM:
            self._later_system(texts(content, f"{place}.content", self._leeway))
        elif role == "user":
            self.user(user_blocks(content, f"{place}.content", self._leeway))
        elif role == "assistant":
            self._assistant(message, place)
        elif role == "tool":
            self._result(message, place)
        else:
            raise Unable(f"{place}.role", f"The role at '{place}' is unknown.", "invalid_value")

    def user(self, blocks: list[Block]) -> None:
        """What the user says, after anything it was said to already."""
        self._turn("user").blocks.extend(blocks)

    def whole(self, system: list[Block]) -> Conversation:
        """Everything taken so far, if the wire takes it."""
        self._answer_open()
        if not self._turns:
            raise Unable("messages", "The upstream needs a message that is not empty.", "invalid_value")
        prefilled = self._turns[-1].role == "assistant" and self._prefill()
        if self._turns[0].role != "user":
            self._leeway.lose("messages", "The upstream needs the user to speak first.", "invalid_value")
            self._turns.insert(0, Turn("user", [text_block(_OPENING)]))
        awaited = any(turn.results for turn in self._turns[-2:])
        return Conversation(
            system,
            [turn.message() for turn in self._turns],
            tuple(self._called),
            continues=prefilled or (awaited and not self._began_with_a_thought()),
            prefilled=prefilled,
        )

    def _turn(self, role: str) -> Turn:
        """The turn that what comes next belongs to: neighbours of one role are one."""
        if role == "user" and self._turns and self._turns[-1].role == "system":
            # It turned out to stand before a user's message, where the wire takes none.
            said = self._turns.pop()
            self._turn("user").blocks.extend(_wrapped(said.blocks))
        if not self._turns or self._turns[-1].role != role:
            self._turns.append(Turn(role))
        return self._turns[-1]

    def _later_system(self, blocks: list[Block]) -> None:
        """In its place where the model takes it there, else inside the user's turn, marked as what it is."""
        if not blocks:
            return
        free = bool(self._turns) and self._turns[-1].role in {"user", "system"} and not self._open
        if self._facts.inline_system and free:
            self._turn("system").blocks.extend(blocks)
        else:
            self.user(_wrapped(blocks))

    def _assistant(self, message: dict[str, Any], place: str) -> None:
        if message.get("audio") is not None:
            raise Unable(f"{place}.audio", "The upstream knows no audio of earlier answers.")
        blocks = texts(message.get("content"), f"{place}.content", self._leeway)
        refusal = message.get("refusal")
        if isinstance(refusal, str) and refusal.strip() and not blocks:
            blocks = [text_block(refusal)]
        calls = message.get("tool_calls") or []
        if not isinstance(calls, list):
            raise Unable(f"{place}.tool_calls", f"'{place}.tool_calls' must be a list.", "invalid_type")
        if not blocks and not calls:
            return
        if not self._turns or self._turns[-1].role != "assistant":
            self._answer_open()
            self._calls = 0
        turn = self._turn("assistant")
        made = [self._call(call, f"{place}.tool_calls[{number}]") for number, call in enumerate(calls)]
        named = {call["id"]: block for call, block in zip(calls, made, strict=True)}
        turn.blocks.extend(self._with_thoughts(message, blocks, named))

    def _with_thoughts(
        self, message: dict[str, Any], said: list[Block], calls: dict[str, Block]
    ) -> list[Block]:
        """An assistant's turn as the model gave it, as far as anybody knows; `calls` by the caller's ids."""
        plain = [*said, *calls.values()]
        if not ways(self._facts):
            return plain
        state = next((self._recalled[call] for call in calls if call in self._recalled), None)
        if state is not None:
            rebuilt = rebuild(state, joined(message.get("content")), said, calls)
            if rebuilt is not None:
                return rebuilt
        return echoed(message.get("thinking_blocks")) + plain

    def _call(self, call: Any, place: str) -> Block:
        function = self._function(call, place)
        name = function.get("name") if isinstance(function, dict) else None
        given = call.get("id") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(name, str) or not isinstance(given, str):
            raise Unable(place, f"'{place}' must be a call of a function, with an id.", "invalid_value")
        if given in self._open:
            raise Unable(f"{place}.id", f"The id at '{place}' is used twice.", "invalid_value")
        nth = self._times.get(given, 0)
        while (made := wire_id(given, nth)) in self._used:
            nth += 1
        self._times[given] = nth + 1
        self._used.add(made)
        self._open[given] = (self._calls, made)
        self._calls += 1
        self._last_call = place
        self._called[name] = None
        arguments = self._arguments(function.get("arguments"), f"{place}.function.arguments")
        return {"type": "tool_use", "id": made, "name": name, "input": arguments}

    def _function(self, call: Any, place: str) -> Any:
        """What is called; with leeway a tool of another kind passes for a function."""
        if not isinstance(call, dict):
            return None
        custom = call.get("custom")
        if not isinstance(custom, dict):
            return call.get("function")
        self._leeway.lose(place, "The upstream knows no calls but those of functions.")
        return {"name": custom.get("name"), "arguments": custom.get("input")}

    def _arguments(self, given: Any, place: str) -> dict[str, Any]:
        """The arguments of a replayed call, which are text that a model once wrote."""
        if given is None or (isinstance(given, str) and not given.strip()):
            return {}
        try:
            parsed = exact(orjson.loads(given), given.encode()) if isinstance(given, str) else None
        except ValueError:
            parsed = None
        if isinstance(parsed, dict):
            return parsed
        self._leeway.lose(place, f"'{place}' is not a JSON object.", "invalid_value")
        return {"_raw": given}

    def _result(self, message: dict[str, Any], place: str) -> None:
        given = message.get("tool_call_id")
        call = self._open.pop(given, None) if isinstance(given, str) else None
        if call is None:
            raise Unable(
                f"{place}.tool_call_id",
                f"'{place}' answers no open call of the turn before.",
                "invalid_value",
            )
        order, made = call
        block: Block = {"type": "tool_result", "tool_use_id": made}
        content = texts(message.get("content"), f"{place}.content", self._leeway)
        if content:
            block["content"] = content
        self._turn("user").results[order] = block

    def _answer_open(self) -> None:
        """Every call needs its result before the assistant speaks again."""
        if not self._open:
            return
        self._leeway.lose(
            self._last_call, f"'{self._last_call}' or one beside it has no result.", "invalid_value"
        )
        results = self._turn("user").results
        for order, made in self._open.values():
            content = [text_block(_NO_RESULT)]
            results[order] = {
                "type": "tool_result",
                "tool_use_id": made,
                "is_error": True,
                "content": content,
            }
        self._open.clear()

    def _prefill(self) -> bool:
        """Whether the model goes on with the assistant's last turn; with leeway, the user asks it to."""
        if self._facts.prefill is False:
            self._leeway.lose("messages", "The upstream's model cannot continue an assistant's message.")
            self.user([text_block(_GO_ON)])
            return False
        last = self._turns[-1].blocks[-1]
        if last["type"] == "text":
            last["text"] = last["text"].rstrip()
        return True

    def _began_with_a_thought(self) -> bool:
        """Whether the assistant's last turn did."""
        last = next((turn for turn in reversed(self._turns) if turn.role == "assistant"), None)
        return last is not None and last.blocks[0]["type"] in THOUGHTS


def _wrapped(blocks: list[Block]) -> list[Block]:
    """A system's words inside a user's turn."""
    return [{**block, "text": f"<system>{block['text']}</system>"} for block in blocks]
