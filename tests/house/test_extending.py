"""`docs/extending.md` is carried out: in a copy of the tree, to the letter, and judged as a commit would be.

A block that names a file is that file, or a change of it; a block of shell is typed. Sections are
tried together, for that is how they are used: one after the other.
"""

import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.house.pages import ROOT, Block, Page, tree

PAGE = Page(ROOT / "docs/extending.md")
WRITTEN = [block for block in PAGE.blocks if block.path]
LINES = [line for block in PAGE.blocks if block.language == "sh" for line in block.body.splitlines()]
RULES = (
    "ruff check --quiet proxy tests",
    "ruff format --check --quiet proxy tests",
    "mypy --no-error-summary",
    "lint-imports",
    "python tools/tails.py",
)

pytestmark = pytest.mark.timeout(300)  # processes are started, on machines that are busy


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The tree as it is, and then as the page would have it."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    folder = tmp_path_factory.mktemp("extended")
    for name in sorted(tree()):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    (folder / ".venv").symlink_to(sys.prefix)
    for block in WRITTEN:
        carry_out(block, folder / block.path)
    return folder


def carry_out(block: Block, path):
    if block.language == "diff":
        path.write_text(changed(path.read_text("utf-8"), block.body), "utf-8")
    else:
        assert not path.exists(), f"{block.path} is there already: show a change of it"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.body, "utf-8")


def changed(text: str, diff: str) -> str:
    """The text with a change: lines that begin with a blank or `-` must stand there together, and once."""
    lines = diff.splitlines(keepends=True)
    old = "".join(line[1:] for line in lines if line[0] in " -")
    new = "".join(line[1:] for line in lines if line[0] in " +")
    assert ("\n" + text).count("\n" + old) == 1, f"not there, or more than once:\n{old}"
    return ("\n" + text).replace("\n" + old, "\n" + new)[1:]


def run(line: str, copy) -> None:
    """As one would type it there."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    shell = ["sh", "-c", line]
    done = subprocess.run(
        shell, cwd=copy, env=environ, capture_output=True, text=True, check=False, timeout=250
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("line", LINES)
def test_what_is_to_be_typed_does_what_it_should(line, copy):
    run(line, copy)


@pytest.mark.parametrize("rule", RULES)
def test_the_extended_tree_keeps_the_rules(rule, copy):
    run(f".venv/bin/{rule}", copy)


def test_the_copy_is_what_is_tried(copy):
    run(
        """test "$(.venv/bin/python -c 'import proxy; print(proxy.__file__)')" = "$PWD/proxy/__init__.py" """,
        copy,
    )


def test_every_section_shows_or_names_a_test():
    sections = re.split(r"^## ", PAGE.text, flags=re.MULTILINE)[1:]
    assert len(sections) >= 5
    assert all(re.search(r"tests/\w+/test_\w+\.py", section) for section in sections)


@pytest.mark.parametrize(
    "diff", ["-not there\n+something\n", " two\n-two\n+three\n"], ids=["no such line", "not together"]
)
def test_a_change_that_does_not_fit_is_seen(diff):
    with pytest.raises(AssertionError, match="not there"):
        changed("one\ntwo\n", diff)
