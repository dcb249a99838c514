"""Any call becomes a request that the vendor accepts, or a refusal by name; the vendor's types agree."""

import copy
import itertools
import json
from zlib import crc32

from anthropic.types.message_create_params import MessageCreateParamsBase
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat.completion_create_params import CompletionCreateParamsBase
from pydantic import TypeAdapter

from proxy.call import Kind, Signal, UpstreamRequest
from proxy.errors import CallerFault
from proxy.facts.models import facts_of
from proxy.wire.anthropic.dialect import Anthropic
from proxy.wire.body import check
from proxy.wire.dialect import NOTHING_RECALLED
from tests.wire.samples import make_call, make_target, make_upstream

ACCEPTED = TypeAdapter(MessageCreateParamsBase)
MEMBERS = MessageCreateParamsBase.__annotations__.keys() | {"stream", "temperature", "top_k", "top_p"}
OPTIONAL = CompletionCreateParamsBase.__annotations__.keys() - {"messages", "model"} | {"stream"}
MODELS = st.sampled_from(
    [
        "claude-3-haiku-20240307",
        "claude-opus-4-1",
        "claude-sonnet-4-5",
        "claude-opus-4-6",
        "claude-opus-4-8",
        "claude-fable-5",
        "claude-sonnet-5-5",
        "model-there",
    ]
)
WORDS = st.sampled_from(["", " ", "a", "Paris", "é\u2028", "x" * 70, '{"a": 1}', "{"])
IDS = st.sampled_from(["call_1", "call:2", "c" * 80, "é"])
TOOLS = st.sampled_from(["weather", "now"])


def schemas():
    leaf = st.sampled_from(
        [
            {"type": "string"},
            {"type": "integer", "minimum": 1},
            {"enum": ["a", 1, None]},
            {"type": ["string", "null"]},
        ]
    )
    return st.recursive(
        leaf,
        lambda inner: (
            st.builds(
                lambda properties, need: {
                    "type": "object",
                    "properties": properties,
                    "required": sorted(properties) if need else [],
                    "additionalProperties": False,
                },
                st.dictionaries(st.sampled_from("abc"), inner, min_size=1, max_size=3),
                st.booleans(),
            )
            | st.builds(lambda items: {"type": "array", "items": items, "maxItems": 3}, inner)
        ),
        max_leaves=6,
    )


OBJECTS = st.builds(
    lambda properties: {
        "type": "object",
        "properties": properties,
        "required": sorted(properties),
        "additionalProperties": False,
    },
    st.dictionaries(st.sampled_from("abc"), schemas(), min_size=1, max_size=3),
)
TEXT_PARTS = st.builds(lambda text: {"type": "text", "text": text}, WORDS)
MARKED = st.builds(lambda part: {**part, "cache_control": {"type": "ephemeral"}}, TEXT_PARTS)
PICTURES = st.sampled_from(
    [
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
    ]
)
CONTENT = WORDS | st.lists(TEXT_PARTS | MARKED, min_size=1, max_size=3)
USER = st.builds(
    lambda content: {"role": "user", "content": content},
    CONTENT | st.lists(TEXT_PARTS | MARKED | PICTURES, min_size=1, max_size=3),
)
SYSTEM = st.builds(
    lambda role, content: {"role": role, "content": content},
    st.sampled_from(["system", "developer"]),
    CONTENT,
)
ASSISTANT = st.builds(lambda content: {"role": "assistant", "content": content}, CONTENT)
THOUGHTS = st.sampled_from(
    [
        {"type": "thinking", "thinking": "Hm.", "signature": "sig"},
        {"type": "thinking", "thinking": "", "signature": "sig"},
        {"type": "redacted_thinking", "data": "zzz"},
        {"type": "thinking", "thinking": "Hm."},
        {"type": "thinking", "thinking": None, "signature": "sig"},
    ]
)
STEP = st.builds(
    lambda ids, names, content, order, thoughts: [
        {
            "role": "assistant",
            "content": content,
            "thinking_blocks": thoughts,
            "tool_calls": [
                {"id": one, "type": "function", "function": {"name": name, "arguments": "{}"}}
                for one, name in zip(ids, names, strict=True)
            ],
        },
        *({"role": "tool", "tool_call_id": one, "content": content} for one in order(ids)),
    ],
    st.lists(IDS, min_size=2, max_size=2, unique=True),
    st.lists(TOOLS, min_size=2, max_size=2),
    st.none() | CONTENT,
    st.sampled_from([list, lambda ids: list(reversed(ids))]),
    st.none() | st.lists(THOUGHTS, max_size=2),
)
MESSAGES = st.builds(
    lambda head, steps: (
        head + [message for step in steps for message in (step if isinstance(step, list) else [step])]
    ),
    st.lists(SYSTEM | USER, min_size=1, max_size=2),
    st.lists(USER | ASSISTANT | SYSTEM | STEP, max_size=5),
)
FUNCTIONS = st.builds(
    lambda name, schema, strict: {
        "type": "function",
        "function": {"name": name, "parameters": schema, "strict": strict},
    },
    TOOLS,
    OBJECTS | st.none(),
    st.booleans(),
)
CALLS = st.fixed_dictionaries(
    {"model": st.just("chat"), "messages": MESSAGES},
    optional={
        "tools": st.lists(FUNCTIONS, max_size=2, unique_by=lambda tool: tool["function"]["name"]),
        "tool_choice": st.sampled_from(
            ["auto", "none", "required", {"type": "function", "function": {"name": "weather"}}]
        ),
        "parallel_tool_calls": st.booleans(),
        "response_format": st.sampled_from([{"type": "text"}, {"type": "json_object"}])
        | st.builds(
            lambda schema: {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}, OBJECTS
        ),
        "reasoning_effort": st.sampled_from(["none", "minimal", "low", "medium", "high", "xhigh", "max"]),
        "temperature": st.floats(0, 2),
        "top_p": st.floats(0, 1),
        "max_completion_tokens": st.integers(1, 100_000),
        "stop": st.sampled_from(["x", ["x", "\n"], ["\n"]]),
        "user": WORDS,
        "service_tier": st.sampled_from(["auto", "default", "flex", "scale", "priority", "fast"]),
        "prompt_cache_options": st.sampled_from([{"mode": "implicit"}, {"mode": "explicit"}]),
        "seed": st.integers(),
        "store": st.booleans(),
        "frequency_penalty": st.floats(-2, 2),
        "stream": st.booleans(),
    },
)


