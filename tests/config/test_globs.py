"""When one glob leaves nothing for another."""

from fnmatch import fnmatchcase

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.config.globs import covers


@pytest.mark.parametrize(
    ("glob", "other", "covered"),
    [
        ("gpt-4o", "gpt-4o", True),
        ("gpt-4o", "gpt-4", False),
        ("*", "?*", True),
        ("?*", "*", True),
        ("??*", "*", False),
        ("?*", "*?", True),
        ("gpt-*", "gpt-4*", True),
        ("gpt-4*", "gpt-*", False),
        ("*-mini", "gpt-*-mini", True),
        ("gpt-?", "gpt-*", False),
        ("gpt-*", "gpt-?", True),
        ("a*b*c", "aXbYc", True),
        ("a*b*c", "a*c", False),
        ("gpt", "GPT", False),
    ],
)
def test_cover(glob, other, covered):
    assert covers(glob, other) is covered


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.text("ab*?", max_size=6), st.text("ab", min_size=1, max_size=6))
def test_a_name_is_covered_exactly_when_it_matches(glob, name):
    assert covers(glob, name) == fnmatchcase(name, glob)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.text("a*?", max_size=5), st.text("a*?", max_size=5), st.text("abc", min_size=1, max_size=6))
def test_what_the_covered_one_matches_the_covering_one_matches_too(glob, other, name):
    if covers(glob, other) and fnmatchcase(name, other):
        assert fnmatchcase(name, glob)
