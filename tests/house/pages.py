"""The documents, taken apart: headings, blocks of code, spans of code, links, tables.

`test_pages.py`, `test_extending.py` and `test_translated.py` read them by this. It judges nothing,
and knows just as much of Markdown as these documents use.
"""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<info>[^\n]*)\n(?P<body>.*?)^(?P=indent)```$", re.DOTALL | re.MULTILINE
)
_SPAN = re.compile(r"(`+)(?!`)(.+?)(?<!`)\1(?!`)")
_LINK = re.compile(r"(?P<image>!?)\[(?P<text>(?:[^\[\]]|\[[^\]]*\])*)\]\((?P<to>[^)\s]+)\)")
_HEADING = re.compile(r"^(#+) +(.+)$", re.MULTILINE)
_CELL = re.compile(r"(?<!\\)\|")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced piece of code."""

    info: str
    """What stands behind the fence: a language, and the file that the code is for, if any."""
    body: str

    @property
    def language(self) -> str:
        return self.info.partition(" ")[0]

    @property
    def path(self) -> str:
        return self.info.partition(" ")[2]


@dataclass(frozen=True, slots=True)
class Link:
    """Where a text leads."""

    text: str
    to: str


@dataclass(frozen=True)
class Page:
    """One document."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @cached_property
    def text(self) -> str:
        return self.path.read_text("utf-8")

    @cached_property
    def blocks(self) -> list[Block]:
        return [
            Block(found["info"].strip(), re.sub(f"^{found['indent']}", "", found["body"], flags=re.MULTILINE))
            for found in _FENCE.finditer(self.text)
        ]

    @cached_property
    def prose(self) -> str:
        """All but the blocks."""
        return _FENCE.sub("", self.text)

    @cached_property
    def spans(self) -> list[str]:
        """What stands between backticks within a line."""
        return [found[2].strip() for found in _SPAN.finditer(self.prose)]

    @cached_property
    def links(self) -> list[Link]:
        return [Link(found["text"].strip("`"), found["to"]) for found in _LINK.finditer(self.prose)]

    @cached_property
    def headings(self) -> list[tuple[int, str]]:
        """Level and title, in order."""
        return [(len(found[1]), found[2].strip()) for found in _HEADING.finditer(self.prose)]

    @cached_property
    def anchors(self) -> set[str]:
        """What a link may say behind `#`, by the rule of the places where people read this."""
        return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for _, title in self.headings}

    @cached_property
    def tables(self) -> list[list[list[str]]]:
        """Every table as rows of cells, its head first, without the line of dashes."""
        found: list[list[list[str]]] = [[]]
        for line in self.prose.splitlines():
            if line.startswith("|"):
                found[-1].append([cell.strip() for cell in _CELL.split(line.strip().strip("|"))])
            elif found[-1]:
                found.append([])
        return [[row for at, row in enumerate(rows) if at != 1] for rows in found if rows]

    def commands(self) -> Iterator[str]:
        """Every line that one would type: of shell blocks, and spans that look like one."""
        for block in self.blocks:
            if block.language in {"sh", "console"}:
                yield from block.body.replace("\\\n", " ").splitlines()
        yield from self.spans


def pages(*patterns: str) -> list[Page]:
    """The documents of these names, in order."""
    return [Page(path) for pattern in patterns for path in sorted(ROOT.glob(pattern))]


def tree() -> frozenset[str]:
    """Every file and folder of the project, without what is made or ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=True, text=True,
    )  # fmt: skip
    files = {name for name in listed.stdout.split("\0") if name and (ROOT / name).exists()}
    folders = {parent.as_posix() for name in files for parent in Path(name).parents}
    return frozenset(files | folders - {"."})
