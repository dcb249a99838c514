"""Callers who leave, each at a moment and in a way of their own, drawn from a seed."""

import asyncio
import random
from dataclasses import dataclass

from tests.kit.one_loop import LAST, STREAM, Inside, ask, until

TABLE = """
upstreams:
  well: {{dialect: openai, base_url: "http://127.0.0.1:{port}/v1"}}
  sick: {{dialect: openai, base_url: "http://127.0.0.1:{port}/v1", breaker: {{failures: 1000}}}}
  narrow: {{dialect: openai, base_url: "http://127.0.0.1:{port}/v1", streams: 2}}
  dead: {{dialect: openai, base_url: "http://127.0.0.1:9/v1", breaker: {{failures: 1000}}}}
routes:
  - {{model: chat, targets: [well/m]}}
  - {{model: in-line, targets: [narrow/m]}}
  - {{model: waiting, targets: [sick/m], retry: {{attempts: 3, in_place: 3s}}}}
  - {{model: elsewhere, targets: [dead/m, well/m]}}
"""
MODELS = ("chat", "chat", "in-line", "elsewhere")
WAYS = ("reset", "close", "half-close")
MOMENTS = ("sent", "heard", "answered", "over")
"""After which the turns are counted: its bytes are out; an upstream was asked; content came; all came."""
FIRST_TOKEN = 2
"""Where the first content stands among the pieces of a stream."""
TURNS = 30


@dataclass(frozen=True)
class Leaver:
    """What one caller asks for, and when and how it leaves."""

    prompt: str
    model: str
    stream: bool
    part: float
    """How much of the request it sends at all."""
    moment: str
    turns: int
    """So many turns of the loop after the moment."""
    way: str

    @classmethod
    def drawn(cls, dice: random.Random, number: int) -> "Leaver":
        """Any caller."""
        pieces = dice.randrange(len(STREAM) + 1)
        waits = dice.random() < 0.15
        says = "503" if waits else "well" if pieces == len(STREAM) else str(pieces)
        model = "waiting" if waits else dice.choice(MODELS)
        stream = dice.random() < 0.8
        comes = 1 + (stream and not waits) * ((pieces > FIRST_TOKEN) + (pieces == len(STREAM)))
        if model == "in-line":
            comes = 0  # whether it is ever asked is up to those before it
        return cls(
            prompt=f"{says} {number}",
            model=model,
            stream=stream,
            part=dice.random() if dice.random() < 0.05 else 1.0,
            moment=dice.choices(MOMENTS[: comes + 1], range(1, comes + 2))[0],
            turns=dice.randrange(TURNS),
            way=dice.choice(WAYS),
        )

    async def play(self, inside: Inside) -> None:
        """Ask, wait, leave; over when nothing is left of the connection."""
        asker = await inside.asker()
        request = ask(self.prompt, self.model, stream=self.stream)
        asker.transport.write(request[: int(len(request) * self.part)])
        if self.part == 1.0:
            come = {
                "sent": lambda: True,
                "heard": lambda: self.prompt in inside.upstreams.heard,
                "answered": lambda: b" one" in asker.got,
                "over": lambda: asker.got.endswith(LAST),
            }[self.moment]
            await until(lambda: asker.lost or come())
        for _ in range(self.turns):
            await asyncio.sleep(0)
        if not asker.lost:
            asker.leave(self.way)
        await until(lambda: asker.lost)
