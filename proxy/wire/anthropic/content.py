"""Parts of a message as content blocks.

`messages.py` calls these with a part's place, which a refusal names. Pictures and files go as data
or as links that the upstream fetches; nothing is fetched here. A part that has no block is refused,
because leaving it out would change what is asked; an empty text is left out, because the wire
takes none and nothing is lost.
"""

import base64
import re
from collections.abc import Mapping
from typing import Any

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
_SPACE = re.compile(r"\s+")
_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}", re.ASCII)
_THOUGHTS = frozenset({"thinking", "redacted_thinking", "reasoning"})
"""Parts that some clients replay; without their signature they are worth nothing here."""


def text_block(text: str) -> Block:
    return {"type": "text", "text": text}


def texts(content: Any, place: str) -> list[Block]:
    """The text blocks of content that may hold nothing else (system, assistant, tool result)."""
    if content is None:
        return []
    if isinstance(content, str):
        return [text_block(content)] if content.strip() else []
    blocks: list[Block] = []
    for number, part in enumerate(_parts(content, place)):
        at = f"{place}[{number}]"
        if isinstance(part, dict) and part.get("type") in _THOUGHTS:
            continue
        blocks.extend(_text(part, at))
    return blocks


def user_blocks(content: Any, place: str) -> list[Block]:
    """The blocks of a user's content; never none, for the wire takes no empty turn."""
    if isinstance(content, list):
        blocks = [
            block for number, part in enumerate(content) for block in _user_part(part, f"{place}[{number}]")
        ]
    else:
        blocks = texts(content, place)
    if not blocks:
        raise Unable(place, f"'{place}' is empty, which the upstream does not take.", "invalid_value")
    return blocks


def _parts(content: Any, place: str) -> list[Any]:
    if not isinstance(content, list):
        raise Unable(place, f"'{place}' must be a string or a list of parts.", "invalid_type")
    return content


def _user_part(part: Any, place: str) -> list[Block]:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "image_url":
        return [_marked(_picture(part.get("image_url"), place), part)]
    if kind == "file":
        return [_marked(_file(part.get("file"), place), part)]
    return _text(part, place)


def _text(part: Any, place: str) -> list[Block]:
    text = None
    if isinstance(part, dict) and part.get("type") in {"text", "refusal"}:
        text = part.get(part["type"])
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
        lasting = {"ttl": given["ttl"]} if given.get("ttl") in ("5m", "1h") else {}
        return {"type": "ephemeral", **lasting}
    return {"type": "ephemeral"} if isinstance(part.get("prompt_cache_breakpoint"), dict) else None


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
