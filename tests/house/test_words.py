"""The words of the house are those that were agreed."""

from pathlib import Path

from tests.house.words import words


def test_public_names_change_only_on_purpose():
    written = Path(__file__).with_name("words.txt").read_text(encoding="utf-8")
    assert words() == written, "meant? python -m tests.house.words > tests/house/words.txt"
