"""What no single key can show: names that must exist, routes that must be reachable, manners.

Called by `load` on a draft; every function only adds faults to the draft's document (and may turn
an upstream off). `limits.py` does the same for limits and prices, `defaults.py` for `defaults`.
"""

import re

from proxy.config.draft import Draft, pairs, split
from proxy.config.faults import Path, plain, suggest
from proxy.config.forms import NAME
from proxy.config.globs import covers
from proxy.config.grammar import RoutePart, UpstreamPart
from proxy.facts.addresses import BASE_URLS
from proxy.facts.capabilities import NEVER
from proxy.policy.privacy import SELF_HOSTED
from proxy.table import Consent
from proxy.wire.load import GAUGES

SIMULATED = "simulated-"
_OURS = frozenset(
    {
        "accept",
        "accept-encoding",
        "authorization",
        "connection",
        "content-length",
        "content-type",
        "cookie",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-api-key",
        "x-goog-api-key",
    }
)
"""Headers that the proxy writes itself."""


def check_settings(draft: Draft) -> None:
    """Nobody may call without a key from elsewhere; listeners do not collide."""
    settings, document = draft.settings, draft.document
    if settings.auth == "none" and (settings.listen is None or not settings.listen.private):
        document.fault(
            ("settings", "auth"),
            f"anybody who reaches {settings.listen} could call (was none)",
            "write keys, or listen on 127.0.0.1 or unix:/path",
        )
    if settings.listen is None:
        document.fault(("settings", "listen"), "callers need a listener (was off)", "write HOST:PORT")
    taken: dict[str, str] = {}
    for name in ("listen", "admin", "probes"):
        address = getattr(settings, name)
        if address is None or address.port == 0:
            continue
        first = taken.setdefault(str(address), name)
        if first != name:
            document.fault(
                ("settings", name), f"the same address as `{first}` (was {address})", "choose another"
            )


def check_privacy(draft: Draft) -> None:
    """Whoever has not consented can be served somewhere, if that is what the table promises."""
    tagged = any(SELF_HOSTED in part.tags for part in draft.upstreams.values())
    if draft.privacy.consent is Consent.SELF_HOSTED_WITHOUT and not tagged:
        draft.document.fault(
            ("privacy", "consent"),
            f"no upstream is tagged {SELF_HOSTED}, so this is as good as required",
            f"write tags: [{SELF_HOSTED}] at an upstream, or consent: required",
        )


def check_upstreams(draft: Draft) -> None:
    """Each upstream can be called as it is described."""
    for name, part in draft.upstreams.items():
        path: Path = ("upstreams", name)
        if name.startswith(SIMULATED):
            draft.document.fault(
                path, f"names that begin with `{SIMULATED}` are the simulator's", "rename it"
            )
        url = (*path, "base_url")
        if part.base_url is None and part.dialect not in BASE_URLS and url not in draft.document.faulted:
            draft.document.fault(url, "this key is missing", "write base_url: http://HOST:PORT/v1")
        if part.breaker.open_max is not None and part.breaker.open_max < part.breaker.open:
            draft.document.fault(
                (*path, "breaker", "open_max"), "shorter than `open`", "write at least as much"
            )
        if part.load.model_fields_set and part.dialect not in GAUGES:
            draft.document.fault(
                (*path, "load"), f"nobody knows how busy a server of {part.dialect} is", "leave it out"
            )
        _check_key(draft, name, part)
        _check_headers(draft, name, part)
        _check_members(draft, name, part)


def _check_key(draft: Draft, name: str, part: UpstreamPart) -> None:
    path: Path = ("upstreams", name, "api_key")
    if part.api_key == "" and name not in draft.used():
        draft.off.setdefault(name, "its api_key is empty")
    elif part.api_key == "":
        draft.document.fault(
            path, "the key is empty, and a route uses this upstream", "set it, or unset its variable"
        )
    elif part.api_key is not None and not re.fullmatch(r"[\x21-\x7e]{1,4096}", part.api_key):
        draft.document.fault(path, "the key holds spaces or characters no header can carry", "copy it again")


def _check_headers(draft: Draft, name: str, part: UpstreamPart) -> None:
    written: dict[str, str] = {}
    for header, value in part.headers.items():
        path: Path = ("upstreams", name, "headers", header)
        first = written.setdefault(header.lower(), header)
        if first != header:
            draft.document.fault(path, f"the same header as `{plain(first)}`", "keep one of them")
        elif header.lower() in _OURS:
            draft.document.fault(
                path, "the proxy writes this header itself", "leave it out; keys go under api_key"
            )
        elif not re.fullmatch(r"[\x20-\x7e]{0,4096}", value):
            draft.document.fault(
                path, "the value holds characters no header can carry", "write printable ASCII"
            )


def _check_members(draft: Draft, name: str, part: UpstreamPart) -> None:
    for index, member in enumerate(part.capabilities.accept):
        if member in NEVER:
            path: Path = ("upstreams", name, "capabilities", "accept", index)
            draft.document.fault(path, f"`{member}` reaches into the engine and never passes", "leave it out")


def check_routes(draft: Draft) -> None:
    """Each route can be reached and leads somewhere."""
    earlier: list[tuple[int, str]] = []
    for index, route in draft.routes.items():
        path: Path = ("routes", index)
        for before, glob in earlier if index not in draft.unnamed else ():
            if covers(glob, route.model):
                own: Path = (*path, "model")
                first = draft.document.word(("routes", before, "model"), glob)
                shown = draft.document.seen(own, route.model)
                problem = f"never reached: routes[{before}] `{first}` takes every call first (was {shown})"
                draft.document.fault(own, problem, "move it up, or remove it")
                break
        if index not in draft.unnamed:
            earlier.append((index, route.model))
        _check_targets(draft, index, route)


def _check_targets(draft: Draft, index: int, route: RoutePart) -> None:
    sound = True
    for position, part in enumerate(route.targets):
        path: Path = ("routes", index, "targets", position)
        upstream, model = split(part.target)
        place = draft.place(index, position)
        shown = draft.document.seen(place, part.target)
        if not upstream or not re.fullmatch(NAME, model):
            sound = False
            draft.document.fault(
                path, f"not a target (was {shown})", "write UPSTREAM/MODEL, such as openai/gpt-4o"
            )
        elif upstream not in draft.declared:
            sound = False
            known = suggest(upstream, draft.declared)
            named = draft.document.word(place, upstream)
            draft.document.fault(path, f"no upstream is named `{named}` (was {shown})", known)
    names = [upstream for upstream, _ in pairs(route)]
    if sound and draft.settings.simulator == "off" and all(name in draft.off for name in names):
        why = "; ".join(f"{name}: {draft.off[name]}" for name in dict.fromkeys(names))
        draft.document.fault(
            ("routes", index),
            f"no upstream of this route is on ({why})",
            "set a variable, or write settings.simulator: auto",
        )
