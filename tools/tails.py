"""Guards the tails: how long files and functions may grow, how many parameters, and who owes a docstring.

`make check` runs it over the project's Python. It reads syntax trees only and imports nothing that it judges.
A file over the soft limit needs a line in `LONGER_FILES` with its reason; past the hard one nothing helps.
"""

import ast
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("proxy", "tools", "bench", "tests", "examples")
NOT_OURS = ROOT / "bench" / "build"
"""Where the bench puts what it compiles and installs."""
DOCUMENTED = ("proxy", "tools", "bench", "examples")

FILE_LINES = 400
FILE_LINES_HARD = 500
FUNCTION_LINES = 50
PARAMETERS = 6

LONGER_FILES: Mapping[str, str] = {
    "tests/relay/test_story.py": "every dialogue with the story, in the order of a call's life",
}
"""Path of a file between the two limits → why it is better whole."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def faults(path: Path) -> Iterator[str]:
    """Everything wrong with one file, each as `FILE:LINE: what; what to do`."""
    name = path.relative_to(ROOT).as_posix()
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text, filename=name)
    yield from file_faults(name, len(text.splitlines()))
    if name.startswith(DOCUMENTED):
        yield from docstring_faults(name, tree)
    for node in ast.walk(tree):
        if isinstance(node, Function):
            yield from function_faults(name, node)


def file_faults(name: str, lines: int) -> Iterator[str]:
    """Length of the file."""
    if lines > FILE_LINES_HARD:
        yield f"{name}:1: {lines} lines, never more than {FILE_LINES_HARD}; split it by what it knows"
    elif lines > FILE_LINES and name not in LONGER_FILES:
        yield f"{name}:1: {lines} lines, at most {FILE_LINES}; split it, or give a reason in tools/tails.py"
    elif lines <= FILE_LINES and name in LONGER_FILES:
        yield f"{name}:1: {lines} lines need no exception; take it out of tools/tails.py"


def docstring_faults(name: str, tree: ast.Module) -> Iterator[str]:
    """A module is a chapter and a class is a thing: both say what they are."""
    if ast.get_docstring(tree) is None:
        yield f"{name}:1: no module docstring; say what the file is for, who calls it, what it must never do"
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and ast.get_docstring(node) is None:
            yield f"{name}:{node.lineno}: class {node.name} has no docstring; say what it is"


def function_faults(name: str, node: Function) -> Iterator[str]:
    """Length and parameters of one function."""
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    if lines > FUNCTION_LINES:
        yield f"{name}:{node.lineno}: {node.name} has {lines} lines, at most {FUNCTION_LINES}; split it"
    given = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
    count = len([a for i, a in enumerate(given) if not (i == 0 and a in {"self", "cls"})])
    if count > PARAMETERS:
        yield f"{name}:{node.lineno}: {node.name} has {count} parameters, at most {PARAMETERS}; make a record"


def main() -> int:
    """Print every fault; the exit status says whether there was one."""
    every = (path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
    paths = sorted(path for path in every if not path.is_relative_to(NOT_OURS))
    found = [fault for path in paths for fault in faults(path)]
    found += [f"tools/tails.py:1: {name} is gone; take out its exception" for name in sorted(gone(paths))]
    sys.stdout.writelines(f"{fault}\n" for fault in found)
    if not found:
        sys.stdout.write(f"Tails hold: {len(paths)} files.\n")
    return 1 if found else 0


def gone(paths: list[Path]) -> set[str]:
    """Exceptions whose file no longer exists."""
    return set(LONGER_FILES) - {path.relative_to(ROOT).as_posix() for path in paths}


if __name__ == "__main__":
    sys.exit(main())
