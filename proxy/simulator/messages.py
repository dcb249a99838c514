"""A simulated upstream that speaks Anthropic's Messages.

Pure: what it refuses, in the vendor's shape, and what it answers, whole and as events. It is as
strict as the real one about what the translation must get right: members, turns, tool results, and,
model by model (`claude.py`), what else is refused. `server.py` plays it at `/<name>/v1/messages`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from proxy.simulator.answers import Said
from proxy.simulator.claude import refuse, thought
from proxy.simulator.manners import Refusal
from proxy.simulator.tongue import Tongue

MEMBERS = frozenset(
    {
        "cache_control",
        "max_tokens",
        "messages",
        "metadata",
        "model",
        "output_config",
        "service_tier",
        "stop_sequences",
        "stream",
        "system",
        "temperature",
        "thinking",
        "tool_choice",
        "tools",
        "top_k",
        "top_p",
    }
)
ERRORS: Mapping[str, Refusal] = {
    "rate_limit": Refusal(429, "This request would exceed your rate limit.", "rate_limit_error"),
    "overload": Refusal(529, "Overloaded", "overloaded_error"),
    "money": Refusal(400, "Your credit balance is too low to access the API.", "invalid_request_error"),
    "auth": Refusal(401, "invalid x-api-key", "authentication_error"),
    "model": Refusal(404, "model: simulated", "not_found_error"),
    "server": Refusal(500, "Internal server error", "api_error"),
    "context": Refusal(400, "prompt is too long: 2049 tokens > 2048 maximum", "invalid_request_error"),
}
"""What a script can ask for by name."""

_TYPES: Mapping[int, str] = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_DELTAS: Mapping[str, str] = {"partial_json": "input_json_delta"}
"""Kinds of pieces that are not called as what they hold."""
_FINISHES: Mapping[str, str] = {"stop": "end_turn", "tool_calls": "tool_use", "length": "max_tokens"}


def of_status(status: int) -> Refusal:
    """A plain error for a bare status in a script."""
    family = "api_error" if status >= 500 else "invalid_request_error"
    return Refusal(status, f"Simulated trouble ({status}).", _TYPES.get(status, family))


def shape(refusal: Refusal) -> dict[str, Any]:
    """The body of `refusal` as the vendor sends it."""
    error = {"type": refusal.type, "message": refusal.message}
    return {"type": "error", "error": error, "request_id": "req_simulated"}


def judge(body: Any) -> Refusal | None:
    """Why the vendor would refuse `body`, or None."""
    if not isinstance(body, dict):
        return _wrong("The body must be a JSON object.")
    for name in sorted(body.keys() - MEMBERS):
        return _wrong(f"{name}: Extra inputs are not permitted")
    for name, kind in (("model", str), ("max_tokens", int), ("messages", list)):
        if not isinstance(body.get(name), kind):
            return _wrong(f"{name}: Field required")
    if body["max_tokens"] < 1 or not body["messages"]:
        return _wrong("max_tokens and messages must not be empty")
    for name in ("output_config", "thinking", "tool_choice"):
        if not isinstance(body.get(name) or {}, dict):
            return _wrong(f"{name}: Input should be an object")
    for tool in body.get("tools") or ():
        if not isinstance(tool, dict) or (tool.get("input_schema") or {}).get("type") != "object":
            return _wrong("tools: input_schema.type: Input should be 'object'")
    refusal = _turns(body["messages"])
    message = refuse(body) if refusal is None else ""
    return _wrong(message) if message else refusal


def _turns(messages: list[Any]) -> Refusal | None:
    """Blocks are not empty, and each call has its result at the head of the next turn."""
    calls: list[str] = []
    for at, message in enumerate(messages):
        blocks = message.get("content") if isinstance(message, dict) else None
        if isinstance(blocks, str) and blocks:
            blocks = [{"type": "text", "text": blocks}]
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            return _wrong(f"messages.{at}.role: Field required")
        if not isinstance(blocks, list) or not blocks:
            return _wrong(f"messages.{at}: all messages must have non-empty content")
        if not all(isinstance(block, dict) for block in blocks):
            return _wrong(f"messages.{at}: content blocks must be objects")
        if at == 0 and message.get("role") != "user":
            return _wrong("messages: first message must use the user role")
        if any(block.get("type") == "text" and not str(block.get("text")).strip() for block in blocks):
            return _wrong(f"messages.{at}: text content blocks must contain non-whitespace text")
        results = [block.get("tool_use_id") for block in blocks[: len(calls)]]
        if results != calls:
            return _wrong(
                f"messages.{at}: `tool_use` ids were found without `tool_result` blocks immediately after"
            )
        calls = [str(block.get("id")) for block in blocks if block.get("type") == "tool_use"]
    return _wrong("messages: the last `tool_use` has no `tool_result`") if calls else None


def as_chat(body: Mapping[str, Any]) -> dict[str, Any]:
    """What decides the answer, in OpenAI's members."""
    last = body["messages"][-1]
    answered = any(block.get("type") == "tool_result" for block in last["content"] if isinstance(block, dict))
    form = (body.get("output_config") or {}).get("format")
    begun = last["role"] == "assistant"
    content = _text(last["content"]) if begun else last["content"]
    role = "tool" if answered else last["role"]
    return {
        "messages": [*body["messages"][:-1], {**last, "role": role, "content": content}],
        "continue_final_message": begun,
        "max_tokens": body["max_tokens"],
        "tools": [
            {"type": "function", "function": {"name": tool["name"], "parameters": tool["input_schema"]}}
            for tool in body.get("tools") or ()
        ],
        "tool_choice": _choice(body.get("tool_choice") or {}),
        "parallel_tool_calls": not (body.get("tool_choice") or {}).get("disable_parallel_tool_use"),
        "response_format": {"type": "json_schema", "json_schema": form} if form else None,
    }


