"""What is believed of pictures and documents: the rows are found, and a stranger gets the worst."""

import pytest

from proxy.abilities import Media
from proxy.facts.media import ROWS, media_of
from proxy.policy.matching import fits


@pytest.mark.parametrize(
    ("dialect", "model", "image", "context"),
    [
        ("openai", "gpt-4o-mini-2024-07-18", 48_169, 128_000),
        ("openai", "gpt-4o", 1_445, 128_000),
        ("openai", "openai/gpt-4o-2024-11-20", 1_445, 128_000),
        ("openai", "gpt-4.1-nano", 3_779, 1_047_576),
        ("openai", "gpt-5", 1_190, 400_000),
        ("openai", "gpt-5.4", 50_000, 1_050_000),
        ("openai", "deepseek-chat", 50_000, 1_050_000),
        ("anthropic", "claude-3-5-sonnet-20241022", 5_000, 200_000),
        ("anthropic", "claude-sonnet-4-5", 5_000, 1_000_000),
        ("gemini", "gemini-2.5-pro", 10_000, 1_048_576),
        ("vllm", "gpt-4o", 50_000, 1_050_000),
    ],
)
def test_each_model_has_its_bounds(dialect, model, image, context):
    assert media_of(dialect, model) == Media(image, context)


def test_no_row_is_hidden_by_one_before_it():
    for index, (dialect, glob, _) in enumerate(ROWS):
        hidden = [before for spoken, before, _ in ROWS[:index] if spoken == dialect and fits(before, glob)]
        assert not hidden, glob
