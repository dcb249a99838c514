r"""How much work a pattern of a JSON schema is for each byte of a text: an upper bound from its spelling.

`effort.py` asks. The engine takes time that is linear in the text, but at each byte it may go through every
state that the pattern has, and a pattern of a few characters has thousands: `a\w{80}\d` is a state for each
of the eighty, `(\w{12}){12}` one for each of 144. So what is counted is the pattern with its repetitions
written out. It matches nothing and refuses nothing.
"""

import re

STATES_MAX = 4_200
"""For a pattern that is not read here: the engine has room for no more (`schema.PATTERN_BYTES`)."""
CLASS_STATES = 2
GROUP_STATES = 2
CHOICE_STATES = 2
"""For each time that may be left out or be the last, besides what is repeated."""
DIGITS_MAX = 6

_TOKEN = re.compile(
    r"""
      (?P<many>   \[ \^?+ (?: \\. | [^\[\]\\] )+ \]  |  \\[pP]\{[\w=]*\}  |  \\[a-zA-Z]  |  \. )
    | (?P<open>   \( (?: \?P?<\w+> | \?[imsuU-]*: | (?!\?) ) )
    | (?P<close>  \) )
    | (?P<repeat> [*+?] | \{ \s* (?P<least>[0-9]*) \s* (?: , \s* (?P<most>[0-9]*) \s* )? \} )
    | (?P<other>  \(\?[imsuU-]+\) | \\. | [^\\\[(] )
    """,
    re.VERBOSE | re.DOTALL,
)
"""What is not among these (a class within a class, blanks that do not count) is not read here."""


def states(pattern: str) -> int:
    """At most so many states, with all repetitions written out."""
    outer: list[int] = []
    """What there is before each group that is open."""
    total = last = place = 0
    while place < len(pattern):
        token = _TOKEN.match(pattern, place)
        if token is None:
            return STATES_MAX
        place = token.end()
        match token.lastgroup:
            case "open":
                outer.append(total)
                total = last = 0
                continue
            case "close" if outer:
                last = total + GROUP_STATES
                total = outer.pop() + last
            case "repeat":
                times = _times(token)
                if times is None:
                    return STATES_MAX
                total -= last
                last = (last + _choice(token)) * times
                total += last
            case "many":
                last = CLASS_STATES
                total += last
            case _:
                last = 1
                total += last
    return total if not outer else STATES_MAX


def _times(repeat: re.Match[str]) -> int | None:
    """How often a repetition has what it repeats written out; None: not to be told."""
    counts = [count for count in repeat.group("least", "most") if count]
    if any(len(count) > DIGITS_MAX for count in counts):
        return None
    return max([1, *map(int, counts)])


def _choice(repeat: re.Match[str]) -> int:
    exact = repeat["most"] is None and repeat["least"]
    return 0 if exact else CHOICE_STATES
