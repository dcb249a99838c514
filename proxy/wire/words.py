"""What of an upstream's own words may be shown, and to whom.

`complaints.py` reads every error's code, type and member through here, so that what ends up in a `Signal`,
and by it in the ledger, a view, the log or a label, has the shape of a word: of the characters that codes
have, short, and too regular for a credential. A text is told to the caller alone, scrubbed (`scrub`). What
has no shape to be known by is known by being ours: `discreet` takes out the credentials of the upstream that
was asked. Nothing here can tell what a word means: who writes codes of six words in them is not found out.
"""

import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from msgspec.structs import replace

from proxy.call import Signal
from proxy.table import Upstream

MOST_CHARS = 2048
"""Of a message shown to a caller."""
WORD_CHARS = 64
PATH_CHARS = 160
DIGITS = 4
"""In one word or name: statuses, versions and numbers of errors have no more."""
PATH_DIGITS = 8
"""In all of a path: enough for the number of a token, too few for that of a person or a card."""
HUMPS = 8
"""In one word or name, such as the three of `OutOfMemory`: more are a sentence."""
SHORT_HUMPS = 2
"""Of two letters, such as the `Of` of `OutOfMemory`: what is made of them alone is no word, but a key."""
CREDENTIAL_CHARS = 8
"""What is shorter, such as the `none` for a server that asks for no key, is not looked for in texts."""
BEGINNING_CHARS = 4
"""As much of a credential, where the rest of it is gone already, is not shown either."""

_REMOVED = "[removed]"
_CUT = "…"
_SECRET = re.compile(
    r"(?i)\bbearer\s+\S+"
    r"|\b(?:sk|pk|rk|ft|gsk|xai|csk|pplx|nvapi)-[\w*.-]{4,}"
    # After an underscore may as well come the words of a function's or a member's name. The rest of a key
    # is one long run: with a digit in it, longer than a word, or after what the key is for; or it is masked.
    r"|\b(?:sk|pk|rk|ft|gsk|xai|csk|pplx|nvapi)_"
    r"(?:(?:live|test)_[a-z0-9]{12,}|\w*\*[\w*.-]*|(?:[a-z0-9]+_)*(?=[a-z]*[0-9])[a-z0-9]{12,})[\w*-]*"
    r"|\b(?:gsk|xai|csk|pplx|nvapi|hf|fw|r8|gh[opsu])_(?:[a-z0-9]{16,}|(?=[a-z]*[0-9])[a-z0-9]{12,})[\w-]*"
    r"|\bgithub_pat_\w{8,}"
    r"|\bAIza[\w-]{8,}|\bA[KS]IA[A-Z0-9]{12,}|\beyJ[\w-]{8,}(?:\.[\w-]*)*"
    r"|\b(?:org|proj)[-_](?:[a-z0-9]{16,}|(?=[a-z]*[0-9])\w{8,})"
    # Keys without a mark of their own are letters and digits in one long run. So are ids and names of files,
    # which what stands before them gives away.
    r"|\b(?!(?:(?<=/)|(?<=chatcmpl-)|(?<=chatcmpl-tool-)|(?<=request id )|(?<=request id: ))"
    r"[0-9a-f]{32,64}\b)"
    r"(?=[a-z]*[0-9])(?=[0-9]*[a-z])[a-z0-9]{32,}"
)
_PART = r"(?:[a-z]{1,20}|[A-Z]{1,20}|[a-z]{0,20}(?:[A-Z]{1,8}[a-z]{1,20}){1,6}[A-Z]{0,4})[0-9]{0,4}"
"""`snake`, `SHOUTED` or `CamelCase`; digits only where it ends."""
_NAME = rf"{_PART}(?:[_-]{_PART}){{0,5}}"
_WORD = re.compile(rf"[0-9]{{1,6}}|{_PART}(?:[_.-](?:{_PART}|[0-9]{{1,4}})){{0,5}}")
_PATH = re.compile(rf"{_NAME}(?:\.\$?{_NAME}|\.?\[[0-9]{{1,5}}\]|\.[0-9]{{1,7}}){{0,12}}")
_NUMBER = re.compile(r"[0-9]")
_HUMP = re.compile(r"[A-Z]*[a-z]+|[A-Z]+")
_SHORT_HUMP = re.compile(r"[A-Z][a-z](?![a-z])")
_PLAIN_HEADER = re.compile(r"(?i)(?:.*-)?(?:version|beta)|user-agent|content-type|accept(?:-encoding)?")
"""Headers that are no credential; their dates and names are what an upstream complains of."""
_PHRASES = frozenset(status.phrase for status in HTTPStatus)
"""The only types of more than one word: HTTP's own names of its statuses."""


