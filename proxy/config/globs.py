"""Names with `*` and `?`: what one matches, and whether one leaves anything for another.

A glob that covers every name of a later one makes that later one unreachable. The test is exact for
one glob against one other; several that only together cover a third are not looked for. No name is empty,
so that `?*` and `*` match the same.
"""

import re

_WILD_RUN = re.compile(r"[*?]*\*[*?]*")


def covers(glob: str, other: str) -> bool:
    """Whether `glob` matches every name that `other` (a name or a glob) matches."""
    if "*" not in glob and "?" not in glob:
        return glob == other
    pattern, text = _ordered(glob), _ordered(other)
    if text == "*":
        text = "?*"  # no name is empty
    states = _skip_stars(pattern, {0})
    for char in text:
        states = _skip_stars(pattern, {after for state in states for after in _step(pattern, state, char)})
    return len(pattern) in states


def _step(pattern: str, state: int, char: str) -> tuple[int, ...]:
    """Where `char` leads from `state`; a `*` in the other glob only fits a `*` here."""
    if state == len(pattern):
        return ()
    here = pattern[state]
    if here == "*":
        return (state,)
    fits = char != "*" and here in {"?", char}
    return (state + 1,) if fits else ()


def _skip_stars(pattern: str, states: set[int]) -> set[int]:
    """The states reachable without reading anything: a `*` may stand for nothing."""
    reached = set(states)
    for state in sorted(states):
        after = state
        while after < len(pattern) and pattern[after] == "*":
            after += 1
            reached.add(after)
    return reached


def _ordered(glob: str) -> str:
    """The same glob with each run of wildcards as `?`s and then one `*`."""
    return _WILD_RUN.sub(lambda run: "?" * run[0].count("?") + "*", glob)
