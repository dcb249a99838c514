"""What a pattern costs at each byte, told from its spelling: never less than it has states, written out."""

import pytest

from proxy.wire.pattern import STATES_MAX, states

WRITTEN_OUT = {
    "nothing": ("", 0),
    "letters": ("abc", 3),
    "a count": ("a{80}", 80),
    "from and to": ("a{2,80}", 80),
    "at least": (r"\w{80,}", 80),
    "at most": ("a{,80}", 80),
    "a count that is lazy": ("a{80}?", 80),
    "a count of counts": ("a{80}{3}", 240),
    "a count with zeros in front": ("a{000080}", 80),
    "a count of a class": ("[(abc]{80}", 80),
    "a count of a class of escapes": (r"[\]\\(]{80}", 80),
    "a count of what unicode calls a letter": (r"\p{L}{80}", 160),
    "counts in groups": (r"(\w{3}){4}", 12),
    "three deep": (r"((?:(?<x>\w{3}){4}x){5})+", 65),
    "a choice repeated": ("(?:ab|cd|e){30}", 150),
    "what may be left out, within what may be left out": (r"(?:\w{0,12}){0,12}", 3 * 144),
    "an empty group repeated": ("(?:){500}", 500),
    "after brackets that are escaped": (r"\(\[a{80}", 80),
    "after flags": ("(?i)a{80}", 80),
    "flags of a group": ("(?i:abc){80}", 240),
    "braces that count nothing": ("a{x}", 4),
}


@pytest.mark.parametrize("case", WRITTEN_OUT)
def test_repetitions_are_written_out(case):
    pattern, least = WRITTEN_OUT[case]
    assert least <= states(pattern) <= 5 * least


@pytest.mark.parametrize(
    "pattern",
    [
        "[a[b]](c){9}",
        "[]a]",
        "[^]a]",
        "(?x)(a) {80}",
        "(?ix: a {80})",
        "a{0000000080}",
        "a{9999999}",
        "(a",
        "(?=a)",
        "a\\",
    ],
)
def test_what_is_not_read_is_taken_for_the_worst(pattern):
    assert states(pattern) == STATES_MAX


@pytest.mark.parametrize(
    "pattern",
    [
        r"^\d{4}-\d{2}-\d{2}$",
        r"^[A-Z]{2}\d{6}$",
        r"^[^@\s]+@[^@\s]+\.[a-z]{2,}$",
        r"^https?://[^\s/]+(/\S*)?$",
        r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?(Z|[+-]\d{2}:\d{2})$",
    ],
)
def test_ordinary_patterns_are_small(pattern):
    assert states(pattern) < 100
