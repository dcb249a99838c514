"""Whatever a document names is there: files, tests, links, `make` words, commands, metrics, paths, settings.

What is history (`CHANGELOG.md`, `docs/decisions/`) may name what is gone; only its links are followed.
"""

import ast
import json
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping

import click
import pytest
import yaml

from proxy.cli import cli
from proxy.rehearsal.grammar import LoadPart
from proxy.server.guard import anyone_but_pages
from proxy.server.routes import routes
from tests.house.pages import ROOT, Page, pages, tree
from tests.server.running import House

PAGES = pages("README*.md", "CONTRIBUTING.md", "docs/*.md", "docs/recipes/*.md", "tests/README.md")
LINKING = [*PAGES, *pages("CHANGELOG.md", "docs/decisions/*.md", "bench/README.md", "tests/wire/README.md")]

TOPS = "proxy|tests|docs|config|deploy|tools|bench"
PATH = re.compile(rf"(?<![\w./-])(?:{TOPS})/[\w./*<>-]*[\w/*>]")
FILE = re.compile(r"(?<![\w./<>-])[\w/-]+\.(?:py|sql|toml|md)(?![\w/])")
METRIC = re.compile(r"\b(?:fallthrough|gen_ai)_\w+")
ENDPOINT = re.compile(r"(?:(GET|POST|HEAD) )?(/(?:v1|admin)/[\w/*{}]+|/healthz|/readyz|/metrics)")
SETTING = re.compile(r"(settings|privacy|alerts|timeouts|breaker|retry|load)\.([a-z_]+)")
ALERT = re.compile(r"Fallthrough[A-Z]\w+")
HEADER = re.compile(r"x-[a-z]+(?:-[a-z]+)*(?=$|: )")
SHELL_ENDS = {"|", "||", "&&", "&", ";", ">", "<"}

OTHERS: Mapping[str, str] = {
    "fallthrough_keys": "a schema of PostgreSQL",
    "fallthrough_workers": "told in a sentence beneath the list: only several workers have it",
    "/v1/completions": "not yet",
    "/v1/embeddings": "not yet",
    "/v1/proxy/*": "another program's, in migrating.md",
    "x-ratelimit-limit-tokens": "put together from the unit of a limit",
    "deploy/fallthrough": "as kubectl names what it runs",
}
LABELS = frozenset({"gen_ai_provider_name"})


def by_name(page: Page) -> str:
    return page.name


@pytest.fixture(scope="module")
def there():
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    return tree()


@pytest.fixture(params=PAGES, ids=by_name)
def page(request) -> Page:
    return request.param


@pytest.fixture(params=LINKING, ids=by_name)
def linking(request) -> Page:
    return request.param


def code(page: Page) -> Iterator[str]:
    """All that a page shows as code, but for what a worked example is made of."""
    yield from page.spans
    yield from (block.body for block in page.blocks if not block.path)


def made(page: Page) -> set[str]:
    """The files that a page's own examples make."""
    return {block.path for block in page.blocks if block.path}


def exists(named: str, there: frozenset[str]) -> bool:
    """As a path of the project, or as the end of one; `*` and `<name>` stand for any name."""
    pattern = re.sub(r"\\\*|<[^>]*>", "[^/]+", re.escape(named.rstrip("/")))
    return any(re.fullmatch(f"(?:.*/)?{pattern}", path) for path in there)


def test_every_path_is_in_the_tree(page, there):
    named = {found for text in code(page) for found in PATH.findall(text)} - OTHERS.keys()
    known = there | made(page)
    assert not {each for each in named if not exists(each, known)}


def test_every_file_of_ours_is_somewhere_in_the_tree(page, there):
    named = {found for text in page.spans for found in FILE.findall(text)}
    known = there | made(page)
    assert not {each for each in named if not exists(each, known)}


def test_every_link_leads_somewhere(linking, there):
    lost = []
    for link in linking.links:
        if "://" in link.to:
            continue
        name, _, anchor = link.to.partition("#")
        target = (linking.path.parent / name).resolve() if name else linking.path
        known = target.is_relative_to(ROOT) and target.relative_to(ROOT).as_posix() in there
        if not known or (anchor and anchor not in Page(target).anchors):
            lost.append(link.to)
    assert not lost


