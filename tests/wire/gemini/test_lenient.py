"""A route that may leave things out: what is lost is exactly what a strict one refuses, and never content."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy.call import Signal, UpstreamRequest
from proxy.facts.models import facts_of
from proxy.wire.body import check
from proxy.wire.dialect import NOTHING_RECALLED
from proxy.wire.gemini import Gemini
from tests.wire.gemini.asked import MODELS, bodies, hard_bodies
from tests.wire.gemini.vendor import Request, check_turns
from tests.wire.samples import HELLO, make_call, make_target, make_upstream

GEMINI = Gemini()
FACTS = st.fixed_dictionaries(
    {},
    optional={
        name: st.booleans()
        for name in ("choices", "forced_tools", "logprobs", "schemas", "schemas_with_tools", "tools")
    }
    | {"output": st.integers(1, 9999)},
)


def ask(body, model="gemini-3-flash-preview", *, lenient, **facts):
    target = make_target("gemini", model)
    target = replace(target, facts=replace(target.facts, **facts))
    call = make_call(body, drop_params=lenient)
    return GEMINI.request(call, target, make_upstream("gemini"), NOTHING_RECALLED)


def texts(value):
    """Every text that a message, or a turn, holds."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "\0".join(map(texts, value))
    return "\0".join(map(texts, value.values())) if isinstance(value, dict) else ""


@settings(max_examples=700, deadline=None, derandomize=True)
@given(hard_bodies(), st.sampled_from(MODELS), FACTS)
def test_whatever_a_strict_route_refuses_a_lenient_one_sends_and_names(body, model, facts):
    check(body)
    strict, lenient = ask(body, model, lenient=False, **facts), ask(body, model, lenient=True, **facts)
    assert isinstance(lenient, UpstreamRequest), lenient
    sent = json.loads(lenient.body)
    Request.model_validate(sent)
    check_turns(sent["contents"], signed=facts_of("gemini", model).signed_calls)
    assert len(set(lenient.degraded)) == len(lenient.degraded)
    if isinstance(strict, Signal):
        assert re.sub(r"\[\d+\]", "", strict.told.param) in lenient.degraded
    else:
        assert (strict.body, strict.degraded) == (lenient.body, lenient.degraded)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(hard_bodies(), st.sampled_from(MODELS))
def test_no_word_of_the_conversation_is_lost(body, model):
    sent = json.loads(ask(body, model, lenient=True).body)
    kept = texts([sent.get("systemInstruction"), sent["contents"]])
    for message in body["messages"]:
        content = message.get("content") or ""
        for part in [content] if isinstance(content, str) else content:
            said = part if isinstance(part, str) else part.get("text", "")
            if message["role"] != "tool":  # a result that is an object goes as one
                assert said in kept
        for call in message.get("tool_calls", []):
            custom = call.get("custom", {}).get("input", "")
            assert custom in kept


@settings(max_examples=200, deadline=None, derandomize=True)
@given(bodies(), st.sampled_from(MODELS))
def test_what_gemini_can_say_is_said_alike_by_both(body, model):
    strict, lenient = ask(body, model, lenient=False), ask(body, model, lenient=True)
    assert (strict.body, strict.degraded) == (lenient.body, lenient.degraded)


@pytest.mark.parametrize(
    "wrong",
    [
        {"moderation": {"model": "x"}},
        {"messages": [{"role": "user", "content": ""}]},
        {"messages": [{"role": "clown", "content": "x"}]},
        {"messages": [{"role": "tool", "tool_call_id": "x", "content": "y"}]},
        {
            "messages": [
                {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x"}}]}
            ]
        },
        {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]},
        {"messages": [*HELLO["messages"], {"role": "assistant", "audio": {"id": "a"}}]},
        {"messages": [*HELLO["messages"], {"role": "assistant", "tool_calls": [{"id": "x"}]}]},
        {
            "messages": [
                *HELLO["messages"],
                {"role": "assistant", "tool_calls": [{"function": {"name": "x"}}]},
            ]
        },
        {"stop": [1]},
        {"seed": 1.5},
        {"reasoning_effort": 7},
        {"response_format": {"type": "json_schema"}},
        {"tool_choice": "required"},
        {"tools": [{"type": "function"}]},
    ],
)
def test_content_safety_and_plain_mistakes_are_refused_by_every_route(wrong):
    body = {**HELLO, **wrong}
    assert isinstance(ask(body, lenient=True), Signal)
    assert ask(body, lenient=True) == ask(body, lenient=False)
