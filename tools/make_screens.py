"""Takes the pictures of the dashboard in docs/img/: `make screens`, after it has changed how it looks.

A server of the program's own runs on this machine with an hour that was made up from a seed behind it, and a
Chromium looks at it, in light, in dark and on a phone. Nothing else is made up: what is seen is what the
dashboard shows of such an hour. It uses the kit of the tests, and changes no file but the pictures.
"""

import asyncio
import random  # noqa: TID251 - chance out of a seed of its own
import sys
from pathlib import Path

from proxy.call import Attempt, Billed, Identity, Kind, Outcome, Phase, Signal
from proxy.policy.classify import classify
from proxy.recent import Recent
from proxy.server.visit import Listener
from proxy.store.view import Counter, Crossed
from proxy.table import BreakerRules, Route, Table, Target, Upstream
from proxy.usage import Source, Usage
from tests.kit.chromium import opened as page_opened
from tests.kit.chromium import running
from tests.server.running import FakeDice, House, opened

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "img"
MINUTE_US = 60_000_000
OPENAI, CLAUDE = Target("openai", "gpt-4o"), Target("anthropic", "claude-sonnet-4-5")
MIXTRAL = Target("vllm", "mistralai/Mixtral-8x7B-Instruct-v0.1")
TABLE = Table(
    {
        name: Upstream(name, "openai", "http://127.0.0.1:1/v1", breaker=BreakerRules(failures=1))
        for name in ("openai", "anthropic", "vllm")
    },
    (Route("chat", (OPENAI, CLAUDE, MIXTRAL), off=("deepseek",)),),
    off={"deepseek": "DEEPSEEK_API_KEY is not set"},
)
SIGHTS = (("light", "light", 1120, 1180), ("dark", "dark", 1120, 1180), ("phone", "light", 360, 760))
"""Name of the picture, what the reader likes, width, height."""


class Hour:
    """An hour of calls: the first upstream fails from the fiftieth minute on."""

    def __init__(self, house: House, seed: int) -> None:
        self.chance = random.Random(seed)
        self.end_us = house.clock.wall_us()
        self.now_us = self.end_us - 59 * MINUTE_US
        house.recent = self.recent = Recent(lambda: self.now_us)

    def play(self) -> None:
        """Let it pass."""
        for minute in range(60):
            busy = self.chance.randint(14, 26) if minute < 30 else self.chance.randint(24, 48)
            for number in range(busy):
                self.now_us = self.end_us - (59 - minute) * MINUTE_US + number * 1000
                self.call(f"req_{minute:02}{number:02}", dead=minute >= 50)
        self.now_us = self.end_us

    def call(self, name: str, *, dead: bool) -> None:
        """One call of it."""
        chance = self.chance
        fails = dead or chance.random() < 0.02
        attempts = [self.attempt(OPENAI, "overload", 503, 0)] if fails else []
        target = CLAUDE if fails else OPENAI
        attempts.append(self.attempt(target, "ok", 200, attempts[-1].ended_ms if attempts else 0))
        for each in attempts:
            self.recent.attempted(each)
        usage = Usage(chance.randint(200, 3000), chance.randint(40, 600), source=Source.REPORTED)
        total_ms = attempts[-1].ended_ms
        self.recent.settled(
            Outcome(
                call_id=name,
                identity=Identity(chance.choice(("acme", "acme", "globex")), "key_1"),
                model="chat",
                stream=True,
                status=200,
                result="ok",
                upstream=target.upstream,
                upstream_model=target.model,
                usage=usage,
                nano_usd=2500 * usage.input + 10_000 * usage.output,
                attempts=tuple(attempts),
                started_us=self.now_us - total_ms * 1000,
                first_ms=attempts[-1].first_ms,
                total_ms=total_ms,
            )
        )

    def attempt(self, target: Target, result: str, status: int, began_ms: int) -> Attempt:
        """One try of a call."""
        first_ms = began_ms + int(self.chance.lognormvariate(6.0, 0.35))
        ended_ms = first_ms + self.chance.randint(900, 4000) if result == "ok" else began_ms + 80
        seen_ms = first_ms if result == "ok" else None
        return Attempt(
            *(target.upstream, target.model, result, status, Phase.CONTENT, began_ms, seen_ms, ended_ms),
            Billed.YES,
        )


def made() -> House:
    """A server with that hour behind it."""
    house = House(table=TABLE)
    Hour(house, 7).play()
    broken = Signal(Kind.OVERLOADED, Phase.HEADERS, 503)
    ticket = house.health.admit(OPENAI, house.clock.mono(), last=False)
    house.health.failed(ticket, classify(broken), broken, house.clock.mono(), FakeDice())
    day, month = 1_799_971_200, 1_798_761_600
    end, last = day + 86_400, month + 31 * 86_400
    house.view.found = (
        Counter("key=key_1/requests/minute", day, day + 60, "requests", 21, 0, 60, (75, 90)),
        Counter(
            "tenant=acme/nano_usd/month", month, last, "nano_usd", 18_600_000_000, 0, 20 * 10**9, (75, 90)
        ),
        Counter("tenant=acme/tokens/day", day, end, "tokens", 389_400, 12_800, 500_000, (75, 90)),
        Counter(
            "tenant=globex/nano_usd/month", month, last, "nano_usd", 4_130_000_000, 0, 20 * 10**9, (75, 90)
        ),
        Counter("tenant=globex/tokens/day", day, end, "tokens", 120_150, 0, 500_000, (75, 90)),
    )
    house.view.crossed = (
        Crossed(
            house.clock.wall_us() - 9 * MINUTE_US,
            "tenant=acme/tokens/day",
            day,
            "tokens",
            375_020,
            75,
            500_000,
        ),
    )
    return house


async def take(browser: str) -> None:
    """All the pictures."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    async with opened(made()) as house:
        for name, scheme, width, height in SIGHTS:
            async with page_opened(browser, f"http://127.0.0.1:{house.port(Listener.ADMIN)}/") as page:
                await page.sized(width, height, phone=width < 500)
                await page.lit(scheme)
                await page.until("document.querySelectorAll('[data-rows=calls] tbody tr').length")
                picture = await page.picture()
                (FOLDER / f"dashboard-{name}.png").write_bytes(picture)
                sys.stdout.write(f"dashboard-{name}.png: {len(picture) // 1024} KiB\n")


if __name__ == "__main__":
    with running() as found:
        asyncio.run(take(found))
