"""The way out of a rehearsal: every word of a script is the trouble it says, whatever the upstream speaks."""

import asyncio

import pytest

from proxy.call import Call, Identity, Kind, Phase, Signal, UpstreamLost, UpstreamRequest
from proxy.config import load_without_keys
from proxy.rehearsal.grammar import WORDS, ActPart, ScriptFile
from proxy.rehearsal.script import Script
from proxy.rehearsal.stage import Stage
from proxy.rehearsal.time import FreeLoop, Hour
from proxy.wire import DIALECTS

TABLE = """
upstreams:
  openai: {}
  anthropic: {dialect: anthropic}
  gemini: {dialect: gemini}
  deepseek: {base_url: https://api.deepseek.com}
  ollama: {base_url: "http://127.0.0.1:11434/v1"}
  plain: {base_url: "http://plain.example/v1"}
  vllm: {dialect: vllm, base_url: "${VLLM_URL}"}
routes:
  - model: chat
    targets:
      - openai/gpt-4o
      - anthropic/claude-sonnet-4-5
      - gemini/gemini-2.5-pro
      - deepseek/deepseek-chat
      - ollama/llama3.2
      - plain/any
      - vllm/mixtral
"""
UPSTREAMS = ("openai", "anthropic", "gemini", "deepseek", "ollama", "plain", "vllm")
ENGINES = ("plain", "vllm")
"""They say of a full queue that it is one, and no more than that."""
REFUSALS = {
    "overloaded": Kind.OVERLOADED,
    "failing": Kind.OVERLOADED,
    "rate_limited": Kind.RATE_LIMITED,
    "no_credit": Kind.NO_CREDIT,
    "bad_key": Kind.BAD_KEY,
    "no_model": Kind.NO_MODEL,
}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("table") / "table.yaml"
    path.write_text(TABLE)
    return load_without_keys(path, {}).table


def script(*acts):
    file = ScriptFile.model_validate({"acts": list(acts)})
    return Script(file.load, file.healthy, tuple(file.acts), file.expect, {"chat": 1})


def asked(table, name, *acts, stream=True, words=30, at=0.0, times=1):
    """What the last of so many calls to an upstream comes to: text, or a signal; and when."""

    async def story():
        stage = Stage(script(*acts), Hour())
        await asyncio.sleep(at)
        for _ in range(times):
            came = await one_call(stage, table, name, stream, words)
        return came, asyncio.get_running_loop().time()

    with asyncio.Runner(loop_factory=FreeLoop) as runner:
        return runner.run(story())


async def one_call(stage, table, name, stream, words):
    upstream = table.upstreams[name]
    (target,) = [one for one in table.routes[0].targets if one.upstream == name]
    body = {"model": "chat", "messages": [{"role": "user", "content": f"Please. Count to {words}."}]}
    body |= {"stream": True} if stream else {}
    call = Call("req_1", 0, Identity("acme", "key"), "chat", body, 99, stream, include_usage=False)
    dialect = DIALECTS[upstream.dialect]
    request = dialect.request(call, target, upstream, {})
    try:
        async with asyncio.timeout(120), stage.send(upstream, request) as reply:
            if not dialect.opens(reply.status, reply.headers) if stream else reply.status != 200:
                return dialect.error(reply.status, reply.headers, await reply.start(10_000))
            if not stream:
                return dialect.reply(call, upstream, reply.status, reply.headers, await reply.whole(10**6))
            reader = dialect.reader(call, upstream)
            out = b"".join([reader.feed(piece) async for piece in reply._pieces()]) + reader.finish()
            return reader.failure or out
    except UpstreamLost as lost:
        return lost.signal
    except TimeoutError:
        return "silence"


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("name", UPSTREAMS)
def test_a_healthy_upstream_counts_as_far_as_it_is_asked_to(table, name, stream):
    came, at = asked(table, name, stream=stream, words=30)
    body = came if stream else came.body
    assert body.count(b'"content":" 30"') == 1 if stream else b" 28 29 30" in body
    assert b" 31" not in body
    assert 0.4 < at < 3.0


@pytest.mark.parametrize("word", REFUSALS)
@pytest.mark.parametrize("name", UPSTREAMS)
def test_a_refusal_is_understood_in_every_vendors_own_words(table, name, word):
    came, _ = asked(table, name, {"does": word})
    assert isinstance(came, Signal)
    full = word == "overloaded" and name in ENGINES
    assert came.kind is (Kind.SATURATED if full else REFUSALS[word])


@pytest.mark.parametrize("name", UPSTREAMS)
@pytest.mark.parametrize(
    ("word", "kind", "phase"),
    [
        ("refuse_connection", Kind.UNREACHABLE, Phase.CONNECT),
        ("reset", Kind.RESET, Phase.SENT),
        ("cuts", Kind.RESET, Phase.HEADERS),
        ("garbage", Kind.BAD_ANSWER, Phase.HEADERS),
    ],
)
def test_a_connection_breaks_where_the_word_says(table, name, word, kind, phase):
    act = {"does": {"cut": 2}} if word == "cuts" else {"does": word}
    came, at = asked(table, name, act)
    assert (came.kind, came.phase) == (kind, phase)
    assert at >= 0.05


@pytest.mark.parametrize("word", ["silent", "stalls"])
def test_silence_lasts_longer_than_anybody_waits(table, word):
    assert asked(table, "vllm", {"does": word})[0] == "silence"


def test_a_path_that_nobody_knows_is_not_found(table):
    async def story():
        request = UpstreamRequest("/metrics", (), b"")
        async with Stage(script(), Hour()).send(table.upstreams["vllm"], request) as reply:
            return reply.status, await reply.start(100)

    with asyncio.Runner(loop_factory=FreeLoop) as runner:
        assert runner.run(story()) == (404, b'{"error":"Not Found"}')


def test_every_word_is_one_that_the_simulator_can_play():
    for word in WORDS:
        assert ActPart.model_validate({"does": word}).told == f"* {word}"


@pytest.mark.parametrize(
    ("act", "at", "hit"),
    [
        ({"at": "30s", "for": "1m"}, 29.9, False),
        ({"at": "30s", "for": "1m"}, 30.0, True),
        ({"at": "30s", "for": "1m"}, 89.9, True),
        ({"at": "30s", "for": "1m"}, 90.0, False),
        ({"at": "30s"}, 9999.0, True),
        ({"upstream": "vllm"}, 0.0, True),
        ({"upstream": "open*"}, 0.0, False),
        ({"upstream": "*", "but": "vllm"}, 0.0, False),
        ({"upstream": ["openai", "vl*"], "but": "openai"}, 0.0, True),
        ({"when": {"stream": False}}, 0.0, False),
        ({"at": "30s", "when": {"after": "10s"}}, 39.9, False),
        ({"at": "30s", "when": {"after": "10s"}}, 40.0, True),
    ],
)
def test_an_act_is_on_for_whom_and_when_it_says(table, act, at, hit):
    came, _ = asked(table, "vllm", act | {"does": "overloaded"}, at=at)
    assert isinstance(came, Signal) is hit


def test_the_first_of_two_acts_decides_and_each_counts_its_own_calls(table):
    acts = ({"does": "overloaded", "when": {"calls": "2-"}}, {"does": "rate_limited", "when": {"call": 1}})
    first, _ = asked(table, "vllm", *acts, times=1)
    second, _ = asked(table, "vllm", *acts, times=2)
    assert (first.kind, second.kind) == (Kind.RATE_LIMITED, Kind.SATURATED)