def word(value: Any) -> str:
    """A code or a type; empty if it is none, such as a sentence, or might be a credential."""
    if type(value) is int:
        value = str(value) if 0 <= value < 10**6 else ""
    if not isinstance(value, str) or len(value) > WORD_CHARS:
        return ""
    if value in _PHRASES:
        return value
    return value if _WORD.fullmatch(value) and (value.isdecimal() or _is_harmless(value)) else ""


def path(value: Any) -> str | None:
    """The place of a member, as in `messages[1].content` or `messages.0.content`; None if it is none."""
    if not isinstance(value, str) or len(value) > PATH_CHARS or not _PATH.fullmatch(value):
        return None
    if len(_NUMBER.findall(value)) > PATH_DIGITS:
        return None
    names = [step for step in re.split(r"[.\[\]]+", value) if not step.isdecimal()]
    return value if all(_is_harmless(name) for name in names) else None


def scrub(message: str) -> str:
    """`message` without anything that looks like a credential, cut to a decent length.

    It ends in a mark wherever it was cut, for `discreet` to know that a credential may have been too.
    """
    shown = _SECRET.sub(_REMOVED, message[: 2 * MOST_CHARS])
    if len(message) <= 2 * MOST_CHARS and len(shown) <= MOST_CHARS:
        return shown
    shown = shown[: MOST_CHARS - 1]
    mark = shown.rfind(_REMOVED[0], 1 - len(_REMOVED))
    if mark > 0 and _REMOVED.startswith(shown[mark:]):
        shown = shown[:mark] + _REMOVED
    return shown + _CUT


def discreet(signal: Signal, upstream: Upstream) -> Signal:
    """`signal` without the credentials that `upstream` was sent, whatever they look like."""
    for secret in _credentials(upstream):
        if secret in signal.detail:
            signal = replace(signal, detail=signal.detail.replace(secret, _REMOVED))
        told = signal.told
        if told is None:
            continue
        message = _without(secret, told.message)
        if message != told.message:
            told = replace(told, message=message)
        if told.code is not None and secret in told.code:
            told = replace(told, code=None)
        if told.param is not None and secret in told.param:
            told = replace(told, param=None)
        signal = replace(signal, told=told)
    return signal


def _without(secret: str, text: str) -> str:
    """`text` without `secret`, and without the beginning of it where the rest was cut off or taken out."""
    text = text.replace(secret, _REMOVED)
    cut = text.endswith(_CUT)
    if not cut and _REMOVED not in text:
        return text
    for length in range(len(secret) - 1, BEGINNING_CHARS - 1, -1):
        beginning = secret[:length]
        text = text.replace(beginning + _REMOVED, _REMOVED)
        if cut and text.endswith(beginning + _CUT):
            text = text[: -length - len(_CUT)] + _REMOVED + _CUT
    return text


def _credentials(upstream: Upstream) -> Iterator[str]:
    """Its key, and what could be one in the operator's headers: nothing without a digit is."""
    key = "" if upstream.api_key is None else upstream.api_key.reveal()
    if len(key) >= CREDENTIAL_CHARS:
        yield key
    for name, value in upstream.headers:
        for secret in () if _PLAIN_HEADER.fullmatch(name) else value.split():
            if len(secret) >= CREDENTIAL_CHARS and _NUMBER.search(secret):
                yield secret


def _is_harmless(value: str) -> bool:
    return (
        len(_NUMBER.findall(value)) <= DIGITS
        and len(_HUMP.findall(value)) <= HUMPS
        and len(_SHORT_HUMP.findall(value)) <= SHORT_HUMPS
        and not _SECRET.search(value)
    )
