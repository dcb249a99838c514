"""What must be absent from the code, read off its syntax trees: nothing here imports what it judges.

Floors are import-linter's and lengths are tools/tails.py's (`make check`); neither is repeated here.
"""

import ast
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "proxy").rglob("*.py"))

VENDORS = re.compile(
    r"openai|anthropic|claude|gemini|google|vllm|deepseek|mi[sx]tral|ollama|azure|bedrock|\bgpt",
    re.IGNORECASE,
)
VENDOR_ROOMS = ("proxy/wire/", "proxy/facts/", "proxy/config/", "proxy/simulator/", "proxy/cli/simulate.py")
VENDOR_WORDS = {
    ("proxy/table.py", "anthropic"): "names of dialects are words of the table",
    ("proxy/table.py", "gemini"): "names of dialects are words of the table",
    ("proxy/table.py", "openai"): "names of dialects are words of the table",
    ("proxy/table.py", "vllm"): "names of dialects are words of the table",
}

CATCH_ALLS = {
    "proxy/server/door.py": "the outermost door: whatever is left becomes a 500 with an id",
    "proxy/duties/supervisor.py": "a duty that fails is logged and started again",
    "proxy/upstream/answer.py": "a piece is judged as it arrives: a defect in that is told to the story",
    "proxy/store/journal.py": "the only writer: a defect in one request is told to who asked",
}

MUTABLE = {"list", "dict", "set", "bytearray", "defaultdict", "OrderedDict", "Counter", "deque"}
READ_ONLY = {"Mapping", "Final", "Sequence", "frozenset"}

SAID = {"body", "state", "held", "messages"}
RAW = {"bytes", "dict", "Any"}
"""Fields, and their types, in which a record has what was asked and answered. A number may be held, too."""

SECRETS = re.compile(
    r"sk-(?:proj-|ant-)?[A-Za-z0-9_]{32,}|AIza[0-9A-Za-z_-]{35}|AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36}"
    r"|hf_[A-Za-z]{34}|xox[baprs]-[0-9A-Za-z-]{20,}|-----BEGIN [A-Z ]*PRIVATE KEY-----|\bft-[0-9a-f]{48}\b"
)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.fixture(params=FILES, ids=name_of)
def file(request) -> tuple[str, ast.Module]:
    return name_of(request.param), ast.parse(request.param.read_text(encoding="utf-8"))


def words(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Every identifier and every string that is not a docstring or a field's description."""
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)) if id(node) not in prose:
                yield node.lineno, text
            case ast.Constant(value=bytes(data)):
                yield node.lineno, data.decode("latin-1")
            case ast.Name(id=text) | ast.Attribute(attr=text) | ast.arg(arg=text):
                yield node.lineno, text
            case ast.FunctionDef(name=text) | ast.AsyncFunctionDef(name=text) | ast.ClassDef(name=text):
                yield node.lineno, text


def test_a_vendor_is_named_only_where_its_language_is_known(file):
    name, tree = file
    if name.startswith(VENDOR_ROOMS):
        return
    found = [
        f"{name}:{line}: {text!r}"
        for line, text in words(tree)
        if VENDORS.search(text) and (name, text) not in VENDOR_WORDS
    ]
    assert not found


def test_imports_stand_at_the_top_and_for_every_reader(file):
    name, tree = file
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    late = [n.lineno for f in functions for n in ast.walk(f) if isinstance(n, ast.Import | ast.ImportFrom)]
    assert not late, f"{name}: imports inside functions at {late}"
    assert not any(text == "TYPE_CHECKING" for _, text in words(tree)), name


def test_everything_is_caught_only_where_it_was_decided(file):
    name, tree = file
    wide = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or {"Exception", "BaseException"} & names(node.type))
        and not passes_on(node)
    ]
    assert name in CATCH_ALLS or not wide, f"{name}: catch-all except at {wide}"


def passes_on(handler: ast.ExceptHandler) -> bool:
    """Whether a handler only tidies up: one that ends in a bare `raise` catches nothing."""
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def names(node: ast.expr | None) -> set[str]:
    """Every plain name in an expression."""
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)} if node else set()


def test_no_module_holds_state(file):
    name, tree = file
    found = [f"{name}:{node.lineno}" for node in tree.body if holds_state(node)]
    found += [f"{name}:{n.lineno}: global" for n in ast.walk(tree) if isinstance(n, ast.Global)]
    assert not found, "make it a tuple, a frozenset, or an upper-case register annotated Mapping"


def holds_state(node: ast.stmt) -> bool:
    """Whether a statement binds something that can change, other than a literal register."""
    match node:
        case ast.AnnAssign(target=ast.Name(id=target), annotation=annotation, value=value) if value:
            if target.isupper() and READ_ONLY & names(annotation):
                return False
        case ast.Assign(targets=[ast.Name(id=target)], value=value):
            if target == "__all__":
                return False
        case _:
            return False
    display = isinstance(value, ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp)
    made = isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in MUTABLE
    return display or made


def test_a_record_of_what_is_said_shows_nothing_of_it(file):
    """A record shows all its fields, wherever it is shown: in an error, in a log, in a test of others."""
    name, tree = file
    if name.startswith("proxy/simulator/"):  # which has nothing to say that is anybody's
        return
    found = [
        f"{name}:{node.lineno}: {node.name}.{', '.join(told)}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and any("Struct" in names(base) for base in node.bases)
        if (told := said_in(node))
        and not any(getattr(each, "name", None) == "__repr__" for each in node.body)
    ]
    assert not found, "give it a __repr__"


def said_in(record: ast.ClassDef) -> list[str]:
    """The fields of a record that may hold a prompt or an answer."""
    return [
        field.target.id
        for field in record.body
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if field.target.id in SAID and names(field.annotation) & RAW
    ]


def test_no_secret_is_kept_in_the_repository():
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run([git, "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True)
    found = [
        f"{path}: {match[:8]}…"
        for path in filter(None, listed.stdout.split("\0"))
        if (ROOT / path).is_file()
        for match in SECRETS.findall((ROOT / path).read_text(encoding="utf-8", errors="replace"))
    ]
    assert not found
