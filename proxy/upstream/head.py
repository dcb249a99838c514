"""The head of an upstream's answer as it came: its headers become texts when somebody asks for one.

`connection.py` makes one of the lines that the parser found. Of a good answer nobody asks, so that most
heads are never more than bytes. It judges nothing.
"""

from collections.abc import Iterator, Mapping, Sequence

IDENTITY = "identity"


class Head(Mapping[str, str]):
    """Headers by lower-case name; of a name that comes twice the last one."""

    __slots__ = ("_known", "_names", "_values")

    def __init__(self, names: Sequence[bytes] = (), values: Sequence[bytes] = ()) -> None:
        self._names = names
        self._values = values
        self._known: dict[str, str] | None = None

    @property
    def encoded(self) -> bool:
        """Whether the body is another than the bare one."""
        if b"content-encoding" not in b"\n".join(self._names).lower():
            return False  # as of most
        return self.get("content-encoding", IDENTITY).lower() != IDENTITY

    def __getitem__(self, name: str) -> str:
        return self._made()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._made())

    def __len__(self) -> int:
        return len(self._made())

    def _made(self) -> dict[str, str]:
        if self._known is None:
            names = [name.decode("latin-1").lower() for name in self._names]
            values = [value.decode("utf-8", "surrogateescape") for value in self._values]
            self._known = dict(zip(names, values, strict=True))
        return self._known
