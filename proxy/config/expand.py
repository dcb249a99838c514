"""`${NAME}`, `${NAME:-default}` and `${file:/path}` inside a text.

Called for every text value of the file, never for keys. `$${` stands for a literal `${`. What comes
out is never expanded again, so a secret that happens to hold `${` stays itself. References do not nest: a
default is plain text.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import Struct

from proxy.config.regular import NotRegular, read_regular

FILE_MAX = 64 * 1024
"""Bytes of a secret file: a key, not a device or a log."""

_REFERENCE = re.compile(
    r"\$\$\{|\$\{file:(?P<file>[^}]*)\}|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<default>:-[^}]*)?\}|\$\{"
)


class BadReference(Exception):
    """A reference that cannot be resolved; the message says why without showing any value."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy


class Unset(Exception):
    """A variable that has no value and no default."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def unread(name: str) -> str:
    """A secret that is none of our business: as if nobody had set it."""
    raise Unset(f"file:{name}")


def _read(name: str) -> str:
    path = Path(name)
    if not path.is_absolute() or "\0" in name:
        raise BadReference("${file:…} needs an absolute path", "write ${file:/run/secrets/NAME}")
    try:
        data = read_regular(path, FILE_MAX + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise BadReference("the file of ${file:…} is not there", "mount it, or correct the path") from None
    except (NotRegular, IsADirectoryError):
        raise BadReference(
            "the file of ${file:…} is not a regular file", "mount one, or correct the path"
        ) from None
    except OSError as error:
        raise BadReference(
            f"the file of ${{file:…}} cannot be read ({error.strerror})", "let this process read it"
        ) from None
    if len(data) > FILE_MAX:
        raise BadReference("the file of ${file:…} is too large", f"keep it under {FILE_MAX // 1024} KiB")
    try:
        return data.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise BadReference("the file of ${file:…} is not UTF-8", "write it as UTF-8 text") from None


def _judge_form(found: re.Match[str]) -> None:
    """Refuse what only begins like a reference, and one inside another: the first `}` would end both."""
    if found[0] == "${":
        raise BadReference(
            "`${` begins no reference",
            "write ${NAME}, ${NAME:-default} or ${file:/path}, or $${ for a literal ${",
        )
    if re.search(r"(?<!\$)\$\{", found["default"] or found["file"] or ""):
        raise BadReference(
            "a reference inside another is not filled in",
            "write ${NAME} and set that variable, or plain text after the :-",
        )


class Expander(Struct, frozen=True):
    """Fills references from one environment."""

    environ: Mapping[str, str]
    secret: Callable[[str], str] = _read
    """What stands in a file, by its path; raises `BadReference` or `Unset`."""

    def expand(self, text: str) -> str | None:
        """`text` with its references filled in; None when it is only an empty default.

        A value that is nothing but `${NAME:-}` thus means *not written* while NAME has no value.
        """
        if "${" not in text:
            return text
        for found in _REFERENCE.finditer(text):
            _judge_form(found)  # all of them first: a variable that is not set hides no mistake
        result = _REFERENCE.sub(self._fill, text)
        if not result and re.fullmatch(r"\$\{\w+:-\}", text):
            return None
        return result

    def _fill(self, found: re.Match[str]) -> str:
        if found[0] == "$${":
            return "${"
        if found["file"] is not None:
            return self.secret(found["file"])
        value = self.environ.get(found["name"])
        if found["default"] is not None:
            return value or found["default"][2:].replace("$${", "${")
        if value is None:
            raise Unset(found["name"])
        return value
