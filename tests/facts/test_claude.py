"""Which gates a model's name leads to, and what the table may never say."""

import pytest

from proxy.facts.claude import KNOWN, NEWEST, describe

ROWS = [
    ("claude-opus-4-5-20251101", "opus-4-5"),
    ("claude-opus-4-20250514", "opus-4"),
    ("claude-sonnet-4-0", "sonnet-4-0"),
    ("anthropic/claude-sonnet-4.5", "sonnet-4-5"),
    ("us.anthropic.claude-haiku-4-5-20251001-v1:0", "haiku-4-5"),
    ("Claude-Opus-5-5", "opus-5-5"),
    ("claude-opus-5", "opus-5"),
    ("claude-opus-5@20260701", "opus-5"),
    ("claude-3-5-sonnet-20241022", "3-5"),
    ("claude-3-7-sonnet-latest", "3-7"),
    ("claude-3-opus-20240229", "3"),
    ("claude-2.1", "3"),
]


@pytest.mark.parametrize(("model", "known"), ROWS)
def test_a_name_leads_to_its_models_gates(model, known):
    assert describe(model) is KNOWN[known]


@pytest.mark.parametrize(
    "model", ["claude-opus-4-10", "claude-opus-6", "claude-newest", "opus", "", "mythos-preview"]
)
def test_an_unknown_name_is_taken_for_the_newest(model):
    assert describe(model) is NEWEST


@pytest.mark.parametrize("facts", [*KNOWN.values(), NEWEST])
def test_an_effort_can_be_said_wherever_thinking_is_adaptive(facts):
    if "adaptive" in facts.thinking:
        assert facts.efforts
    assert facts.output is None or facts.output >= 4096


@pytest.mark.parametrize("facts", [*KNOWN.values(), NEWEST])
def test_what_cannot_be_switched_off_thinks_by_itself(facts):
    if facts.thinking == {"adaptive"}:
        assert facts.thinks
    if not facts.thinking:
        assert not facts.thinks
