"""Parts of a message as content blocks.

`messages.py` calls these with a part's place, which a refusal names. Pictures and files go as data
or as links that the upstream fetches; nothing is fetched here. A part that has no block is refused,
because leaving it out would change what is asked, whatever the leeway; an empty text is left out,
because the wire takes none and nothing is lost. Only traces of an upstream's own tools in an answer
may, with leeway, be left out: what they led to stands in the answer's text.
"""

import base64
import re
from collections.abc import Mapping
from typing import Any

from proxy.wire.leeway import Leeway
from proxy.wire.unable import Unable

Block = dict[str, Any]

_DATA_URL = re.compile(r"(?i)data:([^,]*),")
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"%PDF", "application/pdf"),
)
_PICTURES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
_LIFETIMES: Mapping[str, str] = {"12h": "1h"}
"""OpenAI's lifetimes of a cached prefix that deserve the longer of the wire's two."""
_SPACE = re.compile(r"\s+")
_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}", re.ASCII)
_WORDS = frozenset({"text", "refusal"})
"""Parts that are text, under a member of the same name."""
_THOUGHTS = frozenset({"thinking", "redacted_thinking", "reasoning"})
"""Parts that some clients replay; without their signature they are worth nothing here."""
_TRACES = re.compile(r"(?:server|mcp)_tool_use|[a-z_]+_tool_result|compaction|container_upload|fallback")
"""Parts by which an upstream told of tools that it ran itself."""


def text_block(text: str) -> Block:
    return {"type": "text", "text": text}


def joined(content: Any) -> str:
    """All the text of content that `texts` takes, to the letter."""
    if not isinstance(content, list):
        return content if isinstance(content, str) else ""
    return "".join(part[_kind(part)] for part in content if _kind(part) in _WORDS)


def texts(content: Any, place: str, leeway: Leeway) -> list[Block]:
    """The text blocks of content that may hold nothing else (system, assistant, tool result)."""
    if content is None:
        return []
    if isinstance(content, str):
        return [text_block(content)] if content.strip() else []
    blocks: list[Block] = []
    for number, part in enumerate(_parts(content, place)):
        at = f"{place}[{number}]"
        kind = _kind(part)
        if kind in _THOUGHTS:
            continue
        if _TRACES.fullmatch(kind):
            leeway.lose(at, f"The upstream cannot take the content at '{at}'.")
            continue
        blocks.extend(_text(part, at))
    return blocks


def user_blocks(content: Any, place: str, leeway: Leeway) -> list[Block]:
    """The blocks of a user's content; never none, for the wire takes no empty turn."""
    if isinstance(content, list):
        blocks = [
            block for number, part in enumerate(content) for block in _user_part(part, f"{place}[{number}]")
        ]
    else:
        blocks = texts(content, place, leeway)
    if not blocks:
        raise Unable(place, f"'{place}' is empty, which the upstream does not take.", "invalid_value")
    return blocks


def _kind(part: Any) -> str:
    """What a part says it is; "" if it does not."""
    kind = part.get("type") if isinstance(part, dict) else None
    return kind if isinstance(kind, str) else ""


def _parts(content: Any, place: str) -> list[Any]:
    if not isinstance(content, list):
        raise Unable(place, f"'{place}' must be a string or a list of parts.", "invalid_type")
    return content


def _user_part(part: Any, place: str) -> list[Block]:
    kind = _kind(part)
    if kind == "image_url":
        return [_marked(_picture(part.get("image_url"), place), part)]
    if kind == "file":
        return [_marked(_file(part.get("file"), place), part)]
    return _text(part, place)


def _text(part: Any, place: str) -> list[Block]:
    kind = _kind(part)
    text = part.get(kind) if kind in _WORDS else None
    if not isinstance(text, str):
        raise Unable(place, f"The upstream cannot take the content at '{place}'.")
    return [_marked(text_block(text), part)] if text.strip() else []


def _marked(block: Block, part: Mapping[str, Any]) -> Block:
    """The block with the caller's wish to have everything up to it cached."""
    control = cache_control(part)
    if control is not None:
        block["cache_control"] = control
    return block


def cache_control(part: Mapping[str, Any]) -> dict[str, str] | None:
    """A cache breakpoint in either of the forms that clients use."""
    given = part.get("cache_control")
    if isinstance(given, dict) and given.get("type") == "ephemeral":
        return _breakpoint("1h" if given.get("ttl") == "1h" else None)
    given = part.get("prompt_cache_breakpoint")
    return _breakpoint(_LIFETIMES.get(str(given.get("ttl")))) if isinstance(given, dict) else None


def _breakpoint(lifetime: str | None) -> dict[str, str]:
    """The wire's own; without a lifetime it is the shorter of its two."""
    return {"type": "ephemeral"} if lifetime is None else {"type": "ephemeral", "ttl": lifetime}


def _picture(given: Any, place: str) -> Block:
    url = given.get("url") if isinstance(given, dict) else given
    if isinstance(url, str) and re.match(r"(?i)https?://", url):
        return {"type": "image", "source": {"type": "url", "url": url}}
    media, data = _data(url, place)
    if media not in _PICTURES:
        raise Unable(place, f"The picture at '{place}' must be JPEG, PNG, GIF or WebP.", "invalid_value")
    return {"type": "image", "source": {"type": "base64", "media_type": media, "data": data}}


def _file(given: Any, place: str) -> Block:
    if not isinstance(given, dict) or given.get("file_data") is None:
        raise Unable(place, f"The upstream knows no file ids: '{place}' must bring its data.")
    media, data = _data(given["file_data"], place)
    if media == "application/pdf":
        return {"type": "document", "source": {"type": "base64", "media_type": media, "data": data}}
    if media != "text/plain":
        raise Unable(place, f"The file at '{place}' must be PDF or plain text.", "invalid_value")
    try:
        text = base64.b64decode(data).decode()
    except ValueError:
        raise Unable(place, f"The file at '{place}' is not text in UTF-8.", "invalid_value") from None
    return {"type": "document", "source": {"type": "text", "media_type": media, "data": text}}


def _data(given: Any, place: str) -> tuple[str, str]:
    """Media type and base64 of a data URL; what the bytes say of their type wins."""
    if not isinstance(given, str):
        raise Unable(place, f"'{place}' holds no data.", "invalid_type")
    head = _DATA_URL.match(given)
    said = ""
    if head is not None:
        said, _, coding = head[1].lower().replace(" ", "").rpartition(";")
        if coding != "base64":
            raise Unable(place, f"The data URL at '{place}' must be in base64.", "invalid_value")
        said = said.partition(";")[0]
    data = _SPACE.sub("", given[head.end() :] if head else given)
    if not data or len(data) % 4 == 1 or _BASE64.fullmatch(data) is None:
        raise Unable(place, f"The data at '{place}' is not base64.", "invalid_value")
    data = data.rstrip("=")
    data += "=" * (-len(data) % 4)
    return _media(data) or said, data


def _media(data: str) -> str | None:
    """What the first bytes say."""
    start = base64.b64decode(data[:24])
    for magic, media in _MAGIC:
        if start.startswith(magic):
            return media
    return "image/webp" if start[:4] == b"RIFF" and start[8:12] == b"WEBP" else None
