"""Whatever OpenAI would take, the strict servers take as we say it, or we refuse it by name."""

import json
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from msgspec.structs import replace

from proxy.call import Kind, Signal
from proxy.facts.capabilities import KNOWN
from proxy.simulator.manners import judge
from proxy.simulator.strict import judge_deepseek, judge_mistral, judge_ollama
from proxy.wire import DIALECTS
from proxy.wire.body import check
from tests.wire.samples import HELLO, TARGET, make_call, make_upstream
from tests.wire.shaped_calls import PERSON, calls

JUDGES = {
    "deepseek": judge_deepseek,
    "mistral": judge_mistral,
    "ollama": judge_ollama,
    "openai": partial(judge, "openai"),
    "vllm": partial(judge, "vllm"),
}
OLLAMA_READS = {
    *("model", "messages", "stream", "stream_options", "max_tokens", "seed", "stop", "temperature", "top_p"),
    *("frequency_penalty", "presence_penalty", "response_format", "tools", "reasoning", "reasoning_effort"),
}
UNDROPPED = ("messages[", "moderation")


def ask(name, body, **more):
    upstream = replace(make_upstream(), capabilities=KNOWN[name])
    dialect = DIALECTS["vllm" if name == "vllm" else "openai"]
    return dialect.request(make_call(body, **more), TARGET, upstream, {})


@pytest.mark.parametrize("lenient", [False, True], ids=["strict", "drop_params"])
@pytest.mark.parametrize("name", JUDGES)
@settings(
    max_examples=400,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(asked=calls())
def test_a_call_becomes_a_request_that_the_server_takes_or_is_refused_by_name(name, lenient, asked):
    body, words = asked
    if name == "openai" and not body["stream"]:
        body.pop("stream_options", None)  # it refuses that from everybody
    check(body)
    request = ask(name, body, drop_params=lenient)
    if isinstance(request, Signal):
        assert request.kind is Kind.UNABLE
        assert request.told.status == 400
        assert request.told.param.partition("[")[0].partition(".")[0] in body
        assert not lenient or request.told.param.startswith(UNDROPPED)
        return
    said = json.loads(request.body)
    refusal = JUDGES[name](said)
    assert refusal is None, refusal
    text = json.dumps(said["messages"])
    assert all(word in text for word in words)
    assert "chat_template" not in said
    if name in ("deepseek", "mistral", "ollama"):
        assert PERSON not in request.body.decode()
    if name == "ollama":
        assert set(said) <= OLLAMA_READS
    for missed in ("reasoning_content", "reasoning"):
        assert f'"{missed}":' not in text or KNOWN[name].reasoning == missed


@settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(asked=calls())
@pytest.mark.parametrize("name", JUDGES)
def test_a_translation_is_the_same_every_time_and_leaves_the_call_alone(name, asked):
    body, _ = asked
    before = json.dumps(body)
    assert ask(name, body) == ask(name, body)
    assert json.dumps(body) == before


def test_a_person_is_known_again_at_one_tenant_and_to_nobody_else():
    def user_id(tenant, person, **named):
        call = make_call({"model": "chat", "messages": [{"role": "user", "content": "hi"}], **named})
        call = replace(call, identity=replace(call.identity, tenant=tenant, user=person))
        upstream = replace(make_upstream(), capabilities=KNOWN["deepseek"])
        return json.loads(DIALECTS["openai"].request(call, TARGET, upstream, {}).body).get("user_id")

    known = user_id("acme", "u1", user=PERSON)
    assert known == user_id("acme", "u1", safety_identifier=PERSON, user="other")
    assert known != user_id("globex", "u1", user=PERSON)
    assert known != user_id("acme", "u2", user=PERSON), "who was erased comes again as another"
    assert "u1" not in known
    assert user_id("acme", None) is None
    assert user_id("acme", "u1", user=PERSON, user_id="mine") == "mine"


CHOSEN_AMISS = {
    "unknown": [{"type": "function", "function": {"name": "b"}}],
    "one of two": [{"type": "function", "function": {"name": "a"}}, {"type": "function", "function": {}}],
    "another API's form": [{"type": "function", "name": "a"}],
    "none": [],
}


@pytest.mark.parametrize("lenient", [False, True], ids=["strict", "drop_params"])
@pytest.mark.parametrize("listed", CHOSEN_AMISS.values(), ids=CHOSEN_AMISS)
@pytest.mark.parametrize("name", ["anthropic", "gemini", "vllm", "deepseek", "mistral", "ollama"])
def test_tools_do_not_vanish_with_a_choice_among_others(name, listed, lenient):
    """The model would answer without any, as if nobody had offered them."""
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": listed}}
    body = {**HELLO, "tools": [{"type": "function", "function": {"name": "a"}}], "tool_choice": choice}
    if name in KNOWN:
        request = ask(name, body, drop_params=lenient)
    else:
        call = make_call(body, drop_params=lenient)
        request = DIALECTS[name].request(call, TARGET, make_upstream(name), {})
    assert isinstance(request, Signal)
    assert (request.told.param, request.told.code) == ("tool_choice", "invalid_value")
