"""`docs/simulating.md` has every key of a script, and its own script can be played."""

import re

import pytest

from proxy.simulator.script import Busy, Do, Script, When
from tests.house.pages import ROOT, Page

PAGE = Page(ROOT / "docs/simulating.md")


@pytest.mark.parametrize(("word", "part"), [("when", When), ("do", Do), ("load", Busy)])
def test_its_tables_are_the_grammar(word, part):
    (rows,) = (rows for rows in PAGE.tables if rows[0][0] == f"`{word}`")
    assert {key for row in rows[1:] for key in re.findall(r"`(\w+)`", row[0])} == set(part.model_fields)


def test_its_script_can_be_played():
    (block,) = (block for block in PAGE.blocks if block.info == "yaml")
    assert set(Script.parse(block.body.encode()).parts) == {"openai", "my-engine"}
