"""The history of a conversation as turns of user and assistant.

`request.py` calls `converse`. The wire is stricter than OpenAI's: roles alternate, the results of
tool calls open the very next user turn in the order of the calls, ids are made of few letters and
never repeat, nothing is empty. What can be put right without changing the meaning is; the rest is
refused by name. Thinking that a client replays is dropped: without its signature it cannot return.
"""

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any

import orjson

from proxy.table import ModelFacts
from proxy.wire.anthropic.content import Block, text_block, texts, user_blocks
from proxy.wire.unable import Unable

_LEGAL_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}", re.ASCII)
_SYSTEM = frozenset({"system", "developer"})


@dataclass(slots=True)
class Turn:
    """One message of the wire in the making."""

    role: str
    blocks: list[Block] = field(default_factory=list)
    results: dict[int, Block] = field(default_factory=dict)
    """By the place of their call among the calls of the turn before."""

    def message(self) -> dict[str, Any]:
        answered = [self.results[place] for place in sorted(self.results)]
        return {"role": self.role, "content": answered + self.blocks}


@dataclass(frozen=True, slots=True)
class Conversation:
    """A history that the wire takes."""

    system: list[Block]
    messages: list[dict[str, Any]]
    called: tuple[str, ...]
    """Tools that the history calls, each once."""
    continues: bool
    """The last turn is the assistant's own, or results it waits for: manual thinking cannot begin here."""
    prefilled: bool
    """The last turn is the assistant's, to be continued."""


def wire_id(name: str, nth: int = 0) -> str:
    """A tool-call id in the letters of the wire: itself if it can be, else one that stands for it.

    `nth` tells apart calls of different turns that share one id.
    """
    if nth == 0 and _LEGAL_ID.fullmatch(name):
        return name
    seed = name if nth == 0 else f"{name}\n{nth}"
    return f"call_{hashlib.sha256(seed.encode(errors='replace')).hexdigest()[:24]}"


def converse(messages: list[dict[str, Any]], facts: ModelFacts) -> Conversation:
    """The conversation in the wire's form; raises `Unable` where it has none."""
    turns = _Turns(facts)
    head = 0
    while head < len(messages) and messages[head]["role"] in _SYSTEM:
        head += 1
    system = [
        block
        for number in range(head)
        for block in texts(messages[number].get("content"), f"messages[{number}].content")
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

    def __init__(self, facts: ModelFacts) -> None:
        self._facts = facts
        self._turns: list[Turn] = []
        self._open: dict[str, tuple[int, str]] = {}
        """Calls that wait for a result, by the caller's id: place among their turn's calls, and wire id."""
        self._last_call = ""
        """Where the last call stands in the caller's messages."""
        self._calls = 0
        """Calls of the assistant's last turn."""
        self._used: set[str] = set()
        self._called: dict[str, None] = {}

    def take(self, message: dict[str, Any], place: str) -> None:
        """One of the caller's messages."""
        role = message["role"]
        content = message.get("content")
        if role in _SYSTEM:
            self._later_system(texts(content, f"{place}.content"))
        elif role == "user":
            self.user(user_blocks(content, f"{place}.content"))
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
        self._refuse_dangling()
        prefilled = bool(self._turns) and self._turns[-1].role == "assistant"
        if prefilled:
            self._settle_prefill()
        if not self._turns:
            raise Unable("messages", "The upstream needs a message that is not empty.", "invalid_value")
        if self._turns[0].role != "user":
            raise Unable("messages", "The upstream needs the user to speak first.", "invalid_value")
        return Conversation(
            system,
            [turn.message() for turn in self._turns],
            tuple(self._called),
            continues=prefilled or any(turn.results for turn in self._turns[-2:]),
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
        blocks = texts(message.get("content"), f"{place}.content")
        refusal = message.get("refusal")
        if isinstance(refusal, str) and refusal.strip() and not blocks:
            blocks = [text_block(refusal)]
        calls = message.get("tool_calls") or []
        if not isinstance(calls, list):
            raise Unable(f"{place}.tool_calls", f"'{place}.tool_calls' must be a list.", "invalid_type")
        if not blocks and not calls:
            return
        if not self._turns or self._turns[-1].role != "assistant":
            self._refuse_dangling()
            self._calls = 0
        turn = self._turn("assistant")
        turn.blocks.extend(blocks)
        for number, call in enumerate(calls):
            turn.blocks.append(self._call(call, f"{place}.tool_calls[{number}]"))

    def _call(self, call: Any, place: str) -> Block:
        function = call.get("function") if isinstance(call, dict) else None
        name = function.get("name") if isinstance(function, dict) else None
        given = call.get("id") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(name, str) or not isinstance(given, str):
            raise Unable(place, f"'{place}' must be a call of a function, with an id.", "invalid_value")
        if given in self._open:
            raise Unable(f"{place}.id", f"The id at '{place}' is used twice.", "invalid_value")
        nth = 0
        while (made := wire_id(given, nth)) in self._used:
            nth += 1
        self._used.add(made)
        self._open[given] = (self._calls, made)
        self._calls += 1
        self._last_call = place
        self._called[name] = None
        arguments = _arguments(function.get("arguments"), f"{place}.function.arguments")
        return {"type": "tool_use", "id": made, "name": name, "input": arguments}

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
        content = texts(message.get("content"), f"{place}.content")
        if content:
            block["content"] = content
        self._turn("user").results[order] = block

    def _refuse_dangling(self) -> None:
        if self._open:
            raise Unable(
                self._last_call, f"'{self._last_call}' or one beside it has no result.", "invalid_value"
            )

    def _settle_prefill(self) -> None:
        if self._facts.prefill is False:
            raise Unable("messages", "The upstream's model cannot continue an assistant's message.")
        blocks = self._turns[-1].blocks
        if blocks[-1]["type"] == "text":
            blocks[-1]["text"] = blocks[-1]["text"].rstrip()


def _wrapped(blocks: list[Block]) -> list[Block]:
    """A system's words inside a user's turn."""
    return [{**block, "text": f"<system>{block['text']}</system>"} for block in blocks]


def _arguments(given: Any, place: str) -> dict[str, Any]:
    """The arguments of a replayed call, which are text that a model once wrote."""
    if given is None or (isinstance(given, str) and not given.strip()):
        return {}
    try:
        parsed = orjson.loads(given) if isinstance(given, str) else None
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        raise Unable(place, f"'{place}' is not a JSON object.", "invalid_value")
    return parsed
