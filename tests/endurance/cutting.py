"""Golden streams of the four dialects, an upstream that cuts them at a byte, and what the official SDK reads.

The upstream is told by the prompt: the framing, the way of the cut, and after how many bytes it comes. The
bytes are those of the wire, so that a head, a chunk's length and a character are cut too.
"""

import functools
import json
import re
import socket
import struct
from dataclasses import dataclass

import httpx2
import openai
from openai import OpenAI, Stream
from openai.types.chat import ChatCompletionChunk

from tests.kit.one_loop import LAST, Asker, Part
from tests.kit.stage import chunk, event, events, opening

TOKENS = (" un", " é", " 漢👩‍🚀", " end")
TEXT = "".join(TOKENS)
SPARE = " something else"
"""What the next target says: never to be seen together with a word of the first."""
TILL_EOF = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
WAYS = ("chunked close", "chunked reset", "until-eof close")
"""A body until the end of its connection, closed early, looks like a whole one: only its dialect can tell."""


def named(document: dict) -> bytes:
    return f"event: {document['type']}\n".encode() + event(document)


def claude() -> list[bytes]:
    usage = {"input_tokens": 9, "output_tokens": 1}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": []}
    message |= {"stop_reason": None, "stop_sequence": None, "usage": usage}
    block = {"type": "text", "text": ""}
    said = [{"type": "text_delta", "text": token} for token in TOKENS]
    stop = {"stop_reason": "end_turn", "stop_sequence": None}
    documents = [
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": block},
        *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in said),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": stop, "usage": {"output_tokens": 4}},
        {"type": "message_stop"},
    ]
    return [named(document) for document in documents]


def gemini() -> list[bytes]:
    last = len(TOKENS) - 1
    documents = []
    for at, token in enumerate(TOKENS):
        candidate = {"content": {"parts": [{"text": token}], "role": "model"}, "index": 0}
        if at == last:
            candidate["finishReason"] = "STOP"
        usage = {"promptTokenCount": 9, "candidatesTokenCount": at + 1, "totalTokenCount": 10 + at}
        documents.append(
            {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "m", "responseId": "r1"}
        )
    return [event(document) for document in documents]


GOLDEN = {
    "openai": events("m", TOKENS),
    "vllm": events("m", TOKENS),
    "anthropic": claude(),
    "gemini": gemini(),
}
FINISH = {"anthropic": b'"stop_reason": "end_turn"', "gemini": b'"finishReason": "STOP"'}
"""What must have come of a stream before it may pass for whole, where it is not OpenAI's own word."""


@functools.cache
def wire(dialect: str, way: str) -> bytes:
    """All bytes of a golden stream."""
    if way.startswith("until-eof"):
        return TILL_EOF + b"".join(GOLDEN[dialect])
    return opening() + b"".join(chunk(one) for one in GOLDEN[dialect]) + LAST


@dataclass(frozen=True)
class Cut:
    """One stream that is cut."""

    dialect: str
    way: str
    at: int

    @property
    def prompt(self) -> str:
        return f"<<{self.dialect} {self.way} {self.at}>>"

    @property
    def finished(self) -> bool:
        """Whether the last word of the answer had come before the cut."""
        return FINISH.get(self.dialect, b'"finish_reason": "stop"') in wire(self.dialect, self.way)[: self.at]


class Cutter(Part):
    """Cuts what it is told to cut. `again` says the same, whole; `spare` something else."""

    def play(self, name: str, body: bytes) -> None:
        dialect, framing, how, at = re.search(rb"<<([^>]*)>>", body)[1].decode().split()
        if name == "spare":
            self.transport.write(b"".join([opening(), *map(chunk, events("m", (SPARE,))), LAST]))
            return
        if name == "again":
            self.transport.write(wire(dialect, WAYS[0]))
            return
        told = wire(dialect, f"{framing} {how}")
        self.transport.write(told[: int(at)])
        if int(at) == len(told) and framing == "chunked":
            return
        if how == "reset":
            sock = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()
        else:
            self.transport.close()


@dataclass(frozen=True)
class Read:
    """What a program has in the end."""

    text: str
    whole: bool
    """The SDK ended as it does after a whole answer."""
    code: str | None = None
    """Of the error that it raised instead."""


def read(sdk: OpenAI, got: bytes) -> Read:
    """What the official SDK makes of the bytes of one answer, whose framing must be whole."""
    head, _, framed = got.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    assert framed.endswith(LAST), "the connection was cut"
    body = b""
    while framed != LAST:
        size, _, framed = framed.partition(b"\r\n")
        body, framed = body + framed[: int(size, 16)], framed[int(size, 16) + 2 :]
    response = httpx2.Response(200, content=body, request=httpx2.Request("POST", "http://proxy"))
    texts = []
    try:
        for piece in Stream(cast_to=ChatCompletionChunk, response=response, client=sdk):
            texts += [choice.delta.content or "" for choice in piece.choices]
    except openai.APIError as error:
        assert b"[DONE]" not in body
        return Read("".join(texts), whole=False, code=error.code)
    assert body.count(b"[DONE]") == 1
    assert json.dumps("stop").encode() in body
    return Read("".join(texts), whole=True)


async def asked(asker: Asker, cut: Cut, model: str) -> bytes:
    """All bytes of the answer to one call."""
    return bytes(await asker.call(cut.prompt, model=f"{cut.dialect}-{model}"))
