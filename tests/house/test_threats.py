"""Every claim of `docs/threat-model.md` names a test; that each is there, `test_pages.py` sees."""

import re

import pytest

from tests.house.pages import ROOT, Page

PAGE = Page(ROOT / "docs/threat-model.md")
CLAIMS = [row for rows in PAGE.tables if rows[0][-1] == "shown by" for row in rows[1:]]
PROOF = re.compile(r"\[`test_\w+`\]\(\.\./tests/[\w/]+\.py\)")


def threat(row: list[str]) -> str:
    return row[0]


@pytest.mark.parametrize("row", CLAIMS, ids=threat)
def test_every_claim_names_a_test(row):
    assert len(row) == 3
    assert all(PROOF.fullmatch(proof) for proof in row[-1].split("<br>"))


def test_every_table_of_threats_is_one_of_claims():
    heads = [rows[0] for rows in PAGE.tables if rows[0][0] == "threat"]
    assert heads
    assert all(head[-1] == "shown by" for head in heads)


def test_what_is_not_protected_is_said():
    assert (2, "What is not protected") in PAGE.headings
