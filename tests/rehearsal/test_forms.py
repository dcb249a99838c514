"""Single values of a script, and what the parts of one day look like when drawn."""

import pytest
from pydantic_core import PydanticCustomError

from proxy.rehearsal import forms
from proxy.rehearsal.forms import Span


@pytest.mark.parametrize(
    ("read", "written", "meant"),
    [
        (forms.rate, "2/s", 2.0),
        (forms.rate, "90/m", 1.5),
        (forms.rate, "1800/h", 0.5),
        (forms.share, "80%", 0.8),
        (forms.share, "0%", 0.0),
        (forms.share, "0.5 %", 0.005),
        (forms.moment, "0s", 0.0),
        (forms.moment, "2m", 120.0),
        (forms.span, 400, Span(400, 400)),
        (forms.span, "200-800", Span(200, 800)),
        (forms.mix, "a", {"a": 1}),
        (forms.mix, ["a", "b"], {"a": 1, "b": 1}),
        (forms.mix, {"a": 3}, {"a": 3}),
        (forms.tenants, 2, {"tenant-1": 1, "tenant-2": 1}),
        (forms.tenants, "acme", {"acme": 1}),
        (forms.names, "a", ["a"]),
    ],
)
def test_a_value_is_read_as_meant(read, written, meant):
    assert read(written) == meant


@pytest.mark.parametrize(
    ("read", "written"),
    [
        (forms.rate, 2),
        (forms.rate, "0/s"),
        (forms.rate, "2/d"),
        (forms.rate, "2000/s"),
        (forms.share, 0.8),
        (forms.share, "101%"),
        (forms.span, "8-2"),
        (forms.span, 0),
        (forms.span, True),
        (forms.span, "1-20001"),
        (forms.tenants, 0),
        (forms.tenants, 10_001),
        (forms.bound_of_share, "99%"),
        (forms.bound_of_share, ">= 99"),
        (forms.bound_of_seconds, "<= 5"),
        (forms.bound_of_seconds, "== 5s"),
        (forms.bound_of_money, "<= -1"),
        (forms.bound_of_money, 1.5),
    ],
)
def test_what_can_be_misread_is_refused(read, written):
    with pytest.raises(PydanticCustomError):
        read(written)


@pytest.mark.parametrize(
    ("read", "written", "figure", "kept"),
    [
        (forms.bound_of_share, ">= 99%", 0.99, True),
        (forms.bound_of_share, ">= 99%", 0.9899, False),
        (forms.bound_of_share, "> 99%", 0.99, False),
        (forms.bound_of_share, "<= 1%", 0.01, True),
        (forms.bound_of_share, "< 1%", 0.01, False),
        (forms.bound_of_seconds, "<= 5s", 5, True),
        (forms.bound_of_seconds, "<= 250ms", 0.251, False),
        (forms.bound_of_money, "<= 1.50", 1_500_000_000, True),
        (forms.bound_of_money, "<= 1.50", 1_500_000_001, False),
    ],
)
def test_a_bound_is_kept_up_to_its_very_edge(read, written, figure, kept):
    bound = read(written)
    assert bound.kept(figure) is kept
    assert str(bound) == written


def test_a_span_is_drawn_from_end_to_end():
    span = Span(3, 5)
    assert {span.at(roll / 100) for roll in range(100)} == {3, 4, 5}
    assert (span.at(0.0), span.at(1 - 2**-53)) == (3, 5)
