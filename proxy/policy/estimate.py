"""The most that a call can use, known before anything is sent.

`judgement.py` asks once for each call. The estimate is an upper bound, never a guess, and holds wherever on
its route the call is answered; what is put back into the history on the way up is `judgement.py`'s to add. No
tokenizer is asked: text and sound make no more tokens than bytes, what pictures and documents may come to
is a bound of each target (`table.Media`), and what models think counts inside the maximum. Where an upstream
heeds no maximum, what it used beyond is recorded when the call settles, and the limit is overdrawn by that.
"""

import math
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from proxy.call import Call
from proxy.policy.prompt import Prompt
from proxy.table import Route, Target
from proxy.usage import BYTES_PER_TOKEN

BASE_TOKENS = 32
"""What a chat template adds around the whole prompt."""
MESSAGE_TOKENS = 16
"""What it adds around one message or tool."""
_BYTES = frozenset({"text", "refusal", "input_audio", "input_text", "output_text", "thinking"})
"""Kinds of content part that are text, or sound, which makes fewer tokens than bytes however dense it is."""
_ANSWERS = ("n", "best_of")
_MAXIMA = ("max_completion_tokens", "max_tokens")
_SIZING = frozenset({*_ANSWERS, *_MAXIMA, "prediction"})
"""Members that say how much is to be answered; of a call without any the route says it."""
_PICTURE = frozenset({"image_url", "detail", "uuid"})
"""Members of a part that does not say its kind but is a picture and nothing else."""
_ANYONE = Target("", "")
"""Of a route without targets, which no table has."""
TOKENS_MAX = 10**12
"""No limit is anywhere near; it keeps absurd requests inside a ledger's 64-bit integers."""


class Estimate(Struct, frozen=True):
    """Upper bounds on what a call can use."""

    input_tokens: int
    output_tokens: int

    @property
    def total(self) -> int:
        """What token limits hold."""
        return self.input_tokens + self.output_tokens


def estimate(call: Call, route: Route, prompt: Prompt) -> Estimate:
    """The most tokens that `call` can use on `route`, wherever it is answered.

    No tokenizer makes more tokens than bytes; what the bytes do not show (templates, media, tools printed
    anew, tokens that were predicted and then thrown away) is added.
    """
    body, defaults = call.body, route.defaults
    tokens = call.prompt_bytes + BASE_TOKENS + MESSAGE_TOKENS * prompt.messages
    if prompt.others:
        tokens += _other_tokens(prompt, route)
    if defaults:
        tokens += _printed(dict(defaults))
    if "tools" in body or "functions" in body:
        tokens += _tool_tokens(body)
    silent = not defaults and _SIZING.isdisjoint(body)
    output = route.max_output_tokens if silent else _output(body, route)
    return Estimate(tokens, min(output, TOKENS_MAX))


def unreported_bytes(call: Call, route: Route, prompt: Prompt) -> int:
    """The bytes by which the prompt of `call` is charged where nobody reports its tokens, four to each.

    The data of a picture are no text: in their stead stands the most that its tokens can be on `route`, so
    that no more is charged for it than was held.
    """
    tally = _Tally()
    for _, message in prompt.others:
        _count_message(message, tally)
    if not tally.picture_bytes:
        return call.prompt_bytes
    tokens = _media_tokens(_Tally(pictures=tally.pictures), route)
    return min(call.prompt_bytes, call.prompt_bytes - tally.picture_bytes + BYTES_PER_TOKEN * tokens)


def _other_tokens(prompt: Prompt, route: Route) -> int:
    """What messages with more to them than a text hold besides their bytes."""
    tally = _Tally()
    for _, message in prompt.others:
        _count_message(message, tally)
    return tally.around + _media_tokens(tally, route)


class _Tally(Struct):
    """What is found in messages."""

    around: int = 0
    """Tokens of the template."""
    pictures: int = 0
    picture_bytes: int = 0
    """Of data URLs."""
    documents: int = 0
    """And all else that is no text."""


def _count_message(message: Mapping[str, Any], tally: _Tally) -> None:
    if message.get("audio"):  # an earlier answer that was spoken, named here and kept elsewhere
        tally.documents += 1
    content = message.get("content")
    if isinstance(content, list):
        tally.around += MESSAGE_TOKENS * len(content)
        for part in content:
            if isinstance(part, dict):
                _count_part(part, tally)


def _count_part(part: Mapping[str, Any], tally: _Tally) -> None:
    """Some upstreams need no `type`, or have more of them: what is not known to be harmless is a document."""
    kind = part.get("type")
    if kind is None:
        members = part.keys() - {"type"}
        kind = "text" if members <= _BYTES else "image_url" if members <= _PICTURE else ""
    if not isinstance(kind, str) or kind not in _BYTES:
        if kind == "image_url":
            tally.pictures += 1
            tally.picture_bytes += _data_bytes(part.get("image_url"))
        elif kind != "file" or not _is_text(part.get("file")):
            tally.documents += 1


def _data_bytes(picture: Any) -> int:
    """The size of a picture that is here, and not behind a link."""
    url = picture.get("url") if isinstance(picture, Mapping) else picture
    return len(url) if isinstance(url, str) and url[:5].lower() == "data:" else 0


def _is_text(file: Any) -> bool:
    """Whether a file says it is text, and has its data here: no more tokens than bytes."""
    data = file.get("file_data") if isinstance(file, Mapping) else None
    return isinstance(data, str) and data[:10].lower() == "data:text/"


def _media_tokens(tally: _Tally, route: Route) -> int:
    """What pictures and documents come to, at most, at the target that counts most for them.

    However many there are, they cannot be more than a model reads; of documents nothing else is known.
    """
    if not tally.pictures and not tally.documents:
        return 0
    most = 0
    for target in route.targets or (_ANYONE,):
        context = target.facts.context or target.media.context
        most = max(most, context if tally.documents else min(context, tally.pictures * target.media.image))
    return most


def _tool_tokens(body: Mapping[str, Any]) -> int:
    """Templates print tools anew, indented: more tokens than the caller's compact bytes."""
    tools = _list(body.get("tools")) + _list(body.get("functions"))
    return _printed(tools) + MESSAGE_TOKENS * len(tools) if tools else 0


def _printed(value: Any) -> int:
    """Bytes of a value written out with spaces: no fewer than tokens of it, however it is written."""
    return len(repr(value).encode(errors="replace")) if value else 0


def _output(body: Mapping[str, Any], route: Route) -> int:
    """Of some answers only the best are shown, but all are counted.

    Of two maxima the larger one counts: which of them is sent depends on the upstream.
    """
    defaults = route.defaults
    answers = _largest({**defaults, **body} if defaults else body, _ANSWERS)
    most = _largest(body, _MAXIMA) or _largest(defaults, _MAXIMA) or route.max_output_tokens
    return max(1, answers) * (most + _printed(body.get("prediction")))


def _largest(members: Mapping[str, Any], names: tuple[str, ...]) -> int:
    """The largest number among these members; 0 where there is none."""
    most = 0
    for name in names:
        if name in members:
            most = max(most, _count(members[name]))
    return most


def _count(value: Any) -> int:
    """A number as lenient upstreams read it: `1e5` and `"100_000"` pass for integers there."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return 0
    try:
        number = value if isinstance(value, int) else math.ceil(float(value))
    except (ValueError, OverflowError):
        return 0
    return max(0, number)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
