"""What a header of our answer may name: a caller can call a member of its body anything."""

import pytest

from proxy.wire.headers import NAMED_MAX, named


@pytest.mark.parametrize(
    ("members", "value"),
    [
        (("logprobs", "top_k"), "logprobs, top_k"),
        (("top_k", "a\r\nx-evil: 1"), "top_k, *"),
        (("a\nb", "\0", "", "a, b", "€", "x" * 65), "*"),
        (tuple(f"m{number}" for number in range(NAMED_MAX)), ", ".join(f"m{n}" for n in range(NAMED_MAX))),
        (("m",) * 100_000, ", ".join(["m"] * NAMED_MAX) + ", *"),
    ],
    ids=["plain", "injected", "odd", "many", "too many"],
)
def test_only_plain_names_and_so_many_reach_a_header(members, value):
    assert named(members) == value
