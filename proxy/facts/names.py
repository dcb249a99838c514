"""How a model's name leads to what is known of it: rules of spelling, no data.

Vendors write one model in several ways: `claude-opus-4.5` and `claude-opus-4-5`, with the day of a snapshot,
with `-latest`, with `models/` before it. `packaged.py` looks names up by these rules, and the tool that
makes its file leaves out what they find anyway. They only ever take away what is known to say no more
than *when*: a word they do not know (`-pro`, `-audio-preview`) makes it another model, of which nothing
is known.
"""

import re
from collections.abc import Iterator

_DAY = re.compile(r"-(?:20\d{6}|20\d\d-\d\d-\d\d|latest)$")
_VERSION = re.compile(
    r"-(?:20\d{6}|20\d\d-\d\d-\d\d|\d\d-20\d\d|\d\d-\d\d|\d{3,4}|latest|preview|exp|experimental)$"
)
"""What may follow the name of a family: its members are known to differ in their age alone."""


def plain(name: str) -> str:
    """The one spelling under which a name is kept; of a fine-tuned model that of what it was made from."""
    text = name.lower().removeprefix("models/").replace(".", "-").replace("@", "-")
    return ":".join(text.split(":")[:2]) if text.startswith("ft:") else text


def shorter(name: str) -> str:
    """The plain `name` without the day of a snapshot."""
    return _DAY.sub("", name)


def spellings(name: str) -> Iterator[str]:
    """The plain names under which `name` may be known, nearest first; families end in `*`."""
    text = plain(name)
    yield text
    yield text + "*"
    yield shorter(text)
    while found := _VERSION.search(text):
        text = text[: found.start()]
        yield text + "*"
