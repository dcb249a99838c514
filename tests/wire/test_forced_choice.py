"""A model that cannot be made to call a tool: each wire has its own next best, or refuses by name."""

import json

import pytest

from proxy.abilities import ModelFacts
from proxy.call import Kind, Signal
from proxy.policy.degrade import degrade
from proxy.policy.fit import lacks, needs_of
from proxy.policy.prompt import Prompt
from proxy.table import Target
from proxy.wire import DIALECTS
from tests.kit.asking import WEATHER
from tests.wire.samples import HELLO, make_call, make_upstream

TARGET = Target("there", "model-there", facts=ModelFacts(forced_tools=False))
NAME = WEATHER["function"]["name"]
NAMED = {"type": "function", "function": {"name": NAME}}
FUNCTIONS = [WEATHER["function"]]


def allowed(mode):
    return {
        "type": "allowed_tools",
        "allowed_tools": {"mode": mode, "tools": [NAMED]},
    }


def ask(dialect, members, **more):
    """As the story asks: what the policy drops first, then what the wire makes of the rest."""
    call = make_call({**HELLO, "tools": [WEATHER], **members}, **more)
    if call.drop_params:
        call = degrade(call, lacks(needs_of(call, Prompt.of(call.body)), TARGET.facts)).call
    return DIALECTS[dialect].request(call, TARGET, make_upstream(dialect), {})


def said(request):
    return json.loads(request.body)


@pytest.mark.parametrize(
    ("members", "freed"),
    [
        ({"tool_choice": "required"}, {"tool_choice": "auto"}),
        ({"tool_choice": NAMED}, {"tool_choice": "auto"}),
        ({"tool_choice": allowed("required")}, {"tool_choice": allowed("auto")}),
        ({"functions": FUNCTIONS, "function_call": {"name": NAME}}, {"function_call": "auto"}),
    ],
    ids=["required", "named", "narrowed", "old"],
)
def test_openai_is_given_a_free_choice(members, freed):
    request = ask("openai", members, drop_params=True)
    assert {name: said(request)[name] for name in freed} == freed
    assert request.degraded == tuple(freed)


@pytest.mark.parametrize("choice", ["auto", "none", allowed("auto")], ids=["auto", "none", "narrowed"])
def test_a_choice_without_force_is_left_alone(choice):
    request = ask("openai", {"tool_choice": choice})
    assert (said(request)["tool_choice"], request.degraded) == (choice, ())


@pytest.mark.parametrize(
    ("choice", "plea"),
    [("required", "Call one of the tools now."), (NAMED, f"Call the tool `{NAME}` now.")],
    ids=["required", "named"],
)
def test_claude_is_asked_in_words(choice, plea):
    request = ask("anthropic", {"tool_choice": choice}, drop_params=True)
    assert said(request)["tool_choice"] == {"type": "auto"}
    assert said(request)["system"][-1]["text"] == plea
    assert request.degraded == ("tool_choice",)


def test_gemini_is_still_held_to_the_tool_if_it_calls_one():
    request = ask("gemini", {"tool_choice": NAMED}, drop_params=True)
    config = said(request)["toolConfig"]["functionCallingConfig"]
    assert config == {"mode": "VALIDATED", "allowedFunctionNames": [NAME]}
    assert request.degraded == ("tool_choice",)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_nobody_is_freed_unasked(dialect):
    refused = ask(dialect, {"tool_choice": "required"})
    assert isinstance(refused, Signal)
    assert (refused.kind, refused.told.param) == (Kind.UNABLE, "tool_choice")
