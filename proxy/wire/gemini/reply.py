"""A whole answer of Gemini's, judged and said in OpenAI's form.

The dialect calls `judge_reply` with the body of a success. An answer may also come as a list of
chunks, which is how Gemini streams to those who do not ask for events.
"""

from typing import Any

from proxy.call import Call, Kind, Phase, Signal
from proxy.wire.chunks import completion
from proxy.wire.counts import estimated, size
from proxy.wire.dialect import Reply
from proxy.wire.gemini.answer import Answer, Piece
from proxy.wire.gemini.errors import inband, is_error
from proxy.wire.tolerant import loads


def judge_reply(call: Call, status: int, body: bytes) -> Reply | Signal:
    """The caller's bytes, or why this is no answer."""
    try:
        said = loads(body)
    except ValueError:
        return _no_answer(status, "not JSON")
    if is_error(said):
        return inband(said, Phase.HEADERS)
    chunks = said if isinstance(said, list) else [said]
    if not all(isinstance(chunk, dict) for chunk in chunks):
        return _no_answer(status, "not an object")
    answer = Answer(call)
    try:
        pieces = [piece for chunk in chunks for piece in answer.take(chunk)]
        return _reply(call, status, answer, pieces)
    except ValueError:
        return _no_answer(status, "malformed")


def _reply(call: Call, status: int, answer: Answer, pieces: list[Piece]) -> Reply | Signal:
    fault = answer.fault()
    if fault is not None:
        return Signal(fault, Phase.HEADERS, status, detail="the model's answer was no answer")
    if answer.finish is None and answer.blocked is None:
        return _no_answer(status, "no finished candidate")
    message = _message(answer, pieces, legacy=bool(call.body.get("functions")))
    odds = next((piece.logprobs for piece in pieces if piece.logprobs is not None), None)
    body = completion(call, answer.model, message, answer.finish_reason(), answer.usage, odds)
    seen = sum(size(piece.text) + size(piece.name) for piece in pieces)
    return Reply(body, answer.usage or estimated(call.prompt_bytes, seen, 0))


def _message(answer: Answer, pieces: list[Piece], *, legacy: bool) -> dict[str, Any]:
    text = "".join(piece.text for piece in pieces if piece.kind == "text")
    thought = "".join(piece.text for piece in pieces if piece.kind == "reasoning")
    calls = [piece for piece in pieces if piece.kind == "call"]
    message: dict[str, Any] = {"role": "assistant", "content": text or (None if calls else "")}
    message["refusal"] = refusal(answer)
    if thought:
        message["reasoning_content"] = thought
    if calls and legacy:
        message["function_call"] = {"name": calls[0].name, "arguments": calls[0].text}
    elif calls:
        message["tool_calls"] = [
            {
                "id": piece.made_id,
                "type": "function",
                "function": {"name": piece.name, "arguments": piece.text},
            }
            for piece in calls
        ]
    return message


def refusal(answer: Answer) -> str | None:
    """Why the model never began, where Google says so."""
    if answer.finish is not None or answer.blocked is None:
        return None
    return f"The prompt was blocked: {answer.blocked[:64]}."


def _no_answer(status: int, detail: str) -> Signal:
    return Signal(Kind.BAD_ANSWER, Phase.HEADERS, status, detail=detail)
