"""What upstreams do: answers drawn from a seed, out of every phase in which an answer can go wrong.

An upstream has moods that last for some virtual minutes, so that it goes down as a whole and comes back; one
upstream of a world may be steady, and then whoever could have had its answer must get one.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from proxy.call import Signal
from tests.kit.scripted_ports import DONE, REFUSED, RESET, STALL, Pause, event, fails, usage_event, whole

WELL = "well"
STALLED_S = 1e5
"""As good as for ever."""
PROMPT_TOKENS = 5
PLAIN = {"content-type": "application/json"}
STREAMED = {"content-type": "text/event-stream"}
HTML = {"content-type": "text/html"}

MOODS: Mapping[str, tuple[str, ...]] = {
    "well": (WELL,),
    "mostly well": (WELL,) * 6 + ("reset", "500", "cut", "stall"),
    "down": ("refused",),
    "falling": ("refused", "reset", "502", "503", "head late"),
    "silent": ("head late", "silent", "pings", "stall"),
    "busy": ("429", "429 wait", "503 wait", "529", WELL, "503", "429 soon"),
    "refusing": ("401", "402", "404", "no money"),
    "odd": ("html", "error in 200", "error event", "role, error", "role, reset", "nonsense", "empty"),
    "cutting": ("cut", "cut in event", "malformed", "no finish", "late error", WELL, "stall", "no done"),
    "any": (),
}
"""Kinds of answer by mood; of none in particular: any."""
ANY = tuple(sorted({kind for kinds in MOODS.values() for kind in kinds}))
WAITS = (0.0, 0.3, 0.8, 2.0, 7.0, 20.0, 90.0, 500.0)
"""What is asked for by Retry-After."""
STATUSES: Mapping[str, int] = {
    "401": 401, "402": 402, "404": 404, "429": 429, "500": 500, "502": 502, "503": 503, "529": 529,
    "429 wait": 429, "429 soon": 429, "503 wait": 503,
}  # fmt: skip
SPENT = {
    "error": {"message": "no", "type": "insufficient_quota", "param": None, "code": "insufficient_quota"}
}
UNKIND = {"error": {"message": "no", "type": None, "param": None, "code": None}}
"""An error that says no more than its status."""
LATE = frozenset({"head late", "silent", "pings", "stall"})
"""Kinds that are only ever known by their lateness."""
GOOD = frozenset({WELL, "no done"})
"""Kinds that are whole answers."""
REFUSALS = frozenset({"401", "402", "no money"})
"""Kinds that speak of the account."""


@dataclass(slots=True)
class Weather:
    """The moods of one upstream."""

    dice: random.Random
    steady: bool
    healed: bool = False
    """From now on all is well."""
    _mood: str = "well"
    _until: float = 0.0

    def kind(self, now: float) -> str:
        """What an attempt meets that comes now."""
        if self.steady or self.healed:
            return WELL
        if now >= self._until:
            self._mood = self.dice.choice(tuple(MOODS))
            self._until = now + self.dice.choice((2.0, 10.0, 30.0, 90.0))
        return self.dice.choice(MOODS[self._mood] or ANY)


@dataclass(slots=True)
class Script:
    """One answer to come."""

    kind: str
    signal: Signal | None = None
    """Instead of a head."""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    before_s: float = 0.0
    steps: list = field(default_factory=list)
    retry_after_s: float | None = None

    @property
    def good(self) -> bool:
        """Whether it is a whole answer, and soon."""
        return self.kind in GOOD


def script(kind: str, words: list[str], dice: random.Random, *, stream: bool) -> Script:
    """The answer of that kind that would say `words`."""
    before = dice.choice((0.0, 0.0, 0.01, 0.2, 1.0))
    if kind == "refused":
        return Script(kind, signal=REFUSED)
    if kind == "reset":
        return Script(kind, signal=RESET, before_s=before)
    if kind == "head late":
        return Script(kind, before_s=STALLED_S)
    if kind == "no money":
        said = fails(429, SPENT)
        return Script(kind, None, 429, said.headers, before, said.steps)
    if kind in STATUSES:
        return _refusal(kind, before, dice)
    if kind == "html":
        return Script(kind, None, 200, HTML, before, [b"<html>"])
    if kind == "error in 200":
        return Script(kind, None, 200, PLAIN, before, [b'{"error":{"message":"x"}}'])
    if not stream:
        return _unstreamed(kind, words, before)
    return Script(kind, None, 200, STREAMED, before, _steps(kind, words, dice))


def _refusal(kind: str, before: float, dice: random.Random) -> Script:
    wait = dice.choice(WAITS) if kind.endswith("wait") else 0.4 if kind.endswith("soon") else None
    asked = {} if wait is None else {"retry_after": str(wait)}
    said = fails(STATUSES[kind], UNKIND, **asked)
    return Script(kind, None, said.status, said.headers, before, said.steps, wait)


def _unstreamed(kind: str, words: list[str], before: float) -> Script:
    """A whole answer, or what is left of one."""
    body = whole("".join(words)).steps[0]
    if kind in GOOD:
        return Script(kind, None, 200, PLAIN, before, [body])
    if kind in LATE:
        return Script(kind, None, 200, PLAIN, before, [body[:9], STALL])
    if kind in ("empty", "no finish"):
        return Script(kind, None, 200, PLAIN, before, [])
    return Script(kind, None, 200, PLAIN, before, [body[: len(body) // 2], RESET])


def _steps(kind: str, words: list[str], dice: random.Random) -> list:
    """The body of a stream of that kind."""
    head = {"id": f"chatcmpl-{dice.randrange(10**9)}"}
    role = event({"role": "assistant", "content": ""}, **head)
    said = [event({"content": word}, **head) for word in words]
    end = [event(finish="stop", **head), usage_event(PROMPT_TOKENS, len(words))]
    bad = b'data: {"error":{"message":"x","code":500}}\n\n' + DONE
    early = {
        "silent": [role, STALL],
        "pings": [b": ping\n\n", Pause(1.0)] * 4 + [STALL],
        "error event": [bad],
        "role, error": [role, bad],
        "role, reset": [role, RESET],
        "nonsense": [b"data: nonsense\n\n"],
        "empty": [],
    }
    if kind in early:
        return early[kind]
    half = dice.randrange(1, max(2, len(words) + 1))
    tail = {
        "stall": [*said[:half], STALL],
        "cut": [*said[:half], RESET],
        "cut in event": [*said[:half], event({"content": "lost"}, **head)[:-9], RESET],
        "malformed": [*said[:half], b'data: {"choices":[{"delta":\n\n'],
        "no finish": [*said[:half]],
        "late error": [*said[:half], bad],
        "no done": [*said, end[0]],
        WELL: [*said, *end, DONE],
    }[kind]
    steps = [role, *tail]
    if bad not in steps and dice.random() < 0.25:
        return _paced(_cut(steps, dice), (0.0, 0.05), dice)
    return _paced(steps, (0.0, 0.0, 0.05, 0.3, 2.5), dice)


def _cut(steps: list, dice: random.Random) -> list:
    """The same bytes in other pieces."""
    data = b"".join(step for step in steps if isinstance(step, bytes))
    rest = [step for step in steps if not isinstance(step, bytes)]
    pieces, at = [], 0
    while at < len(data):
        size = dice.randrange(20, 400)
        pieces.append(data[at : at + size])
        at += size
    return pieces + rest


def _paced(steps: list, paces: tuple[float, ...], dice: random.Random) -> list:
    """With silences, or without any; neither the first word waits long, nor the end when all is said."""
    pace = dice.choice(paces)
    if not pace:
        return steps
    said = range(2, len(steps) - 3)
    silences = [Pause(pace if at in said else min(pace, 0.3)) for at in range(len(steps))]
    return [part for both in zip(silences, steps, strict=True) for part in both]
