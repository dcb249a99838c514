"""Calls made of as many members as a body may have: each is put into an upstream's words in linear work.

No clock is read. Where the work grew with the square of the members, one of these took minutes, in which a
proxy answers nobody, and ran into the time that any test has.
"""

import orjson
import pytest
from msgspec.structs import replace

from proxy.abilities import Capabilities
from proxy.call import UpstreamRequest
from proxy.facts.capabilities import KNOWN
from proxy.wire import DIALECTS
from proxy.wire.body import parse
from tests.wire.samples import make_call, make_target, make_upstream

ASK = [{"role": "user", "content": "Hello"}]
WORDS = [{"role": "user", "content": "a" * 400}]
EMPTY = Capabilities()
UNKNOWN = {f"x{number}": 1 for number in range(150_000)}


def function(number):
    return {"type": "function", "function": {"name": f"f{number}"}}


def tool_turn(name):
    call = {"id": name, "type": "function", "function": {"name": "f", "arguments": "{}"}}
    result = {"role": "tool", "tool_call_id": name, "content": "1"}
    return [{"role": "assistant", "tool_calls": [call]}, result]


def chain(links):
    """Definitions of which each leads to the next."""
    defs = {f"d{number}": {"$ref": f"#/$defs/d{number + 1}"} for number in range(links)}
    schema = {
        "type": "object",
        "properties": {"first": {"$ref": "#/$defs/d0"}},
        "required": ["first"],
        "additionalProperties": False,
        "$defs": {**defs, f"d{links}": {"type": "string"}},
    }
    return {"type": "json_schema", "json_schema": {"name": "chained", "strict": True, "schema": schema}}


VAST = {
    "tools for Claude": (
        *("anthropic", "claude-sonnet-4-5", EMPTY),
        {"messages": ASK, "tools": [function(number) for number in range(40_000)]},
    ),
    "one id for Claude": (
        *("anthropic", "claude-sonnet-4-5", EMPTY),
        {"messages": ASK + tool_turn("c") * 15_000},
    ),
    "definitions for Claude": (
        *("anthropic", "claude-sonnet-4-5", EMPTY),
        {"messages": ASK, "response_format": chain(40_000)},
    ),
    "unknown members for Claude": ("anthropic", "claude-sonnet-4-5", EMPTY, {"messages": ASK, **UNKNOWN}),
    "unknown members for Gemini": ("gemini", "gemini-2.5-pro", EMPTY, {"messages": ASK, **UNKNOWN}),
    "unknown members for vLLM": ("vllm", "m", EMPTY, {"messages": ASK, **UNKNOWN}),
    "turns of one user": ("openai", "m", KNOWN["mistral"], {"messages": WORDS * 60_000}),
}


@pytest.mark.parametrize("name", VAST)
def test_a_vast_call_is_translated_in_linear_work(name):
    dialect, model, able, members = VAST[name]
    body = parse(orjson.dumps({"model": "chat", **members}))
    upstream = replace(make_upstream(dialect), capabilities=able)
    asked = DIALECTS[dialect].request(make_call(body), make_target(dialect, model), upstream, {})
    assert isinstance(asked, UpstreamRequest)


def test_an_id_that_every_turn_uses_is_another_in_each():
    body = {"model": "chat", "messages": ASK + tool_turn("c") * 40 + tool_turn("d")}
    asked = DIALECTS["anthropic"].request(
        make_call(body), make_target("anthropic", "claude-sonnet-4-5"), make_upstream("anthropic"), {}
    )
    blocks = [block for message in orjson.loads(asked.body)["messages"] for block in message["content"]]
    called = [block["id"] for block in blocks if block["type"] == "tool_use"]
    assert len(set(called)) == 41
    assert called == [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
    assert (called[0], called[-1]) == ("c", "d")
