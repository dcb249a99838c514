"""The page of faults: `faults.toml` says what happens, marks on tests say what proves it.

Marks are read off syntax trees, so that nothing is imported and nothing run. `python -m tests.house.faults`
writes the table into `docs/faults.md`, between two comments; a test fails where the page is not what this
would write, where a fault has no test, and where a mark names no fault.
"""

import ast
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIST = Path(__file__).with_name("faults.toml")
PAGE = ROOT / "docs" / "faults.md"
BEGIN = "<!-- From here on written by `python -m tests.house.faults`. -->\n"
END = "<!-- So far. -->\n"


@dataclass(frozen=True)
class Proof:
    """A test that carries the mark of a fault."""

    path: str
    name: str

    @property
    def link(self) -> str:
        """For the page, which lies in `docs/`."""
        return f"[`{self.name}`](../{self.path})"


@dataclass(frozen=True)
class Fault:
    """One line of the list."""

    id: str
    what: str
    then: str


def faults() -> dict[str, list[Fault]]:
    """Every fault, by the title of its part."""
    parts = tomllib.loads(LIST.read_text("utf-8")).values()
    return {part.pop("title"): [Fault(id_, *words) for id_, words in part.items()] for part in parts}


def proofs() -> dict[str, list[Proof]]:
    """The tests that are marked, by fault."""
    found: dict[str, list[Proof]] = defaultdict(list)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        name = path.relative_to(ROOT).as_posix()
        for test, ids in _marked(ast.parse(path.read_text("utf-8"))):
            for each in ids:
                found[each].append(Proof(name, test))
    return found


def _marked(tree: ast.Module) -> Iterator[tuple[str, list[str]]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.fault":
                    yield node.name, [ast.literal_eval(each) for each in mark.args]


def table() -> str:
    """All parts of the page that are written by machine."""
    known = proofs()
    lines = []
    for title, listed in faults().items():
        lines += [f"\n### {title}\n\n", "| | fault | what happens | proved by |\n|---|---|---|---|\n"]
        for fault in listed:
            links = "<br>".join(proof.link for proof in known.get(fault.id, ()))
            lines.append(f"| {fault.id} | {fault.what} | {fault.then} | {links} |\n")
    return "".join(lines) + "\n"


def page(old: str) -> str:
    """The page with its table as it is now."""
    before, begin, rest = old.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE.name} has no place for the table")
    return before + BEGIN + table() + END + after


def main() -> None:
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")
    bare = [fault.id for listed in faults().values() for fault in listed if fault.id not in proofs()]
    sys.stdout.write(f"{PAGE.name} is written; without a test: {', '.join(bare) or 'none'}\n")


if __name__ == "__main__":
    main()
