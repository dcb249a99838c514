"""A whole answer that is told piece by piece, with its length first.

`calls.py` makes one where the answer's bytes belong to several calls: none of them may put all of it
into a buffer of its own, for then asking again and again and reading nothing would cost us everything.
Like its kin it waits when the buffer is full, and ends nothing that was not finished.
"""

from collections.abc import Mapping

from proxy.server.caller import Stream
from proxy.server.shapes import JSON


class Measured(Stream):
    """The bare bytes of a body whose `content-length` is among the headers."""

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        self._headers["content-type"] = JSON
        self._headers |= headers
        self._head = self._line.head(self._request, status, self._headers)
