"""Streams of a real vLLM that end before they are whole: the caller leaves, or the engine dies.

The deaths come last: no test after them needs the dead engine started again.
"""

import time

import openai
import pytest

from tests.kit.processes import calls

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]

ASK = [{"role": "user", "content": "Count, please."}]
READ_BEFORE = 10
"""Numbers that a test reads before it breaks something; the answer would be a thousand long."""


@pytest.fixture
def sdk(own_proxy):
    with openai.OpenAI(base_url=own_proxy.base_url, api_key=own_proxy.key, max_retries=0) as client:
        yield client


def settled(proxy, number):
    """The ledger's rows of the calls so far, as soon as they are there."""
    return eventually(lambda: calls(proxy), lambda rows: len(rows) == number)


def eventually(look, wanted):
    """What `look` sees once it is as wanted, or at last."""
    for _ in range(100):
        if wanted(seen := look()):
            break
        time.sleep(0.1)
    assert wanted(seen), seen
    return seen


def read(stream, said, numbers=1001):
    """Take numbers from a stream into `said` until it has so many."""
    while len(said) < numbers:
        delta = next(stream).choices[0].delta
        said += [delta.content] if delta.content else []


def check_observed(row):
    """Nobody reported what was used, so the proxy counted what passed through it."""
    assert row["source"] == "observed"
    assert row["input_tokens"] > 0
    assert 0 < row["output_tokens"] < 1000


@pytest.mark.parametrize("after", [0, READ_BEFORE], ids=["at once", "midway"])
def test_a_caller_who_leaves_a_stream_frees_the_engine(sdk, own_proxy, mistral, after):
    before = mistral.generated()
    stream = sdk.chat.completions.create(model="mistral", messages=ASK, stream=True)
    read(iter(stream), [], after)
    assert mistral.running() == 1
    stream.close()
    eventually(mistral.running, lambda running: running == 0)
    assert mistral.generated() - before < 1000  # it did not just come to its end
    (row,) = settled(own_proxy, 1)
    assert (row["result"], row["status"]) == ("caller_gone", 499)
    assert [attempt["result"] for attempt in row["attempts"]] == ["caller_gone"]
    check_observed(row)
    assert row["output_tokens"] >= after


def test_a_caller_who_leaves_before_the_whole_answer_frees_the_engine(sdk, own_proxy, mistral):
    before = mistral.generated()
    with pytest.raises(openai.APITimeoutError):
        # It says that it would wait longer than it does: otherwise the proxy would end the call in time.
        sdk.with_options(timeout=1).chat.completions.create(
            model="mistral", messages=ASK, extra_headers={"x-stainless-read-timeout": "600"}
        )
    eventually(mistral.running, lambda running: running == 0)
    assert mistral.generated() - before < 1000
    (row,) = settled(own_proxy, 1)
    assert (row["result"], row["status"]) == ("caller_gone", 499)


@pytest.mark.parametrize(
    ("model", "death"), [("mixtral", "kill_core"), ("mistral", "kill")], ids=["its core", "all of it"]
)
def test_an_engine_that_dies_breaks_its_streams_for_all_to_see(sdk, own_proxy, request, model, death):
    engine = request.getfixturevalue(model)
    stream = iter(sdk.chat.completions.create(model=model, messages=ASK, stream=True))
    as_sent = sdk.chat.completions.with_streaming_response.create(model=model, messages=ASK, stream=True)
    with as_sent as raw:
        lines = raw.iter_lines()
        seen = [next(lines) for _ in range(2 * READ_BEFORE)]  # a line of data, an empty line
        said = []
        read(stream, said, READ_BEFORE)
        getattr(engine, death)()
        with pytest.raises(openai.APIError) as caught:
            read(stream, said)
        seen += lines
    assert caught.value.code == "upstream_broken"
    assert said == [f" {number}" for number in range(1, len(said) + 1)]
    assert any('"upstream_broken"' in line for line in seen)
    assert not any("[DONE]" in line for line in seen)
    rows = settled(own_proxy, 2)
    assert len(said) in {row["output_tokens"] for row in rows}  # what was paid is what was seen
    for row in rows:
        assert (row["result"], row["status"], row["upstream"]) == ("broken", 200, model)
        assert [attempt["result"] for attempt in row["attempts"]] == ["broken"]
        check_observed(row)
