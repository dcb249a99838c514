"""What holds nothing out of the ordinary goes a short way, and comes out as it would by the long one."""

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy.abilities import Capabilities, ModelFacts
from proxy.facts.capabilities import KNOWN
from proxy.wire import DIALECTS, openai_reply, openai_request
from proxy.wire.openai_fit import manners_of
from tests.wire.samples import HELLO, TARGET, make_call, make_upstream
from tests.wire.shaped_calls import calls

OWN = {
    "renamed": Capabilities(rename=(("max_tokens", "max_completion_tokens"), ("seed", "random_seed"))),
    "renamed to what is stripped": Capabilities(
        rename=(("seed", "random_seed"),), strip=frozenset({"random_seed"})
    ),
    "renamed to what is not on the list": Capabilities(
        rename=(("seed", "random_seed"),), accept=frozenset({"seed", "max_tokens"}), nulls=False
    ),
    "warm": Capabilities(temperature_max=1.0, lone_zero=True),
    "by pseudonym": Capabilities(person="user_id", accept=frozenset({"temperature"})),
    "functions only": Capabilities(tools="functions", forced_tools=False),
}
FACTS = st.sampled_from(
    [ModelFacts(), ModelFacts(output=50), ModelFacts(sampling=False), ModelFacts(forced_tools=False)]
)


def minds_all(able, facts):
    manners = manners_of(able, facts)
    return replace(manners, minds=manners.minds | {"model"})


@pytest.mark.parametrize("name", [*KNOWN, *OWN])
@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(asked=calls(), facts=FACTS, lenient=st.booleans(), cap=st.sampled_from([None, 30, 9000]))
def test_a_request_is_the_same_by_either_way(name, asked, facts, lenient, cap):
    able = OWN.get(name) or KNOWN[name]
    upstream = replace(make_upstream("vllm" if name == "vllm" else "openai"), capabilities=able)
    call = make_call(asked[0], drop_params=lenient, output_cap=cap)
    target = replace(TARGET, facts=facts)
    short = DIALECTS[upstream.dialect].request(call, target, upstream, {})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openai_request, "manners_of", minds_all)
        assert DIALECTS[upstream.dialect].request(call, target, upstream, {}) == short


@pytest.mark.parametrize("field", ["reasoning_content", "none"])
@pytest.mark.parametrize(
    "choice",
    [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hi"}},
        {"index": 0, "finish_reason": "length", "message": {"role": "assistant", "content": "", "x": 1}},
        {"finish_reason": "stop", "message": {"role": "assistant", "content": "Hi"}},
        {"index": 0, "finish_reason": None, "message": {"role": "assistant", "content": "Hi"}},
        {"index": 0, "finish_reason": ["stop"], "message": {"role": "assistant", "content": "Hi"}},
        {"index": 0, "finish_reason": "stop", "message": {"role": "model", "content": "Hi"}},
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": None}},
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": [{"text": "Hi"}]}},
        {
            "index": 0,
            "finish_reason": "stop",
            "service": 1,
            "message": {"role": "assistant", "content": "Hi"},
        },
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": "Hi", "reasoning": "hm"},
        },
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": "Hi", "tool_calls": [{"id": "c", "function": {}}]},
        },
    ],
)
def test_a_reply_is_the_same_by_either_way(choice, field, monkeypatch):
    answer = orjson.dumps({"id": "c1", "choices": [choice]})
    upstream = make_upstream(own_members=frozenset({"service"}), reasoning="reasoning_content")
    call = make_call(HELLO, reasoning_field=field)
    short = DIALECTS["openai"].reply(call, upstream, 200, {}, answer)
    monkeypatch.setattr(openai_reply, "_is_text", lambda *_: False)
    assert DIALECTS["openai"].reply(call, upstream, 200, {}, answer) == short


def test_most_calls_go_the_short_way(monkeypatch):
    monkeypatch.setattr(openai_request, "_fit_members", None)
    body = {**HELLO, "max_tokens": 5, "temperature": 0.5, "top_p": 0.9, "stop": "x", "stream": True}
    for name in ("openai", "vllm"):
        upstream = replace(make_upstream(name), capabilities=KNOWN[name])
        assert DIALECTS[name].request(make_call(body), TARGET, upstream, {}).body
