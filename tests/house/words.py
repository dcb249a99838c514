"""The public names of the ground and of the story, read off their syntax trees.

Rooms are written against these words; one that comes, goes or is renamed should be seen in review.
`python -m tests.house.words > tests/house/words.txt` writes them down anew.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODULES = (
    "proxy/__init__.py",
    "proxy/errors.py",
    "proxy/usage.py",
    "proxy/question.py",
    "proxy/table.py",
    "proxy/call.py",
    "proxy/ports.py",
    "proxy/wire/dialect.py",
    "proxy/relay.py",
)


def words() -> str:
    """One line a module: its public names, in order."""
    return "".join(f"{module}: {' '.join(sorted(names(module)))}".strip() + "\n" for module in MODULES)


def names(module: str) -> Iterator[str]:
    """What a module defines itself and does not hide."""
    for node in ast.parse((ROOT / module).read_text(encoding="utf-8")).body:
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                found = [name]
            case ast.Assign(targets=targets):
                found = [target.id for target in targets if isinstance(target, ast.Name)]
            case ast.AnnAssign(target=ast.Name(id=name)):
                found = [name]
            case _:
                found = []
        yield from (name for name in found if not name.startswith("_"))


if __name__ == "__main__":
    sys.stdout.write(words())