STATES = st.builds(
    lambda ids, text, parts: {
        "text": crc32(text.encode()),
        "turn": [*parts[: len(parts) // 2], len(text), *parts[len(parts) // 2 :], *ids],
    },
    st.lists(IDS, min_size=1, max_size=2, unique=True),
    WORDS,
    st.lists(
        st.sampled_from(
            [
                {"type": "thinking", "thinking": "", "signature": "kept"},
                {"type": "redacted_thinking", "data": "kept"},
            ]
        ),
        min_size=1,
        max_size=3,
    ),
)
RECALLED = st.dictionaries(IDS, STATES.map(lambda state: json.dumps(state).encode()), max_size=4)


@settings(max_examples=2000, deadline=None, derandomize=True)
@given(CALLS, MODELS, RECALLED)
def test_any_sensible_call_becomes_a_request_that_the_vendor_accepts(body, model, recalled):
    request = asked(body, model, recalled, drops=False)
    if isinstance(request, Signal):
        assert request.kind is Kind.UNABLE
        assert request.told.param
    else:
        assert_accepted(request, body, model)


LOOSE_CALLS = st.builds(
    lambda body, begins, ends, more: {**body, **more, "messages": [*begins, *body["messages"], *ends]},
    CALLS,
    st.lists(ASSISTANT, max_size=1),
    st.lists(
        ASSISTANT
        | st.sampled_from(["{}", "{", "[1]"]).map(
            lambda arguments: {
                "role": "assistant",
                "tool_calls": [
                    {"id": "call_9", "type": "function", "function": {"name": "now", "arguments": arguments}}
                ],
            }
        ),
        max_size=2,
        unique_by=lambda message: "tool_calls" in message,
    ),
    st.fixed_dictionaries(
        {},
        optional={
            "n": st.integers(1, 3),
            "logprobs": st.booleans(),
            "logit_bias": st.just({"1": 2}),
            "modalities": st.just(["text", "audio"]),
            "web_search_options": st.just({}),
            "tools": st.lists(FUNCTIONS | st.just({"type": "custom", "custom": {"name": "sh"}}), max_size=2),
            "tool_choice": st.sampled_from(
                ["required", "auto", {"type": "custom", "custom": {"name": "sh"}}]
            ),
            "response_format": st.sampled_from(
                [
                    {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
                    for schema in (
                        {},
                        {"type": "object"},
                        {"anyOf": [{"type": "object"}]},
                        {"type": "array", "items": {"$ref": "#"}},
                    )
                ]
            ),
        },
    ),
)


@settings(max_examples=2000, deadline=None, derandomize=True)
@given(LOOSE_CALLS, MODELS, RECALLED)
def test_with_leeway_no_parameter_is_a_reason_to_refuse(body, model, recalled):
    """Only what is empty, and a choice of a tool that is not there, are mistakes whoever answers."""
    request = asked(body, model, recalled, drops=True)
    if isinstance(request, Signal):
        assert request.told.code == "invalid_value"
        names = [tool["function"]["name"] for tool in body.get("tools", ()) if tool["type"] == "function"]
        param = request.told.param
        assert param.startswith("messages") or (param == "tool_choice" and "weather" not in names)
    else:
        assert_accepted(request, body, model)


def asked(body, model, recalled, *, drops):
    before = copy.deepcopy(body)
    call = make_call(body, drop_params=drops)
    request = Anthropic().request(call, make_target("anthropic", model), make_upstream(), recalled)
    assert body == before
    return request


def assert_accepted(request, body, model):
    """The vendor's types and rules, and what was held is not exceeded."""
    out = json.loads(request.body)
    assert out.keys() <= MEMBERS
    ACCEPTED.validate_python(
        {name: value for name, value in out.items() if name in MessageCreateParamsBase.__annotations__}
    )
    assert_lawful(out)
    assert_thoughtful(out, model)
    most = facts_of("anthropic", model).output
    assert out["max_tokens"] <= min(body.get("max_completion_tokens", 32_000), most or 100_000)


def assert_thoughtful(out, model):
    """Thoughts stand only where a model is to think, and manual thinking goes on only from a thought."""
    turns = [message["content"] for message in out["messages"] if message["role"] == "assistant"]
    kinds = [[block["type"] for block in turn] for turn in turns]
    thoughts = {"thinking", "redacted_thinking"}
    thinking = out.get("thinking", {}).get("type")
    if thinking == "disabled" or not facts_of("anthropic", model).thinking:
        assert not any(thoughts & set(turn) for turn in kinds)
    last = out["messages"][-1]
    if thinking == "enabled" and last["content"][0]["type"] == "tool_result":
        assert kinds[-1][0] in thoughts


def assert_lawful(out):
    """The rules of the wire that its types do not say."""
    roles = [message["role"] for message in out["messages"]]
    assert roles[0] == "user"
    assert all(one != other for one, other in itertools.pairwise(roles))
    used = []
    for message, following in zip(out["messages"], [*out["messages"][1:], {"content": []}], strict=True):
        assert message["content"]
        assert all(block["text"].strip() for block in message["content"] if block["type"] == "text")
        calls = [block["id"] for block in message["content"] if block["type"] == "tool_use"]
        results = [block for block in following["content"] if block["type"] == "tool_result"]
        assert calls == [block["tool_use_id"] for block in results]
        assert following["content"][: len(results)] == results
        used += calls
    assert len(used) == len(set(used))
    assert not used or out["tools"]
    budget = out.get("thinking", {}).get("budget_tokens")
    assert budget is None or 1024 <= budget < out["max_tokens"]
    if "thinking" in out and out["thinking"]["type"] != "disabled":
        assert not out.keys() & {"temperature", "top_p", "top_k"}
    assert json.dumps(out).count('"cache_control"') <= 4


NAMES = """
type text image_url url file file_data function name arguments id parameters json_schema schema mode
cache_control ttl properties anyOf items $ref $defs required enum budget_tokens
"""
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.floats() | st.text(max_size=3) | WORDS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(NAMES.split()),
            inner
            | st.sampled_from(
                ["text", "function", "json_schema", "image_url", "file", "ephemeral", "object", "enabled"]
            ),
            max_size=4,
        )
    ),
    max_leaves=12,
)
MESSAGE_JUNK = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool", "function", "x"])},
    optional={
        "content": JUNK,
        "tool_calls": JUNK,
        "tool_call_id": JUNK,
        "function_call": JUNK,
        "refusal": JUNK,
        "thinking_blocks": JUNK,
        "audio": st.none() | JUNK,
    },
)


@settings(max_examples=600, deadline=None, derandomize=True)
@given(
    st.lists(MESSAGE_JUNK, min_size=1, max_size=3),
    st.dictionaries(st.sampled_from(sorted(OPTIONAL)), JUNK, max_size=6),
    MODELS,
)
def test_nothing_that_passes_the_door_raises_anything(messages, members, model):
    body = {**members, "model": "chat", "messages": messages}
    try:
        check(body)
    except CallerFault:
        return
    for drops in (False, True):
        made = Anthropic().request(
            make_call(body, stream=False, include_usage=False, drop_params=drops),
            make_target("anthropic", model),
            make_upstream(),
            NOTHING_RECALLED,
        )
        assert isinstance(made, UpstreamRequest | Signal)
