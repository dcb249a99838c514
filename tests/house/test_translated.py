"""`README.fr.md` is `README.md` in French: the same shape, the same code, the same links.

What can be compared is compared; whether the French says the same is for who reads both.
"""

import re

from tests.house.pages import ROOT, Page

ENGLISH, FRENCH = Page(ROOT / "README.md"), Page(ROOT / "README.fr.md")
EACH_OTHER = {"README.md", "README.fr.md"}


def test_headings_are_as_many_and_as_deep_in_the_same_order():
    assert [level for level, _ in FRENCH.headings] == [level for level, _ in ENGLISH.headings]


def test_blocks_are_the_same_byte_for_byte():
    assert FRENCH.blocks == ENGLISH.blocks


def leads(page: Page) -> list[str]:
    """Where its links lead, in order; the one to the other language, and anchors of its own, aside."""
    return [link.to for link in page.links if link.to not in EACH_OTHER and not link.to.startswith("#")]


def test_links_lead_to_the_same_places():
    assert sorted(leads(FRENCH)) == sorted(leads(ENGLISH))


def test_tables_have_the_same_shape():
    shapes = [[[len(row) for row in rows] for rows in page.tables] for page in (FRENCH, ENGLISH)]
    assert shapes[0] == shapes[1]


def test_each_section_and_each_cell_shows_the_same_names():
    """What stands in code is not translated; word order may differ within a paragraph or a cell."""
    assert sections(FRENCH) == sections(ENGLISH)
    assert cells(FRENCH) == cells(ENGLISH)


def sections(page: Page) -> list[list[str]]:
    """The spans of code under each heading."""
    parts = re.split(r"^#+ .*$", page.prose, flags=re.MULTILINE)
    return [sorted(re.findall(r"`([^`\n]+)`", part)) for part in parts]


def cells(page: Page) -> list[list[str]]:
    """The spans of code in each cell of each table."""
    return [sorted(re.findall(r"`([^`]+)`", cell)) for rows in page.tables for row in rows for cell in row]


def test_no_line_was_left_in_english():
    prose = [{line.strip() for line in page.prose.splitlines()} for page in (FRENCH, ENGLISH)]
    words = re.compile(r"\b(the|and|with|which|that|of)\b")
    assert not {line for line in prose[0] & prose[1] if words.search(line)}


def test_it_leads_to_the_english_one():
    assert "README.md" in {link.to for link in FRENCH.links}
