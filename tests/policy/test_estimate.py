"""Upper bounds on what a call can use."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.call import Call, Identity
from proxy.policy.estimate import estimate
from proxy.table import Route

ROUTE = Route("chat", (), max_output_tokens=4096)


def call(body, size=100):
    return Call("req_1", 0, Identity("acme", "key_1"), "chat", body, size, stream=False, include_usage=False)


@pytest.mark.parametrize(
    ("body", "output"),
    [
        ({}, 4096),
        ({"max_tokens": 10}, 10),
        ({"max_completion_tokens": 20}, 20),
        ({"max_tokens": 10, "max_completion_tokens": 20}, 20),
        ({"max_tokens": 10, "n": 3}, 30),
        ({"n": 3}, 3 * 4096),
        ({"n": None, "max_tokens": None}, 4096),
        ({"n": 0, "max_tokens": 0}, 4096),
        ({"n": -2, "max_tokens": -5}, 4096),
        ({"n": [2], "max_tokens": True}, 4096),
        ({"max_tokens": 1e5}, 100_000),
        ({"max_tokens": 10.5}, 11),
        ({"n": "2", "max_tokens": "100_000"}, 200_000),
        ({"max_tokens": "lots"}, 4096),
        ({"max_tokens": float("nan")}, 4096),
        ({"max_tokens": float("inf")}, 4096),
        ({"n": 2**62, "max_tokens": 2**62}, 10**12),
    ],
)
def test_output_is_bound_by_the_caller_or_the_route_for_each_choice(body, output):
    assert estimate(call(body), ROUTE).output_tokens == output


def test_a_routes_default_maximum_counts():
    route = replace(ROUTE, defaults={"max_tokens": 7, "n": 2})
    assert estimate(call({}), route).output_tokens == 14
    assert estimate(call({"max_tokens": 9, "n": 1}), route).output_tokens == 9


@settings(deadline=None, derandomize=True)
@given(st.lists(st.text(max_size=200), max_size=20))
def test_input_is_bound_by_the_bytes_and_what_templates_add(texts):
    messages = [{"role": "user", "content": text} for text in texts]
    size = sum(len(text.encode()) for text in texts)
    found = estimate(call({"messages": messages}, size), ROUTE)
    assert found.input_tokens >= size + 8 * len(messages)
    assert found.total == found.input_tokens + found.output_tokens


def test_what_bytes_do_not_show_is_added():
    bare = estimate(call({}), ROUTE).input_tokens
    url = {"url": "https://x/y.png"}
    for part in (
        {"type": "image_url", "image_url": url},
        {"image_url": url},
        {"type": "video_url", "video_url": url},
    ):
        image = estimate(call({"messages": [{"role": "user", "content": [part]}]}), ROUTE)
        assert image.input_tokens >= bare + 48_169
    text = {"role": "user", "content": [{"type": "text", "text": "x"}]}
    assert estimate(call({"messages": [text]}), ROUTE).input_tokens < bare + 100
    function = {"name": "f" * 500}
    assert (
        estimate(call({"tools": [{"type": "function", "function": function}]}), ROUTE).input_tokens
        >= bare + 500
    )
    assert estimate(call({"functions": [function]}), ROUTE).input_tokens >= bare + 500


@pytest.mark.parametrize("body", [{"messages": "no"}, {"messages": [1, None, "x"]}, {"tools": {}}])
def test_odd_bodies_are_still_estimated(body):
    assert estimate(call(body), ROUTE).input_tokens >= 100
