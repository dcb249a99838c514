"""Any call at any model that the packaged tables know: judged, made smaller, translated as in the story.

The rooms that a call goes through on its way are strangers to one another; here they must agree. What is
sent is in the vendor's own types, and takes no more than its strictest double does; what a strict route
refuses by a parameter, a lenient one sends, and says which; and nobody changes the caller's body.
"""

import json
from dataclasses import dataclass
from functools import partial
from importlib.resources import files

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy.call import Call, Kind, UpstreamRequest
from proxy.facts.addresses import BASE_URLS
from proxy.facts.capabilities import KNOWN
from proxy.facts.models import facts_of
from proxy.policy.degrade import degrade
from proxy.policy.fit import needs_of
from proxy.policy.prompt import Prompt
from proxy.policy.selection import Lineup, order
from proxy.simulator.generate import judge as judge_gemini
from proxy.simulator.manners import judge
from proxy.simulator.messages import judge as judge_claude
from proxy.simulator.strict import judge_deepseek, judge_mistral, judge_ollama
from proxy.table import Route, Target
from proxy.wire import DIALECTS
from proxy.wire.body import check
from tests.kit.scripted_ports import table
from tests.wire.anthropic.test_any_call import ACCEPTED, MessageCreateParamsBase, assert_lawful
from tests.wire.gemini.vendor import Request, check_turns
from tests.wire.samples import make_call, make_upstream
from tests.wire.shaped_calls import calls

VENDORS = orjson.loads((files("proxy.facts") / "models.json").read_bytes())["vendors"]
ADDRESSES = {
    **BASE_URLS,
    "deepseek": "https://api.deepseek.com",
    "mistral": "https://api.mistral.ai/v1",
    "ollama": "http://127.0.0.1:11434/v1",
    "vllm": "http://127.0.0.1:8000/v1",
}
TABLES = {"gemini": "google"}
OURS = {"ollama": ["qwen3"], "vllm": ["mixtral"]}
"""Models of servers that are nobody's."""
JUDGES = {
    "deepseek": judge_deepseek,
    "mistral": judge_mistral,
    "ollama": judge_ollama,
    "openai": partial(judge, "openai"),
    "vllm": partial(judge, "vllm"),
}
CONTENT = ("messages", "moderation")
"""What no route has left out."""


@dataclass(frozen=True)
class Outcome:
    """What becomes of a call at one target."""

    sent: UpstreamRequest | None
    refused: tuple[str, ...] = ()
    """The places for which it is not sent."""
    wrong: bool = False
    """It is a mistake, whoever answers."""
    told: tuple[str, ...] = ()
    """What the caller hears was lost."""


def models_of(name: str) -> list[str]:
    rows = VENDORS.get(TABLES.get(name, name), ())
    names = OURS.get(name) or [written.removesuffix("*") for row in rows for written in row["names"]]
    return [one for one in names if ":" not in one]  # a spelling of resellers, which is no name there


def at(name: str, model: str, call: Call) -> Outcome:
    """One target's part of the story, without anything sent."""
    dialect = name if name in DIALECTS else "openai"
    upstream = replace(make_upstream(dialect), base_url=ADDRESSES[name])
    upstream = replace(upstream, capabilities=KNOWN.get(name, upstream.capabilities))
    target = Target(upstream.name, model, facts=facts_of(dialect, model, upstream.base_url))
    route = Route("chat", (target,), drop_params=call.drop_params)
    book = replace(table("a"), upstreams={upstream.name: upstream}, routes=(route,))
    selected = order(Lineup.of(book, route), None, needs_of(call, Prompt.of(call.body)))
    if selected.passed_over:
        return Outcome(None, tuple(lack.param for lack in selected.passed_over[0].lacks))
    (candidate,) = selected.candidates
    smaller = degrade(call, candidate.lacks)
    request = DIALECTS[dialect].request(smaller.call, target, upstream, {})
    if isinstance(request, UpstreamRequest):
        return Outcome(request, told=(*smaller.dropped, *request.degraded))
    assert request.kind is Kind.UNABLE
    assert request.told.status == 400
    return Outcome(None, (request.told.param,), wrong=request.told.code in ("invalid_value", "invalid_type"))


def judged(name: str, model: str, sent: UpstreamRequest) -> None:
    """The vendor's types, and what is known of its rules."""
    said = json.loads(sent.body)
    facts = facts_of(name, model, ADDRESSES[name])
    if name == "anthropic":
        members = MessageCreateParamsBase.__annotations__
        ACCEPTED.validate_python({member: value for member, value in said.items() if member in members})
        assert_lawful(said)
        refusal = judge_claude(said)
    elif name == "gemini":
        Request.model_validate(said)
        check_turns(said["contents"], signed=facts.signed_calls)
        refusal = judge_gemini(said, facts)
    else:
        refusal = JUDGES[name](said)
    assert refusal is None, refusal


def member(place: str) -> str:
    return place.partition("[")[0].partition(".")[0]


@pytest.mark.parametrize("name", sorted(ADDRESSES))
@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(asked=calls(), data=st.data())
def test_what_one_room_lets_pass_the_next_can_say(name, asked, data):
    body, _ = asked
    if not body["stream"]:
        body.pop("stream_options", None)  # OpenAI refuses that from everybody
    model = data.draw(st.sampled_from(models_of(name)))
    check(body)
    before = json.dumps(body)
    strict, lenient = (at(name, model, make_call(body, drop_params=drops)) for drops in (False, True))
    assert json.dumps(body) == before
    for outcome in (strict, lenient):
        if outcome.sent is not None:
            judged(name, model, outcome.sent)
    if strict.sent is not None:
        assert lenient == strict
    elif lenient.sent is None:
        assert lenient.wrong or any(member(place) in CONTENT for place in lenient.refused)
    else:
        told = {member(place) for place in lenient.told}
        assert {member(place) for place in strict.refused} <= told
