"""Route matching: first match wins, two wildcards, no surprises."""

import pytest

from proxy.policy.matching import fits, match, public_models
from proxy.table import Route, Table

CASES = [
    ("gpt-4o", "gpt-4o", True),
    ("gpt-4o", "gpt-4o-mini", False),
    ("gpt-4o", "GPT-4o", False),
    ("gpt-*", "gpt-", True),
    ("gpt-*", "gpt-4o-mini", True),
    ("gpt-*", "xgpt-4", False),
    ("*", "", True),
    ("*", "anything/at all", True),
    ("", "", True),
    ("", "a", False),
    ("gpt-?o", "gpt-4o", True),
    ("gpt-?o", "gpt-o", False),
    ("?", "", False),
    ("*-mini", "gpt-4o-mini-mini", True),
    ("*-mini", "gpt-4o-mini2", False),
    ("a*b*c", "a-b-b-c", True),
    ("a*b*c", "a-c-b", False),
    ("[ab]", "a", False),
    ("[ab]", "[ab]", True),
    ("a.c", "abc", False),
    ("a*", "a\nb", True),
]


@pytest.mark.parametrize(("pattern", "name", "expected"), CASES)
def test_a_pattern_knows_star_and_question_mark_only(pattern, name, expected):
    assert fits(pattern, name) is expected


def test_a_hostile_pattern_costs_no_more_than_its_size_times_the_names():
    steps = CountingName("a" * 300)
    assert not fits("a*" * 20 + "b", steps)
    assert steps.looks < 41 * 300 * 4


class CountingName(str):
    """A name that counts how often it is looked at."""

    __slots__ = ("looks",)

    def __new__(cls, value):
        made = super().__new__(cls, value)
        made.looks = 0
        return made

    def __getitem__(self, at):
        self.looks += 1
        return super().__getitem__(at)


def table(*patterns):
    return Table({}, tuple(Route(pattern, ()) for pattern in patterns))


def test_the_first_matching_route_wins():
    both = table("gpt-4o", "gpt-*", "*")
    assert match(both, "gpt-4o") is both.routes[0]
    assert match(both, "gpt-5") is both.routes[1]
    assert match(both, "other") is both.routes[2]
    assert match(table("gpt-4o"), "claude") is None


def test_only_exact_names_are_listed_once_each():
    assert public_models(table("gpt-4o", "gpt-*", "chat", "gpt-4o", "x?")) == ("gpt-4o", "chat")
