"""Which route answers a model name.

`judgement.py` asks for the route of a call, `server/models.py` for the names worth listing. A pattern
knows two wildcards and nothing else, and matching is done in place: no regular expression is ever
built from what a caller or an operator wrote.
"""

from proxy.table import Route, Table

ANY_RUN = "*"
ANY_ONE = "?"


def match(table: Table, model: str) -> Route | None:
    """The first route whose pattern fits `model`, or None.

    A name is looked up; only the globs that stand before it are tried, so that a call costs the same
    with a thousand routes as with ten.
    """
    named = table.places.get(model)
    for place in table.globs:
        if named is not None and place >= named:
            break
        if fits(table.routes[place].model, model):
            return table.routes[place]
    return None if named is None else table.routes[named]


def public_models(table: Table) -> tuple[str, ...]:
    """The exact names that callers may ask for, in table order, once each; patterns are not names."""
    exact = (route.model for route in table.routes if not route.is_glob)
    return tuple(dict.fromkeys(exact))


def upstreams_of(table: Table) -> tuple[str, ...]:
    """The upstreams that routes name, in table order, once each, also those that are off.

    Every route is every caller's, so these are the ones that a caller may be answered by.
    """
    named = (target.upstream for route in table.routes for target in (*route.targets, *route.off))
    return tuple(dict.fromkeys(named))


def fits(pattern: str, name: str) -> bool:
    """Whether `name` is what `pattern` says: `*` is any run of characters, `?` any single one.

    On a mismatch only the latest `*` is widened by one character, which is enough for a glob and
    keeps the work below pattern length times name length.
    """
    at = seen = 0
    star = -1
    resume = 0
    end, whole = len(pattern), len(name)
    while seen < whole:
        if at < end and pattern[at] == ANY_RUN:
            star, resume = at, seen
            at += 1
        elif at < end and pattern[at] in (ANY_ONE, name[seen]):
            at += 1
            seen += 1
        elif star >= 0:
            resume += 1
            at, seen = star + 1, resume
        else:
            return False
    return not pattern[at:].strip(ANY_RUN)
