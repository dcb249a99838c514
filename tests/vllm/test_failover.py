"""A dead commercial upstream, and Mixtral in its place: what the caller sees and what the ledger says."""

import openai
import pytest

from tests.kit.processes import calls
from tests.vllm.engine.server import KEY

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]

ASK = [{"role": "user", "content": "Count, please."}]
COUNTED = "".join(f" {number}" for number in range(1, 11))
FAULTS = {
    "failing": ("commercial: [{do: {status: 503}}]", "overload"),
    "out of money": ("commercial: [{do: {error: money}}]", "money"),
    "credential refused": ("commercial: [{do: {status: 401}}]", "auth"),
    "garbage for an answer": ("commercial: [{do: {garbage: truncated}}]", "bad_answer"),
    "gone": (None, "unreachable"),
}


@pytest.fixture
def sdk(own_proxy, mixtral):
    with openai.OpenAI(base_url=own_proxy.base_url, api_key=own_proxy.key, max_retries=0) as client:
        yield client


@pytest.mark.parametrize(("script", "told"), FAULTS.values(), ids=FAULTS.keys())
def test_mixtral_answers_for_a_dead_commercial_upstream(sdk, own_proxy, script, told):
    if script is None:
        own_proxy.kill("simulator")
    else:
        own_proxy.script(script)
    asked = {"model": "chat", "messages": ASK, "max_tokens": 10}
    raw = sdk.chat.completions.with_raw_response.create(**asked)
    assert raw.parse().choices[0].message.content == COUNTED
    assert raw.headers["x-fallthrough-upstream"] == "mixtral"
    assert raw.headers["x-fallthrough-attempts"] == "2"
    (row,) = calls(own_proxy)
    assert (row["result"], row["upstream"], row["output_tokens"]) == ("ok", "mixtral", 10)
    tried = [(attempt["upstream"], attempt["result"]) for attempt in row["attempts"]]
    assert tried == [("commercial", told), ("mixtral", "ok")]
    streamed = list(sdk.chat.completions.create(**asked, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in streamed) == COUNTED


def test_an_engine_that_refuses_the_key_is_not_told_as_the_callers_own_fault(sdk, own_proxy, mistral):
    for stream in (False, True):
        with pytest.raises(openai.InternalServerError) as caught:
            sdk.chat.completions.create(model="locked", messages=ASK, stream=stream)
        assert caught.value.status_code == 502
        assert KEY not in caught.value.message
    (attempt,) = calls(own_proxy)[-1]["attempts"]
    assert (attempt["upstream"], attempt["result"], attempt["status"]) == ("locked", "auth", 401)


def test_the_commercial_upstream_answers_while_it_is_well(sdk, own_proxy):
    raw = sdk.chat.completions.with_raw_response.create(model="chat", messages=ASK)
    assert raw.headers["x-fallthrough-upstream"] == "commercial"
    (row,) = calls(own_proxy)
    assert [attempt["upstream"] for attempt in row["attempts"]] == ["commercial"]
