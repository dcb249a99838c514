"""Pictures, sounds and files that a caller puts into the request itself.

Dialects whose upstreams want a media type and plain base64 call this. Nothing is ever fetched, and
nothing is decoded but the first few bytes, so that a large file costs no more than a small one.
"""

import re
from base64 import b64decode

from msgspec import Struct

_HEAD = re.compile(r"\s*data:([^,;]*)((?:;[^,;]*)*),", re.IGNORECASE)
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"%PDF-", "application/pdf"),
)
_SNIFFED = 24
"""Characters of base64 that are looked at: 18 bytes."""


class Inline(Struct, frozen=True):
    """Data said inside a request."""

    media_type: str
    """Lower case and without parameters; empty if nothing tells."""
    data: str
    """Base64."""


def parse(url: str) -> Inline | None:
    """What a `data:` URL holds; None if it is none, or is not base64."""
    head = _HEAD.match(url[:1024])
    if head is None:
        return None
    words = [word.strip().lower() for word in head.group(2).split(";")]
    if "base64" not in words:
        return None
    return inline(url[head.end() :], head.group(1))


def inline(data: str, media_type: str = "") -> Inline:
    """Base64 with the media type it shows, or else the one it is said to have."""
    if " " in data or "\n" in data or "\r" in data or "\t" in data:
        data = "".join(data.split())
    said = media_type.strip().lower()
    return Inline(_sniff(data[:_SNIFFED]) or said, data)


def _sniff(opening: str) -> str:
    """The media type that the first bytes give away: a wrong one is refused upstream."""
    try:
        first = b64decode(opening[: len(opening) // 4 * 4])
    except ValueError:
        return ""
    if first[:4] == b"RIFF" and first[8:12] == b"WEBP":
        return "image/webp"
    return next((media_type for magic, media_type in _MAGIC if first.startswith(magic)), "")
