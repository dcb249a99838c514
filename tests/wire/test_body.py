"""What is wrong with a request body is always the caller's 400, and said with its `param`."""

import contextlib
import json

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import CallerFault, Told
from proxy.wire.body import MAX_DEPTH, MAX_MEMBERS, decode, parse
from proxy.wire.failure import error_body, error_event

GOOD = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def within(value):
    """A good body with `value` somewhere inside, as raw JSON."""
    return b'{"model":"m","messages":[{"role":"user","content":"hi"}],"x":' + value + b"}"


HAZARDS = {
    "empty": (b"", "invalid_json"),
    "not JSON": (b"hello", "invalid_json"),
    "half an object": (b'{"model":', "invalid_json"),
    "two objects": (b"{}{}", "invalid_json"),
    "trailing comma": (b'{"a":1,}', "invalid_json"),
    "a list": (b"[]", "invalid_json"),
    "a string": (b'"x"', "invalid_json"),
    "null": (b"null", "invalid_json"),
    "byte order mark": (b"\xef\xbb\xbf{}", "invalid_json"),
    "UTF-16": (json.dumps(GOOD).encode("utf-16"), "invalid_json"),
    "UTF-32": (json.dumps(GOOD).encode("utf-32"), "invalid_json"),
    "latin-1": (within(b'"\xe9"'), "invalid_json"),
    "lone surrogate": (within(b'"\\ud800"'), "invalid_json"),
    "NaN": (within(b"NaN"), "invalid_json"),
    "Infinity": (within(b"-Infinity"), "invalid_json"),
    "1e999": (within(b"1e999"), "invalid_json"),
    "5000 digits": (within(b"9" * 5000), "invalid_json"),
    "2**64": (within(b"18446744073709551616"), "integer_too_big"),
    "-2**63-1": (within(b"-9223372036854775809"), "integer_too_big"),
    "30 digits": (within(b"1" * 30), "integer_too_big"),
    "too deep a list": (within(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH), "body_too_deep"),
    "too deep an object": (within(b'{"a":' * MAX_DEPTH + b"1" + b"}" * MAX_DEPTH), "body_too_deep"),
    "depth bomb": (b"[" * 100_000, "invalid_json"),
    "many lists": (within(b"[" + b"[]," * MAX_MEMBERS + b"[]]"), "body_too_complex"),
    "many numbers": (within(b"[" + b"0," * MAX_MEMBERS + b"0]"), "body_too_complex"),
}


@pytest.mark.parametrize("name", HAZARDS)
def test_a_hazardous_body_is_a_400_with_a_stable_code(name):
    data, code = HAZARDS[name]
    with pytest.raises(CallerFault) as caught:
        parse(data)
    assert caught.value.told.status == 400
    assert caught.value.told.code == code


@pytest.mark.parametrize(
    "value",
    [
        b"18446744073709551615",
        b"-9223372036854775808",
        b"1e300",
        b"1e19",
        b"-0.0",
        b'"\\u0000"',
        b'"18446744073709551616"',
    ],
)
def test_what_only_looks_hazardous_passes(value):
    assert decode(within(value))["x"] == orjson.loads(value)


def test_depth_up_to_the_limit_passes():
    inner = MAX_DEPTH - 1
    assert "x" in parse(within(b"[" * inner + b"]" * inner))


WRONG = [
    ({"model": None}, "model", "missing_required_parameter"),
    ({"model": 4}, "model", "invalid_type"),
    ({"model": ""}, "model", "invalid_value"),
    ({"model": "m" * 257}, "model", "invalid_value"),
    ({"messages": None}, "messages", "missing_required_parameter"),
    ({"messages": {}}, "messages", "invalid_type"),
    ({"messages": "hi"}, "messages", "invalid_type"),
    ({"messages": []}, "messages", "empty_array"),
    ({"messages": ["hi"]}, "messages[0]", "invalid_type"),
    ({"messages": [{"role": "user"}, None]}, "messages[1]", "invalid_type"),
    ({"messages": [{"content": "hi"}]}, "messages[0].role", "invalid_type"),
    ({"stream": "true"}, "stream", "invalid_type"),
    ({"stream": 1}, "stream", "invalid_type"),
    ({"stream_options": True}, "stream_options", "invalid_type"),
    ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage", "invalid_type"),
    ({"n": 0}, "n", "invalid_value"),
    ({"n": 129}, "n", "invalid_value"),
    ({"n": 18446744073686646784}, "n", "invalid_value"),
    ({"n": True}, "n", "invalid_type"),
    ({"n": 1.0}, "n", "invalid_type"),
    ({"max_tokens": -1}, "max_tokens", "invalid_value"),
    ({"max_tokens": 0}, "max_tokens", "invalid_value"),
    ({"max_completion_tokens": 0}, "max_completion_tokens", "invalid_value"),
    ({"max_tokens": 10**18}, "max_tokens", "invalid_value"),
    ({"max_tokens": 10_000_001}, "max_tokens", "invalid_value"),
    ({"max_completion_tokens": 10_000_001}, "max_completion_tokens", "invalid_value"),
    ({"max_tokens": "5"}, "max_tokens", "invalid_type"),
    ({"max_completion_tokens": False}, "max_completion_tokens", "invalid_type"),
    ({"max_completion_tokens": 1e3}, "max_completion_tokens", "invalid_type"),
    ({"user": 7}, "user", "invalid_type"),
    ({"user": "u" * 513}, "user", "invalid_value"),
    ({"safety_identifier": []}, "safety_identifier", "invalid_type"),
    ({"tools": {}}, "tools", "invalid_type"),
    ({"tools": [1]}, "tools", "invalid_type"),
    ({"functions": "f"}, "functions", "invalid_type"),
]


@pytest.mark.parametrize(("change", "param", "code"), WRONG)
def test_a_wrong_member_is_named(change, param, code):
    with pytest.raises(CallerFault) as caught:
        parse(json.dumps({**GOOD, **change}).encode())
    told = caught.value.told
    assert (told.status, told.param, told.code, told.type) == (400, param, code, "invalid_request_error")


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"stream": None, "stream_options": None, "n": None, "max_tokens": None, "user": None, "tools": None},
        {"stream": True, "stream_options": {"include_usage": None}},
        {"n": 128, "max_tokens": 1, "tools": [], "x": [{"y": None}]},
        {"max_tokens": 10_000_000, "max_completion_tokens": 10_000_000},
    ],
)
def test_a_right_body_comes_out_as_it_is(change):
    assert parse(json.dumps({**GOOD, **change}).encode()) == {**GOOD, **change}


def only_caller_faults(data):
    with contextlib.suppress(CallerFault):
        assert isinstance(parse(data), dict)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_a_caller_fault(data):
    only_caller_faults(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = ["model", "messages", "stream", "stream_options", "n", "max_tokens", "user", "tools", "functions"]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.dictionaries(st.sampled_from(NAMES), JSON))
def test_no_value_of_a_checked_member_raises_anything_but_a_caller_fault(change):
    only_caller_faults(json.dumps({**GOOD, **change}).encode())


def test_every_error_has_all_four_members():
    told = Told(400, "No.", "invalid_request_error")
    error = {"message": "No.", "type": "invalid_request_error", "param": None, "code": None}
    assert json.loads(error_body(told)) == {"error": error}
    event = error_event(told)
    assert event.startswith(b"data: {")
    assert event.endswith(b"}\n\n")
    assert json.loads(event.removeprefix(b"data: ")) == {"error": error}
