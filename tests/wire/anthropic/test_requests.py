"""Every parameter has a fate, and what has none is told by its name or its place."""

import json

import pytest
from msgspec.structs import replace
from openai.types.chat.completion_create_params import CompletionCreateParamsBase

from proxy.call import Kind, Phase
from proxy.wire.anthropic.dialect import Anthropic
from proxy.wire.anthropic.messages import wire_id
from proxy.wire.anthropic.request import HINTS, KEPT, REFUSED, TRANSLATED
from proxy.wire.dialect import NOTHING_RECALLED
from tests.wire.samples import HELLO, make_call, make_target, make_upstream

NOTED = {"frequency_penalty", "presence_penalty"}


def openai_members():
    return CompletionCreateParamsBase.__annotations__.keys() | {"stream"}


def test_every_parameter_of_openai_has_one_fate():
    assert len(openai_members()) == 37
    assert openai_members() - (REFUSED | HINTS | TRANSLATED) == NOTED
    assert not REFUSED & HINTS
    assert not REFUSED & TRANSLATED
    assert not HINTS & TRANSLATED
    assert TRANSLATED - openai_members() == {"thinking", "top_k"}


def asking_for(name, **call):
    """A call that asks for what is refused."""
    value = {"n": 2, "logprobs": True, "top_logprobs": 3, "modalities": ["audio"]}.get(name, {"1": 1})
    return make_call({**HELLO, name: value}, **call)


@pytest.mark.parametrize("name", sorted(REFUSED - KEPT))
def test_what_is_refused_is_left_out_and_noted_with_leeway(name):
    request = Anthropic().request(
        asking_for(name, drop_params=True), make_target("anthropic"), make_upstream(), NOTHING_RECALLED
    )
    assert request.degraded == (name,)
    assert name not in json.loads(request.body)


@pytest.mark.parametrize("drops", [False, True])
@pytest.mark.parametrize("name", ["messages", "model", "moderation"])
def test_no_leeway_leaves_out_what_a_call_cannot_be_without(name, drops):
    call = asking_for(name, drop_params=drops) if name == "moderation" else make_call(drop_params=drops)
    upstream = make_upstream(refuse=frozenset({name}))
    signal = Anthropic().request(call, make_target("anthropic"), upstream, NOTHING_RECALLED)
    assert (signal.kind, signal.told.param) == (Kind.UNABLE, name)


def test_what_the_table_refuses_is_left_out_with_leeway():
    call = make_call({**HELLO, "stop": "x"}, drop_params=True)
    upstream = make_upstream(refuse=frozenset({"stop"}))
    request = Anthropic().request(call, make_target("anthropic"), upstream, NOTHING_RECALLED)
    assert request.degraded == ("stop",)
    assert "stop_sequences" not in json.loads(request.body)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_is_refused_is_told_by_name(name):
    signal = Anthropic().request(
        asking_for(name), make_target("anthropic"), make_upstream(), NOTHING_RECALLED
    )
    assert (signal.kind, signal.phase) == (Kind.UNABLE, Phase.CONNECT)
    told = signal.told
    assert (told.status, told.type) == (400, "invalid_request_error")
    assert (told.code, told.param) == ("unsupported_parameter", name)


def test_the_key_and_the_version_go_in_headers_of_their_own():
    request = Anthropic().request(make_call(), make_target("anthropic"), make_upstream(), NOTHING_RECALLED)
    headers = dict(request.headers)
    assert headers["x-api-key"] == "sk-secret"
    assert headers["anthropic-version"] == "2023-06-01"
    assert "authorization" not in headers
    assert headers["accept"] == "application/json"


@pytest.mark.parametrize(
    ("base_url", "path"),
    [
        ("https://api.anthropic.com", "/v1/messages"),
        ("https://api.anthropic.com/v1", "/messages"),
        ("http://gateway/claude", "/v1/messages"),
    ],
)
def test_the_version_stands_once_in_the_address(base_url, path):
    upstream = replace(make_upstream(), base_url=base_url)
    assert Anthropic().request(make_call(), make_target("anthropic"), upstream, NOTHING_RECALLED).path == path


@pytest.mark.parametrize("name", ["call_1", "toolu_01-x", "call:1", "", "é" * 9, "x" * 65])
def test_an_id_is_legal_stable_and_another_for_another_turn(name):
    made = {wire_id(name, nth) for nth in range(4)}
    assert len(made) == 4
    assert wire_id(name) == wire_id(name)
    assert all(len(one) <= 64 and one.replace("-", "").replace("_", "").isalnum() for one in made)


@pytest.mark.parametrize("kind", [[], {}, 7, None, "later"])
@pytest.mark.parametrize("role", ["system", "user", "assistant"])
def test_a_part_of_no_kind_is_refused_by_its_place(role, kind):
    messages = [*HELLO["messages"], {"role": role, "content": [{"type": kind}]}]
    call = make_call({**HELLO, "messages": messages}, drop_params=True)
    signal = Anthropic().request(call, make_target("anthropic"), make_upstream(), NOTHING_RECALLED)
    assert signal.told.param == "messages[1].content[0]"


@pytest.mark.parametrize("table", ["strip", "refuse"])
def test_a_maximum_that_was_held_is_never_exceeded_whatever_the_table_lets_pass(table):
    call = make_call({**HELLO, "max_tokens": 100}, drop_params=True)
    upstream = make_upstream(**{table: frozenset({"max_tokens", "max_completion_tokens"})})
    request = Anthropic().request(call, make_target("anthropic"), upstream, NOTHING_RECALLED)
    assert json.loads(request.body)["max_tokens"] == 100
