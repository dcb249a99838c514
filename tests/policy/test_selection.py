"""The order of targets, and whose timeouts hold."""

import pytest

from proxy.policy.selection import order
from proxy.table import Route, Table, Target, Timeouts, Upstream

TABLE = Table(
    {name: Upstream(name, "openai", f"http://{name}") for name in ("openai", "vllm")},
    (),
)
TARGETS = (Target("openai", "gpt-4o"), Target("openai", "gpt-4o-mini"), Target("vllm", "mixtral"))


@pytest.mark.parametrize(
    ("preferred", "expected"),
    [
        (None, ["openai/gpt-4o", "openai/gpt-4o-mini", "vllm/mixtral"]),
        ("vllm", ["vllm/mixtral", "openai/gpt-4o", "openai/gpt-4o-mini"]),
        ("openai", ["openai/gpt-4o", "openai/gpt-4o-mini", "vllm/mixtral"]),
        ("unheard-of", ["openai/gpt-4o", "openai/gpt-4o-mini", "vllm/mixtral"]),
    ],
)
def test_listed_order_but_the_preferred_upstream_first(preferred, expected):
    found = order(TABLE, Route("chat", TARGETS), preferred)
    assert [str(one.target) for one in found] == expected
    assert [one.upstream.name for one in found] == [one.target.upstream for one in found]


def test_a_route_narrows_timeouts_and_never_widens_them():
    route = Route("chat", TARGETS[:1], timeouts={"first_token_s": 5.0, "total_s": 9999.0})
    (found,) = order(TABLE, route, None)
    assert found.timeouts == Timeouts(first_token_s=5.0)
