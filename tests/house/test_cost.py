"""The cost guard: a call and a chunk stay within what they cost when the budget was written."""

import json
from pathlib import Path

import pytest

from tests.house.cost import chunk_memory, measure

BUDGET = json.loads(Path(__file__).with_name("budget.json").read_text())


@pytest.fixture(scope="module")
def measured():
    return measure()


@pytest.mark.parametrize("what", BUDGET)
def test_costs_no_more_than_its_budget(what, measured):
    over = {
        figure: f"{measured[what][figure]:.1f} of {most}"
        for figure, most in BUDGET[what].items()
        if measured[what][figure] > most
    }
    assert not over, "if it is worth that: python -m tests.house.cost > tests/house/budget.json"


def test_everything_measured_has_a_budget(measured):
    assert {what: set(figures) for what, figures in BUDGET.items()} == {
        what: set(figures) for what, figures in measured.items()
    }


@pytest.mark.fault("c7-many")
def test_a_long_stream_leaves_nothing_behind():
    _, left_behind = chunk_memory()
    assert left_behind < 8, "bytes a chunk"
