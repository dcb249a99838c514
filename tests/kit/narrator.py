"""An upstream that can be cut anywhere and gone on from: it says one text, from where it is asked.

Asked in vLLM's way to go on with a last message, it says what comes after it; a message that is not a
beginning of its text, or ends in white space, makes it lose its place, as a real model would.
"""

import asyncio
from collections.abc import Sequence
from contextlib import asynccontextmanager

import orjson

from proxy.call import UpstreamLost, UpstreamRequest
from proxy.table import Upstream
from tests.kit.scripted_ports import DONE, RESET, Says, ScriptedAnswer

PROMPT_TOKENS = 5


def usage(prompt: int, output: int) -> dict[str, int]:
    return {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output}


class Narrator:
    """The Upstreams port. `cuts[i]` says after how many bytes the i-th answer breaks; None: not at all.

    `together` tokens come in one event, as from a busy server.
    """

    def __init__(
        self, tokens: Sequence[str], cuts: Sequence[int | None] = (), how=RESET, *, piece=0, together=1
    ) -> None:
        self.together = together
        self.tokens = tuple(tokens)
        self.cuts = list(cuts)
        self.how = how
        self.piece = piece
        self.asked: list[str] = []
        self.bodies: list[dict] = []
        self.open = 0

    @asynccontextmanager
    async def send(self, upstream: Upstream, request: UpstreamRequest):
        number = len(self.asked)
        body = orjson.loads(request.body)
        self.asked.append(upstream.name)
        self.bodies.append(body)
        cut = self.cuts[number] if number < len(self.cuts) else None
        await asyncio.sleep(0)
        if cut is not None and cut < 0:
            raise UpstreamLost(RESET)
        said = self.stream(body, number)
        steps = [said] if cut is None else [said[:cut], self.how]
        if self.piece:
            steps = [part for step in steps for part in self._parts(step)]
        self.open += 1
        try:
            yield ScriptedAnswer(Says(steps=[step for step in steps if step != b""]))
        finally:
            self.open -= 1

    def _parts(self, step) -> list:
        if not isinstance(step, bytes):
            return [step]
        return [step[at : at + self.piece] for at in range(0, len(step), self.piece)]

    def stream(self, body: dict, number: int = 0) -> bytes:
        """The whole stream that answers `body`, the `number`th time that anything is asked."""
        begun = ""
        if body.get("continue_final_message"):
            assert body["add_generation_prompt"] is False
            assert body["messages"][-1]["role"] == "assistant"
            begun = body["messages"][-1]["content"]
        left = self._after(begun)
        most = body.get("max_tokens") or body.get("max_completion_tokens") or len(left)
        spoken = left[:most]
        head = {
            "id": f"chatcmpl-{number}",
            "object": "chat.completion.chunk",
            "created": number,
            "model": f"m{number}",
        }
        prompt = PROMPT_TOKENS + len(self.tokens) - len(left)
        counts = (body.get("stream_options") or {}).get("continuous_usage_stats")
        events = [self._event(head, {"role": "assistant", "content": ""})]
        for at in range(0, len(spoken), self.together):
            some = spoken[at : at + self.together]
            now = {**head, "usage": usage(prompt, at + len(some))} if counts else head
            events.append(self._event(now, {"content": "".join(some)}))
        events.append(self._event(head, {}, "length" if len(spoken) < len(left) else "stop"))
        events.append(
            b"data: " + orjson.dumps({**head, "choices": [], "usage": usage(prompt, len(spoken))}) + b"\n\n"
        )
        return b"".join([*events, DONE])

    def _after(self, begun: str) -> tuple[str, ...]:
        if begun != begun.rstrip() or not "".join(self.tokens).startswith(begun):
            return (" lost",)
        left = list(self.tokens)
        for token in self.tokens:
            if len(token) > len(begun):
                return (token[len(begun) :], *left[1:])
            begun = begun[len(token) :]
            del left[0]
        return ()

    @staticmethod
    def _event(head: dict, delta: dict, finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return b"data: " + orjson.dumps({**head, "choices": [choice]}) + b"\n\n"
