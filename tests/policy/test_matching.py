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
    """A name that counts how often it is looked at or compared."""

    __slots__ = ("looks",)

    def __new__(cls, value):
        made = super().__new__(cls, value)
        made.looks = 0
        return made

    def __eq__(self, other):
        self.looks += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__

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


def test_a_glob_gives_way_to_a_name_before_it_and_to_none_behind():
    mixed = table("gpt-4o", "gpt-?o", "gpt-4*", "gpt-5o", "gpt-4o", "gpt-4-mini")
    assert match(mixed, "gpt-4o") is mixed.routes[0]
    assert match(mixed, "gpt-5o") is mixed.routes[1]
    assert match(mixed, "gpt-4-mini") is mixed.routes[2]
    assert match(mixed, "gpt-4*") is mixed.routes[2]
    assert match(mixed, "gpt-6") is None


@pytest.mark.parametrize("glob", ["zz*", "*"])
def test_a_name_costs_no_more_looks_among_a_thousand_routes(glob):
    assert looks(1000, glob) == looks(10, glob)


def looks(size, glob):
    """How often the last route's name is looked at until the route is found."""
    many = table(*(f"model-{number:04}" for number in range(size - 1)), "the-last-of-all", glob)
    asked = CountingName("the-last-of-all")
    assert match(many, asked) is many.routes[size - 1]
    return asked.looks


def test_only_exact_names_are_listed_once_each():
    assert public_models(table("gpt-4o", "gpt-*", "chat", "gpt-4o", "x?")) == ("gpt-4o", "chat")