def _text(content: Any) -> str:
    """The words of a turn."""
    return content if isinstance(content, str) else "".join(block.get("text", "") for block in content)


def _choice(given: Mapping[str, Any]) -> Any:
    if given.get("type") == "tool":
        return {"type": "function", "function": {"name": given.get("name")}}
    return "required" if given.get("type") == "any" else given.get("type")


class Answer:
    """One answer in the vendor's members."""

    done = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    """The event that ends a stream."""

    def __init__(self, ident: str, body: Mapping[str, Any], said: Said) -> None:
        self._ident = ident
        self._model = str(body["model"])
        self._said = said
        self._thought = thought(body)

    def whole(self) -> bytes:
        content = [{**block, **self._full(block, tokens)} for block, _, tokens in self._blocks()]
        message = {**self._message(), "content": content, **self._end()}
        return orjson.dumps({**message, "usage": self._usage()})

    def events(self) -> Iterator[bytes]:
        """All events of the stream but the last."""
        start = {**self._message(), "content": [], "stop_reason": None, "usage": self._usage(begun=True)}
        yield _event({"type": "message_start", "message": start})
        for index, (block, piece, tokens) in enumerate(self._blocks()):
            yield _event({"type": "content_block_start", "index": index, "content_block": block})
            for token in tokens:
                yield _delta(index, piece, token)
            if block["type"] == "thinking":
                yield _delta(index, "signature", self._signature)
            yield _event({"type": "content_block_stop", "index": index})
        yield _event({"type": "message_delta", "delta": self._end(), "usage": self._usage()})

    def _blocks(self) -> Iterator[tuple[dict[str, Any], str, Sequence[str]]]:
        """Each block as it begins, the name of its pieces, and the pieces."""
        said = self._said
        if self._thought is not None:
            yield {**self._thought, "thinking": "", "signature": ""}, "thinking", self._thought["thinking"]
        for number, call in enumerate(said.calls):
            made_id = f"toolu_{self._ident}-{number}"
            block = {"type": "tool_use", "id": made_id, "name": call.name, "input": {}}
            yield block, "partial_json", call.tokens
        if not said.calls and not said.refused:
            yield {"type": "text", "text": ""}, "text", said.tokens

    @property
    def _signature(self) -> str:
        return "" if self._thought is None else str(self._thought["signature"])

    def _full(self, block: Mapping[str, Any], tokens: Sequence[str]) -> dict[str, Any]:
        """What a block has once it is complete."""
        text = "".join(tokens)
        if block["type"] == "tool_use":
            return {"input": {} if self._said.finish == "length" else orjson.loads(text)}
        return {block["type"]: text, **({"signature": self._signature} if "signature" in block else {})}

    def _end(self) -> dict[str, Any]:
        """Why it stopped."""
        if not self._said.refused:
            return {"stop_reason": _FINISHES[self._said.finish], "stop_sequence": None}
        details = {"type": "refusal", "category": None, "explanation": "".join(self._said.tokens)}
        return {"stop_reason": "refusal", "stop_sequence": None, "stop_details": details}

    def _message(self) -> dict[str, Any]:
        return {
            "id": f"msg_simulated_{self._ident}",
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "stop_sequence": None,
        }

    def _usage(self, *, begun: bool = False) -> dict[str, Any]:
        """The count; of an answer that has only begun, one token."""
        words = 0 if self._thought is None else len(self._thought["thinking"].split())
        return {
            "input_tokens": self._said.prompt_tokens,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": 1 if begun else self._said.output_tokens + words,
            "output_tokens_details": {"thinking_tokens": 0 if begun else words},
        }


def _event(said: Mapping[str, Any]) -> bytes:
    return b"event: " + str(said["type"]).encode() + b"\ndata: " + orjson.dumps(said) + b"\n\n"


def _delta(index: int, piece: str, token: str) -> bytes:
    delta = {"type": _DELTAS.get(piece, f"{piece}_delta"), piece: token}
    return _event({"type": "content_block_delta", "index": index, "delta": delta})


def _wrong(message: str) -> Refusal:
    return Refusal(400, message, "invalid_request_error")


MESSAGES = Tongue(
    judge=judge,
    shape=shape,
    errors=ERRORS,
    of_status=of_status,
    error_event=lambda: _event(shape(ERRORS["overload"])),
    as_chat=as_chat,
    answer=Answer,
)
