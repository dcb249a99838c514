"""The content of a message as Gemini's parts.

`contents.py` calls it. Empty text is left out, because Gemini refuses empty parts; what would have
to be fetched, or lies at another vendor, cannot be said here at all.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from proxy.wire.data_url import Inline, inline, parse
from proxy.wire.unable import Unable

Part = dict[str, Any]

_SOUNDS: Mapping[str, str] = {"wav": "audio/wav", "mp3": "audio/mp3"}


def texts(content: Any, where: str) -> list[Part]:
    """The parts of a content that may only be text."""
    return _full(_text_only(item, place) for item, place in _items(content, where))


def parts(content: Any, where: str) -> list[Part]:
    """The parts of a user's content."""
    return _full(_part(item, place) for item, place in _items(content, where))


def _full(found: Iterable[Part]) -> list[Part]:
    return [part for part in found if part.get("text") != ""]


def _items(content: Any, where: str) -> list[tuple[dict[str, Any], str]]:
    """The pieces of a content, each with its place."""
    if content is None or content == "":
        return []
    if isinstance(content, str):
        return [({"type": "text", "text": content}, where)]
    if not isinstance(content, list):
        raise Unable(where, f"'{where}' must be a string or a list of parts.", "invalid_type")
    items = [(item, f"{where}[{number}]") for number, item in enumerate(content)]
    for item, place in items:
        if not isinstance(item, dict):
            raise Unable(place, f"'{place}' must be an object.", "invalid_type")
    return items


def _text_only(item: dict[str, Any], where: str) -> Part:
    kind = item.get("type", "text")
    if kind not in ("text", "refusal"):
        raise Unable(where, f"'{where}' can only be text here.")
    return {"text": _string(item, kind, where)}


def _part(item: dict[str, Any], where: str) -> Part:
    match item.get("type", "text"):
        case "image_url":
            return _blob(_image(item.get("image_url"), where), where)
        case "input_audio":
            return _blob(_sound(item.get("input_audio"), where), where)
        case "file":
            return _blob(_file(item.get("file"), where), where)
        case _:
            return _text_only(item, where)


def _image(image: Any, where: str) -> Inline:
    url = image.get("url") if isinstance(image, dict) else image
    found = parse(url) if isinstance(url, str) else None
    if found is None:
        raise Unable(f"{where}.image_url.url", "Pictures must be base64 data URLs; nothing is fetched.")
    return found


def _sound(sound: Any, where: str) -> Inline:
    data = sound.get("data") if isinstance(sound, dict) else None
    form = sound.get("format") if isinstance(sound, dict) else None
    if not isinstance(data, str) or not isinstance(form, str) or form not in _SOUNDS:
        raise Unable(f"{where}.input_audio", "Sounds must be base64 data in wav or mp3.")
    return inline(data, _SOUNDS[form])


def _file(file: Any, where: str) -> Inline:
    data = file.get("file_data") if isinstance(file, dict) else None
    if not isinstance(data, str):
        raise Unable(f"{where}.file", "Files must hold their data; ids of another vendor mean nothing here.")
    return parse(data) or inline(data)


def _blob(found: Inline, where: str) -> Part:
    if not found.media_type or not found.data:
        raise Unable(where, f"The media type of '{where}' is not known.", "invalid_value")
    return {"inlineData": {"mimeType": found.media_type, "data": found.data}}


def _string(item: dict[str, Any], name: str, where: str) -> str:
    value = item.get(name)
    if not isinstance(value, str):
        raise Unable(f"{where}.{name}", f"'{where}.{name}' must be a string.", "invalid_type")
    return value
