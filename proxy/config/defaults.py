"""The `defaults` of routes: what is filled in must be what a caller could have sent.

`load` has each member judged, the importers ask before they write one down, and `build.py` takes them from
here and tells which look misspelt. The rules of a caller's body are `proxy/wire/body.py`'s own; the form of
what they leave to the upstreams is in `proxy/facts/members.py`. A member that nobody knows passes: servers
have members of their own.
"""

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from proxy.config.draft import Draft
from proxy.config.faults import Path, dotted, nearest
from proxy.config.source import as_meant
from proxy.facts.members import FORMS, NAMES, Form
from proxy.wire.body import HIGHEST, JUDGED, LOWEST, amiss

_THE_CALL = frozenset({"model", "messages", "stream", "stream_options"})
"""Members that are the call itself, not a default of it."""
_THE_PERSON = frozenset({"safety_identifier", "user"})
"""Members that say whom a call is for: read from the body before anything is filled in."""
_THE_CALLERS = _THE_CALL | _THE_PERSON

_LIKENESS = 0.85
"""From here on a member that nobody knows is taken for a known one misspelt; `top_a` is none of `top_p`."""


class Unsendable(Struct, frozen=True):
    """Why no caller could send a member, and what to write."""

    path: Path
    """Where in the member, below its name."""
    problem: str
    remedy: str


def judged(name: str, value: Any) -> Unsendable | None:
    """What is wrong with one member; None: it can be filled in."""
    if name in _THE_CALL:
        return Unsendable((), "this is the call itself", "leave it out")
    if name in _THE_PERSON and value is not None:
        return Unsendable((), "a constant is no end person", "leave it out: only a caller can say who it is")
    vast = next(_vast(value, ()), None)
    if vast is not None:
        return Unsendable(vast, "an integer of more than 64 bits", f"write one from {LOWEST} to {HIGHEST}")
    wrong = amiss(name, value)
    if wrong is not None:
        return Unsendable((), f"not what `{name}` takes", f"write {wrong.wanted}, or leave it out")
    form = FORMS.get(name)
    if form is not None and value is not None and not _fits(form, value):
        return Unsendable((), f"not what `{name}` takes", f"write {form.wanted}, or leave it out")
    return None


def filled_in(draft: Draft, index: int) -> dict[str, Any]:
    """The members of a route as they go into a body.

    A reference brings text; where the member takes none, `${TEMPERATURE:-0.7}` is the number that it says.
    """
    members: dict[str, Any] = {}
    for name, value in draft.routes[index].defaults.items():
        members[name] = value
        written = draft.document.written.get(("routes", index, "defaults", name), "")
        if isinstance(value, str) and "${" in written and judged(name, value) is not None:
            meant = as_meant(value)
            if judged(name, meant) is None:
                members[name] = meant
    return members


def check_defaults(draft: Draft) -> None:
    """Each member that a route fills in could have come from a caller."""
    for index in draft.routes:
        for name, value in filled_in(draft, index).items():
            wrong = judged(name, value)
            if wrong is None:
                continue
            path: Path = ("routes", index, "defaults", name, *wrong.path)
            shown = (
                "" if name in _THE_CALLERS else f" (was {draft.document.seen(path, _at(value, wrong.path))})"
            )
            draft.document.fault(path, f"{wrong.problem}{shown}", wrong.remedy)


def misspelt(draft: Draft) -> Iterator[str]:
    """A word on each member that nobody knows and that looks like one that is known."""
    own = {
        name
        for part in draft.upstreams.values()
        for name in (*part.capabilities.accept, *part.capabilities.strip, *part.capabilities.rename.values())
    }
    known = sorted((NAMES | JUDGED | own) - _THE_CALLERS)
    for index, route in draft.routes.items():
        for name in sorted(route.defaults.keys() - set(known) - _THE_CALLERS):
            meant = nearest(name, known, _LIKENESS)
            if meant is not None:
                place = dotted(("routes", index, "defaults", name))
                yield f"{place}: not a member that is known here; it goes up as it is (`{meant}`?)"


def _fits(form: Form, value: Any) -> bool:
    if not isinstance(value, form.types) or (isinstance(value, bool) and bool not in form.types):
        return False
    if isinstance(value, int | float):
        above = form.least is None or value >= form.least
        return above and (form.most is None or value <= form.most)
    return True


def _vast(value: Any, path: Path) -> Iterator[Path]:
    """Where integers stand that are too big for any body."""
    if isinstance(value, int) and not LOWEST <= value <= HIGHEST:
        yield path
    elif isinstance(value, dict | list):
        inner = value.items() if isinstance(value, dict) else enumerate(value)
        for part, item in inner:
            yield from _vast(item, (*path, part))


def _at(value: Any, path: Path) -> Any:
    for part in path:
        value = value[part]
    return value
