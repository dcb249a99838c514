"""A whole answer of Gemini's, judged and said in OpenAI's form.

The dialect calls `judge_reply` with the body of a success. An answer may also come as a list of
chunks, which is how Gemini streams to those who do not ask for events.
"""

from typing import Any

from proxy.call import Call, Kind, Phase, Signal
from proxy.wire.chunks import choice, completion_of
from proxy.wire.counts import estimated, fewest, size, weighed
from proxy.wire.dialect import Reply
from proxy.wire.gemini.answer import Answer
from proxy.wire.gemini.candidate import Piece
from proxy.wire.gemini.errors import inband, is_error
from proxy.wire.tolerant import exact, loads


def judge_reply(call: Call, status: int, body: bytes) -> Reply | Signal:
    """The caller's bytes, or why this is no answer."""
    try:
        said = exact(loads(body), body)
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
    if not answer.ended:
        return _no_answer(status, "no finished candidate")
    if answer.unsayable:
        return Signal(Kind.UNSAYABLE, Phase.HEADERS, status, detail="no word in the answer")
    body = completion_of(call, answer.model, _choices(call, answer, pieces), answer.shown)
    seen = sum(size(piece.text) + size(piece.name) for piece in pieces)
    usage = weighed(answer.usage, estimated(call.prompt_bytes, seen, 0), fewest(seen), whole=answer.counted)
    return Reply(body, usage, answer.memories)


def _choices(call: Call, answer: Answer, pieces: list[Piece]) -> list[dict[str, Any]]:
    """Every candidate as a choice; a refusal is the only one."""
    if answer.refusal is not None:
        refused = {"role": "assistant", "content": "", "refusal": answer.refusal}
        return [choice(0, refused, "content_filter", None)]
    legacy = bool(call.body.get("functions"))
    choices = []
    for index, candidate in enumerate(answer.candidates):
        own = [piece for piece in pieces if piece.choice == index]
        odds = next((piece.logprobs for piece in own if piece.logprobs is not None), None)
        choices.append(choice(index, _message(own, legacy=legacy), candidate.finish_reason(), odds))
    return choices


def _message(pieces: list[Piece], *, legacy: bool) -> dict[str, Any]:
    text = "".join(piece.text for piece in pieces if piece.kind == "text")
    thought = "".join(piece.text for piece in pieces if piece.kind == "reasoning")
    calls = [piece for piece in pieces if piece.kind == "call"]
    message: dict[str, Any] = {"role": "assistant", "content": text or (None if calls else "")}
    message["refusal"] = None
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


def _no_answer(status: int, detail: str) -> Signal:
    return Signal(Kind.BAD_ANSWER, Phase.HEADERS, status, detail=detail)