def test_a_test_that_is_named_is_in_the_file_that_is_linked(linking):
    lost = []
    for link in linking.links:
        if link.text.startswith("test_") and link.to.endswith(".py"):
            tests = ast.parse((linking.path.parent / link.to).read_text("utf-8")).body
            names = {node.name for node in tests if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
            if link.text not in names:
                lost.append(f"{link.to}: {link.text}")
    assert not lost


def test_every_make_word_is_one(page):
    words = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = {found[1] for line in page.commands() if (found := re.match(r"make ([a-z-]+)", line))}
    assert not named - words


def simple(line: str) -> Iterator[list[str]]:
    """What a line calls of `fallthrough`: its words, without the program's name."""
    words = shell_words(line)
    while words:
        ends = [at for at, word in enumerate(words) if word in SHELL_ENDS]
        one, words = (words[: ends[0]], words[ends[0] + 1 :]) if ends else (words, [])
        while one and re.match(r"[A-Z_]+=", one[0]):
            one = one[1:]
        if "--" in one and one[0] == "kubectl":
            one = one[one.index("--") + 1 :]
        if one and re.fullmatch(r"(\S*/bin/)?fallthrough", one[0]):
            yield one[1:]


def shell_words(line: str) -> list[str]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    try:
        return list(lexer)
    except ValueError:  # prose with an apostrophe
        return []


def wrong(words: list[str]) -> str | None:
    """What the command line would not know of these words."""
    command: click.Command = cli
    while words:
        word, *words = words
        name, given, _ = word.partition("=")
        if name.startswith("--"):
            options = {
                each: option
                for option in command.params
                if isinstance(option, click.Option)
                for each in (*option.opts, *option.secondary_opts)
            }
            if name == "--help":
                continue
            if name not in options:
                return f"{command.name} has no {name}"
            if not given and not options[name].is_flag and not options[name].count:
                words = words[1:]
        elif isinstance(command, click.Group):
            found = command.get_command(click.Context(command), word)
            if found is None:
                return f"{command.name} has no {word}"
            command = found
    return None


def test_every_command_and_option_is_one(page):
    assert not [fault for line in page.commands() for words in simple(line) if (fault := wrong(words))]


def options(command: click.Command) -> Iterator[str]:
    context = click.Context(command)
    for word in command.list_commands(context) if isinstance(command, click.Group) else ():
        if (found := command.get_command(context, word)) is not None:
            yield from options(found)
    yield from (name for each in command.params for name in each.opts if name.startswith("--"))


def test_every_option_is_in_a_document():
    shown = "\n".join(text for page in PAGES for text in code(page))
    known = set(options(cli))
    assert "--simulator-script" in known
    assert not known - {"--version"} - set(re.findall(r"--[a-z-]+", shown))


@pytest.mark.parametrize(
    "line", ["fallthrough serv", "fallthrough usage --wen 1", "A=b .venv/bin/fallthrough keys mak"]
)
def test_a_wrong_command_is_seen(line):
    assert [fault for words in simple(line) if (fault := wrong(words))]


def test_every_metric_has_its_row_in_the_list(page):
    """`tests/deploy/test_metrics.py` holds the list to what a running proxy tells."""
    operating = Page(ROOT / "docs/operating.md")
    listed = {metric for rows in operating.tables for row in rows for metric in METRIC.findall(row[0])}
    named = {found for text in code(page) for found in METRIC.findall(text)} - OTHERS.keys()
    assert not {each for each in named if re.sub("_(bucket|count|sum)$", "", each) not in listed | LABELS}


def test_every_endpoint_is_routed(page):
    served = {(entry.method, entry.path) for entry in routes(House().service(), anyone_but_pages(()))}
    paths = {path for _, path in served}
    lost = []
    for span in page.spans:
        if (found := ENDPOINT.fullmatch(span)) and found[2] not in OTHERS:
            method, path = found.groups()
            if path not in paths or (method in {"GET", "POST"} and (method, path) not in served):
                lost.append(span)
    assert not lost


def test_what_is_said_to_be_missing_is_missing():
    paths = {entry.path for entry in routes(House().service(), anyone_but_pages(()))}
    assert not paths & OTHERS.keys()


def test_every_setting_is_in_the_grammar(page):
    schema = json.loads((ROOT / "config/schema.json").read_text("utf-8"))
    known = {
        name for part in every(schema) for name in part.get("properties", {})
    } | LoadPart.model_fields.keys()
    named = {found for span in page.spans if (found := SETTING.fullmatch(span))}
    assert not {found[0] for found in named if not {found[1], found[2]} <= known}


def every(part: object) -> Iterator[dict]:
    """Every object within a JSON document."""
    if isinstance(part, dict):
        yield part
    for each in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from every(each)


def test_every_alert_is_one(page):
    rules = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yaml").read_text("utf-8"))
    known = {rule["alert"] for group in rules["groups"] for rule in group["rules"]}
    assert not {found for span in page.spans for found in ALERT.findall(span)} - known


def test_every_header_is_known_to_the_program(page):
    known = "\n".join(path.read_text("utf-8") for path in (ROOT / "proxy").rglob("*.py"))
    named = {found[0] for span in page.spans if (found := HEADER.match(span))} - OTHERS.keys()
    assert not {each for each in named if each not in known}
