"""Any subset of upstreams failing before content, and one that is well: every call is answered whole."""

import random

import pytest

from proxy.call import Kind, Phase, Signal
from proxy.relay import answer
from proxy.table import Timeouts
from tests.kit.scripted_ports import (
    DONE,
    REFUSED,
    RESET,
    STALL,
    Pause,
    RecordingCaller,
    Says,
    ScriptedUpstreams,
    call,
    desk,
    event,
    fails,
    stream,
    table,
    whole,
)
from tests.kit.virtual import play

CASES = 10_000
NAMES = ("a", "b", "c", "d", "e")
ROLE = event({"role": "assistant", "content": ""})
JSON = {"content-type": "application/json"}
SPENT = {
    "error": {"message": "no", "type": "insufficient_quota", "param": None, "code": "insufficient_quota"}
}
ANY = (
    REFUSED,
    Signal(Kind.UNREACHABLE, Phase.CONNECT, detail="no such host"),
    Signal(Kind.TIMEOUT, Phase.CONNECT),
    Signal(Kind.RESET, Phase.SENT),
    Says(before=1e6),
    *(fails(status) for status in (401, 402, 403, 404, 408, 409, 429, 500, 502, 503, 504, 529)),
    *(fails(429, retry_after=seconds) for seconds in ("0", "0.5", "1", "20", "-1", "nan", "1e9")),
    fails(429, SPENT),
    fails(503, retry_after_ms="300"),
    Says(headers={"content-type": "text/html"}, steps=[b"<html>"]),
    Says(headers=JSON, steps=[b'{"error":{"message":"x"}}']),
    Says(headers=JSON, steps=[b'{"choices":[{"mes', RESET]),
    Says(headers=JSON, steps=[]),
)
STREAMED = (
    Says(steps=[STALL]),
    Says(steps=[ROLE, STALL]),
    Says(steps=[b": ping\n\n", Pause(30), b": ping\n\n", Pause(30), STALL]),
    Says(steps=[ROLE, RESET]),
    Says(steps=[ROLE]),
    Says(steps=[DONE]),
    Says(steps=[b"data: nonsense\n\n"]),
    Says(steps=[ROLE, b'data: {"error":{"message":"x","code":500}}\n\n', DONE]),
    Says(steps=[event({"content": "half"}) + b'data: {"error":{"message":"x"}}\n\n']),
    Says(steps=[bytes(300_000)]),
)


@pytest.mark.timeout(300)
def test_one_healthy_upstream_is_enough_in_every_case():
    async def one(seed):
        dice = random.Random(seed)
        names = NAMES[: dice.randrange(1, len(NAMES) + 1)]
        streamed = dice.random() < 0.7
        troubles = ANY + STREAMED if streamed else ANY
        scripts = {name: [dice.choice(troubles) for _ in range(4)] for name in names}
        scripts[dice.choice(names)] = [stream("fi", "ne") if streamed else whole("fine")]
        book = table(*names, attempts=dice.randrange(1, 4), timeouts=Timeouts(first_token_s=40, whole_s=40))
        asked = call(seed, stream=streamed, preferred=dice.choice([*names, None]))
        upstreams = ScriptedUpstreams(**scripts)
        at, caller = desk(book, upstreams, seed), RecordingCaller()
        await answer(at, caller, asked)
        assert caller.text == "fine" if streamed else b'"fine"' in caller.body, seed
        assert not caller.errors, seed
        assert caller.finished, seed
        assert at.ledger.outcome.result == "ok", seed
        assert at.snapshot.health.outstanding == upstreams.open == 0, seed

    async def all_of_them():
        for seed in range(CASES):
            await one(seed)

    play(all_of_them())
