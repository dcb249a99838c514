"""What a caller may be told stands in `docs/calling.md`: codes of errors, headers of answers, endpoints."""

import ast
import re
from collections.abc import Iterator, Mapping

import pytest

from proxy.server.calls import HEARD, SESSION_HEADER
from proxy.server.guard import anyone_but_pages
from proxy.server.idempotency import HEADER as TWIN_HEADER
from proxy.server.routes import routes
from proxy.server.visit import Listener
from proxy.wire.errors import _CALLERS_OWN
from tests.house.pages import ROOT, Page
from tests.server.running import House

PAGE = Page(ROOT / "docs/calling.md")
SHOWN = set(PAGE.spans)
MAKERS = {"Told", "bad_request", "unavailable", "_told", "_refused"}
"""What errors for callers are made with."""
WORD = re.compile(r"[a-z]+(?:_[a-z]+)*")
OTHERS: Mapping[str, str] = {
    "invalid_request_error": "a type",
    "permission_error": "a type",
    "rate_limit_error": "a type",
    "server_error": "a type",
    "requests": "a type",
    "model": "a param",
    "response_format": "a param",
}


def trees() -> Iterator[ast.Module]:
    for path in (ROOT / "proxy").rglob("*.py"):
        if "simulator" not in path.parts:  # its errors are vendors'
            yield ast.parse(path.read_text("utf-8"))


def codes(tree: ast.Module) -> Iterator[str]:
    """The words in calls that make an error, be they written there or a constant of the module."""
    constants = {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for call in ast.walk(tree):
        name = getattr(getattr(call, "func", None), "id", getattr(getattr(call, "func", None), "attr", None))
        if name in MAKERS:
            named = [keyword.value for keyword in call.keywords if keyword.arg == "code"]
            for given in [*call.args, *named]:
                for each in [given.body, given.orelse] if isinstance(given, ast.IfExp) else [given]:
                    word = (
                        constants.get(each.id) if isinstance(each, ast.Name) else getattr(each, "value", None)
                    )
                    if isinstance(word, str) and WORD.fullmatch(word):
                        yield word


TOLD = {code for tree in trees() for code in codes(tree)} | {code for code in _CALLERS_OWN.values() if code}


def test_the_codes_are_found():
    assert {"upstream_error", "off_schema", "invalid_type", "keys_unavailable", "overloaded"} < TOLD
    assert len(TOLD) > 40


def test_every_code_that_a_caller_may_be_told_is_in_the_list():
    [rows] = [rows for (head, *rows) in PAGE.tables if head[0] == "`code`"]
    listed = {code for row in rows for code in re.findall(r"`([a-z_]+)`", row[0])}
    assert listed == TOLD - OTHERS.keys()


def test_every_endpoint_for_callers_is_in_the_list():
    entries = routes(House().service(), anyone_but_pages(()))
    public = {f"{entry.method} {entry.path}" for entry in entries if Listener.PUBLIC in entry.listeners}
    assert not public - SHOWN


def test_every_header_that_is_heard_is_in_the_list():
    assert not {*HEARD, SESSION_HEADER, TWIN_HEADER} - SHOWN


@pytest.fixture(scope="module")
def own():
    """Headers of our own that stand as a text of their own somewhere in the program."""
    texts = {
        node.value
        for tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return {text for text in texts if re.fullmatch(r"x-(fallthrough|request|client|should)[a-z-]+", text)}


def test_every_header_of_an_answer_is_in_the_list(own):
    of_explain = {"x-fallthrough-tenant", "x-fallthrough-key"}  # of the admin listener: docs/operating.md
    assert "x-fallthrough-attempts" in own
    assert not own - of_explain - SHOWN
