"""An answer that is not streamed, cut at every byte of its body, however that is framed: never half of it."""

import asyncio
import json
import re

import pytest
import uvloop

from tests.endurance.cutting import SPARE, TEXT
from tests.kit.one_loop import LAST, Inside, Part, ask, one_loop
from tests.kit.stage import chunk, whole

GEMINI = {"content": {"parts": [{"text": TEXT}], "role": "model"}, "finishReason": "STOP", "index": 0}
USAGE = {"promptTokenCount": 9, "candidatesTokenCount": 4, "totalTokenCount": 13}
BLOCKS = [{"type": "text", "text": TEXT}]
MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": BLOCKS}
STOP = {"stop_reason": "end_turn", "stop_sequence": None, "usage": {"input_tokens": 9, "output_tokens": 4}}
GOLDEN = {
    "openai": whole("m", (TEXT,))[0].partition(b"\r\n\r\n")[2],
    "vllm": whole("m", (TEXT,))[0].partition(b"\r\n\r\n")[2],
    "anthropic": json.dumps(MESSAGE | STOP).encode(),
    "gemini": json.dumps({"candidates": [GEMINI], "usageMetadata": USAGE, "modelVersion": "m"}).encode(),
}
FRAMES = {"length": 3, "chunks": 3, "eof": 1}
"""Every so many bytes: where the frame tells that something is missing, a sample is enough."""
HEAD = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
CALLERS = 16


class Cutter(Part):
    """Says so many bytes of a golden body, and is gone; as the spare one it is well."""

    def play(self, name: str, body: bytes) -> None:
        if name == "spare":
            self.transport.write(b"".join(whole("m", (SPARE,))))
            return
        dialect, frame, at = re.search(rb"<<([^>]*)>>", body)[1].decode().split()
        told = GOLDEN[dialect][: int(at)]
        heads = {"length": f"content-length: {len(GOLDEN[dialect])}", "chunks": "transfer-encoding: chunked"}
        head = f"{HEAD}{heads.get(frame, 'connection: close')}\r\n\r\n".encode()
        if frame == "chunks":
            told = b"".join(chunk(told[start : start + 50]) for start in range(0, len(told), 50))
            told += LAST * (int(at) == len(GOLDEN[dialect]))
        self.transport.write(head + told)
        self.transport.close()


def table() -> str:
    where = 'base_url: "http://127.0.0.1:{port}/%s/v1", breaker: {{failures: 1000}}'
    upstreams = [f"  {name}: {{{{dialect: {name}, {where % 'first'}}}}}\n" for name in GOLDEN]
    routes = [f"  - {{{{model: {name}-model, targets: [{name}/m, spare/m]}}}}\n" for name in GOLDEN]
    spare = f"  spare: {{{{dialect: openai, {where % 'spare'}}}}}\n"
    return "".join(["upstreams:\n", *upstreams, spare, "routes:\n", *routes])


async def answered(inside: Inside, dialect: str, frame: str, at: int) -> str:
    """The text of the answer, which must be a whole one."""
    asker = await inside.asker()
    asker.transport.write(ask(f"<<{dialect} {frame} {at}>>", f"{dialect}-model", stream=False))
    head, _, body = (await asker.until(b"}]")).partition(b"\r\n\r\n")  # small, and so in one piece
    assert head.startswith(b"HTTP/1.1 200"), head
    assert f"content-length: {len(body)}".encode() in head
    asker.leave("close")
    (choice,) = json.loads(body)["choices"]
    assert choice["finish_reason"] == "stop"
    return choice["message"]["content"]


async def cut_everywhere(folder, dialect: str) -> None:
    size = len(GOLDEN[dialect])
    places = iter([(frame, at) for frame, step in FRAMES.items() for at in (*range(0, size, step), size)])
    async with one_loop(folder, table(), Cutter) as inside:

        async def caller() -> None:
            for frame, at in places:
                expected = TEXT if at == len(GOLDEN[dialect]) else SPARE
                assert await answered(inside, dialect, frame, at) == expected, (frame, at)

        await asyncio.gather(*(caller() for _ in range(CALLERS)))
        await inside.quiet()


@pytest.mark.fault("b9-cut")
@pytest.mark.parametrize("dialect", GOLDEN)
def test_a_whole_answer_cut_at_any_byte_is_anothers_and_never_half_of_one(tmp_path, dialect):
    uvloop.run(cut_everywhere(tmp_path, dialect))
