"""Parts of a message's content, in the form that one upstream takes.

`openai_messages.py` calls `fit_content`. What a caller shows or says is never left out: a part that
an upstream cannot take raises `Unable`, which names its place. Nothing is fetched.
"""

from typing import Any

from proxy.abilities import Capabilities
from proxy.wire.data_url import Inline, inline, parse
from proxy.wire.openai_fit import Fit
from proxy.wire.unable import Unable

_DATA_IMAGES = frozenset({"image/jpeg", "image/jpg", "image/png", "image/webp"})
_PDF = "application/pdf"
_IMAGE_MEMBERS = ("url", "detail")


def fit_content(parts: list[Any], fit: Fit, place: str) -> Any:
    """A list of parts as the upstream takes it, or as one text."""
    if fit.able.flatten_content:
        return "".join(_flat(part, f"{place}[{number}]") for number, part in enumerate(parts))
    return [_part(part, fit, f"{place}[{number}]") for number, part in enumerate(parts)]


def is_settled(parts: list[Any], able: Capabilities) -> bool:
    """Whether a server that knows all of OpenAI's parts takes these as they are."""
    return all(not isinstance(part, dict) or able.strip_inside.isdisjoint(part) for part in parts)


def _flat(part: Any, place: str) -> str:
    text = part.get("text", part.get("refusal")) if isinstance(part, dict) else part
    if not isinstance(text, str):
        raise Unable(place, "The upstream takes no content but text.")
    return text


def _part(part: Any, fit: Fit, place: str) -> Any:
    if not isinstance(part, dict):
        raise Unable(place, f"'{place}' must be an object.", "invalid_type")
    able = fit.able
    kind = part.get("type")
    out = {name: value for name, value in part.items() if name not in able.strip_inside}
    if kind == "text":
        return out if able.extra_message_members else {"type": "text", "text": part.get("text")}
    if kind == "refusal":
        return out if able.answer_members else {"type": "text", "text": part.get("refusal")}
    if kind == "image_url":
        return _image(out, able, place)
    if kind == "input_audio":
        return _audio(out, able, place)
    if kind == "file":
        return _file(out, able, place)
    if not able.extra_message_members:
        raise Unable(place, "The upstream does not know this kind of content.")
    return out


def _image(part: dict[str, Any], able: Capabilities, place: str) -> dict[str, Any]:
    if able.images == "none":
        raise Unable(place, "The upstream takes no pictures.")
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, dict) else image
    if able.images == "data":
        shown = parse(url) if isinstance(url, str) else None
        if shown is None or shown.media_type not in _DATA_IMAGES:
            raise Unable(
                place, "The upstream takes no pictures but JPEG, PNG and WebP inside the request itself."
            )
        # What it shows counts, not what it is said to be: the upstream believes the words.
        url = f"data:{shown.media_type};base64,{shown.data}"
        image = {**image, "url": url} if isinstance(image, dict) else {"url": url}
        part = {**part, "image_url": image}
    if able.extra_message_members:
        return part
    said = image if isinstance(image, dict) else {"url": url}
    kept = {name: said[name] for name in _IMAGE_MEMBERS if said.get(name) is not None}
    return {"type": "image_url", "image_url": kept}


def _audio(part: dict[str, Any], able: Capabilities, place: str) -> dict[str, Any]:
    if able.audio == "none":
        raise Unable(place, "The upstream takes no sound.")
    if able.audio == "object":
        return part
    sound = part.get("input_audio")
    data = sound.get("data") if isinstance(sound, dict) else sound
    if not isinstance(data, str):
        raise Unable(f"{place}.input_audio.data", f"'{place}.input_audio.data' must be text.", "invalid_type")
    return {"type": "input_audio", "input_audio": data}


def _file(part: dict[str, Any], able: Capabilities, place: str) -> dict[str, Any]:
    if able.files == "any":
        return part
    if able.files == "none":
        raise Unable(place, "The upstream takes no files.")
    file = part.get("file")
    given = file.get("file_data") if isinstance(file, dict) else None
    held = _held(given) if isinstance(given, str) else None
    if held is None or held.media_type != _PDF:
        raise Unable(place, "The upstream takes no files but PDF inside the request itself.")
    out = {"type": "document_url", "document_url": f"data:{_PDF};base64,{held.data}"}
    name = file.get("filename") if isinstance(file, dict) else None
    return out | {"document_name": name} if isinstance(name, str) else out


def _held(given: str) -> Inline | None:
    """What a file holds: some write a data URL, some plain base64."""
    return parse(given) if given.lstrip()[:5].lower() == "data:" else inline(given)
