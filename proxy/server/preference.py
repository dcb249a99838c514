"""Which target a caller would have first: what the headers say, in the table's words.

`calls.py` reads a request's wish here; `policy/selection.py` puts the targets in order by it. It only
ever moves a target up: a name that no target of the route has changes nothing, and a target that is
down, spent or unable is passed over like any other.
"""

import re

from proxy.errors import bad_request
from proxy.server.request import Request

UPSTREAM = ("x-preferred-upstream", "x-preferred-provider")
"""The header, and what programs that talked to the vendors themselves call it."""
MODEL = ("x-preferred-model",)

UPSTREAM_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
MODEL_NAME = re.compile(r"[A-Za-z0-9._:/@+-]{1,128}")


def preferred(request: Request) -> str | None:
    """`UPSTREAM`, `UPSTREAM/MODEL` or `/MODEL`, or None. Raises 400 for what cannot be a name."""
    upstream = _named(request, UPSTREAM, UPSTREAM_NAME)
    model = _named(request, MODEL, MODEL_NAME)
    if model is None:
        return upstream
    return f"{upstream or ''}/{model}"


def _named(request: Request, headers: tuple[str, ...], form: re.Pattern[str]) -> str | None:
    """The first of `headers` that the request has."""
    for header in headers:
        given = request.headers.get(header)
        if given is None:
            continue
        if form.fullmatch(given) is None:
            raise bad_request(f"{header} holds what cannot be a name.", code="bad_header")
        return given
    return None
