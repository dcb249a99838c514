"""Which wire language is spoken at a path, and whose strictness fits an upstream of a table.

Pure. `server.py` asks for each request that comes over its socket, `proxy/rehearsal` for each that
would have left.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from proxy.facts.capabilities import KNOWN, name_for
from proxy.simulator.chat import tongue
from proxy.simulator.generate import tongue as gemini_tongue
from proxy.simulator.messages import MESSAGES
from proxy.simulator.shaped import SHAPED
from proxy.simulator.tongue import Tongue
from proxy.table import Upstream

_GENERATE = re.compile(r"models/([^/:]+):(generateContent|streamGenerateContent)")


class Language(NamedTuple):
    """How a request is to be read."""

    spoken: Tongue
    elsewhere: Mapping[str, Any]
    """Members of the body that its path writes."""


def language(path: str, part: str) -> Language | None:
    """What is spoken at `path`, below an upstream's base URL, by who plays `part`; None: nothing is there."""
    if path == "chat/completions":
        return Language(SHAPED.get(part) or tongue(part), {})
    if path == "messages":
        return Language(MESSAGES, {})
    generate = _GENERATE.fullmatch(path)
    if generate is None:
        return None
    model, method = generate.groups()
    return Language(gemini_tongue(model), {"model": model, "stream": method == "streamGenerateContent"})


def part_for(upstream: Upstream) -> str:
    """Who plays an upstream of a table, among those that speak chat completions.

    A server that nobody knows is played by the one that forgives what it does not know.
    """
    parts = urlsplit(upstream.base_url)
    name = name_for(upstream.dialect, parts.hostname or "", parts.port)
    declared = (known for known, record in KNOWN.items() if record == upstream.capabilities)
    name = next(declared, name)
    return "vllm" if name == "plain" else name
