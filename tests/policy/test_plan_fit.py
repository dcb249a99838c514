"""Dialogues with the plan about a prompt that is too long for some, and targets that were passed over."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.call import Kind, Phase, Signal
from proxy.errors import CallerFault, Told
from proxy.policy.ending import nobody_able
from proxy.policy.fit import Ability, Lack
from proxy.policy.health import Health
from proxy.policy.plan import Answered, Failed
from proxy.policy.selection import PassedOver
from proxy.table import Target
from tests.kit.plans import OVERLOAD, RESET, RULES, TOO_LONG, UNABLE, Dialogue, limited

LENGTH = "stop 400 context_length_exceeded"

# contexts of a, b and c; what is said until it ends; what is done
TOO_LONGS = [
    ((8, 8, 4), (TOO_LONG,), ("try a #1", LENGTH)),
    ((8, 4, 16), (TOO_LONG, Answered()), ("try a #1", "try c #2", "done")),
    ((8, 16, 32), (TOO_LONG, TOO_LONG, TOO_LONG), ("try a #1", "try b #2", "try c #3", LENGTH)),
    ((16, 32, 24), (TOO_LONG, TOO_LONG), ("try a #1", "try b #2", LENGTH)),
    ((8, None, None), (TOO_LONG, TOO_LONG), ("try a #1", "try b #2", LENGTH)),
    ((None, None, None), (TOO_LONG, TOO_LONG), ("try a #1", "try b #2", LENGTH)),
    ((None, None, 16), (TOO_LONG, TOO_LONG, TOO_LONG), ("try a #1", "try b #2", "try c #3", LENGTH)),
    ((8, None, None), (TOO_LONG, RESET, Answered()), ("try a #1", "try b #2", "try c #3", "done")),
    ((8, 8, 8), (UNABLE, TOO_LONG), ("try a #1", "try b #2", LENGTH)),
    # Who would have room is only down: that passes, so the caller is not told to shorten the prompt.
    ((16, 8, 4), (RESET, TOO_LONG), ("try a #1", "try b #2", "stop 502 upstream_error")),
    ((16, 8, 4), (limited(9.0), TOO_LONG), ("try a #1", "try b #2", "stop 429 rate_limit_exceeded")),
    # Who has no room either may be down or up.
    ((8, 16, 4), (OVERLOAD, TOO_LONG), ("try a #1", "try b #2", LENGTH)),
    ((8, 16, 4), (limited(9.0), TOO_LONG), ("try a #1", "try b #2", LENGTH)),
]


@pytest.mark.parametrize(("contexts", "events", "course"), TOO_LONGS)
def test_a_prompt_too_long_for_one_context_goes_on_to_larger_ones_only(contexts, events, course):
    talk = Dialogue(attempts=2, contexts=contexts)
    assert (talk.start(), *(talk.say(event) for event in events)) == course
    assert talk.health.outstanding == 0


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.none() | st.integers(1, 20), min_size=3, max_size=3), st.integers(1, 20))
def test_a_prompt_that_fits_into_a_known_context_is_answered(contexts, size):
    """Those with room answer, all others refuse, and nobody is asked who is known to have no more room."""
    talk = Dialogue(contexts=tuple(contexts))
    room = dict(zip("abc", contexts, strict=True))
    said, refused = talk.start(), []
    while said.startswith("try"):
        context = room[said[4]]
        assert context is None or all(context > other for other in refused)
        fits = context is not None and context >= size
        refused += [] if fits or context is None else [context]
        said = talk.say(Answered() if fits else TOO_LONG)
    assert said == ("done" if any(context and context >= size for context in contexts) else LENGTH)


def test_a_prompt_too_long_is_told_in_the_words_of_the_last_who_refused_it():
    told = [Told(400, f"At most {most}.", "invalid_request_error", None, "messages") for most in (8, 16)]
    talk = Dialogue("ab", contexts=(8, 16))
    talk.start()
    for one in told:
        talk.say(Failed(Signal(Kind.TOO_LONG, Phase.HEADERS, 400, told=one)))
    assert isinstance(talk.failure, CallerFault)
    assert talk.told() == Told(
        400, "At most 16.", "invalid_request_error", "context_length_exceeded", "messages"
    )


def test_a_prompt_too_long_counts_against_nobody():
    health = Health(dict.fromkeys("abc", RULES))
    for _ in range(2 * RULES.failures):
        talk = Dialogue("a", health=health)
        assert [talk.start(), talk.say(TOO_LONG)] == ["try a #1", LENGTH]
    assert health.changes() == ()
    assert health.troubles(0.0) == {}


def test_a_target_with_no_more_room_is_named_as_such():
    talk = Dialogue(attempts=1, contexts=(8, 4, 16))
    talk.start()
    talk.say(TOO_LONG)
    talk.say(RESET)
    assert talk.told().message == (
        "All upstreams failed: a/m (too_long 400), b/m (context no larger), c/m (ambiguous)."
    )


def test_a_target_passed_over_is_named_first_and_changes_nothing_else():
    blind = PassedOver(Target("z", "m"), (Lack(Ability.VISION, "messages[0].content[0]"),))
    talk = Dialogue("a", attempts=1, passed_over=(blind,))
    talk.start()
    assert talk.say(limited(5.0)) == "stop 429 rate_limit_exceeded"
    assert talk.told().message == "All upstreams failed: z/m (sees no pictures), a/m (rate_limit 429)."


@pytest.mark.parametrize(
    ("lacking", "param", "code"),
    [
        (((Ability.CHOICES, "n"),), "n", "unsupported_parameter"),
        (((Ability.CONTEXT, "messages"), (Ability.CHOICES, "n")), "n", "unsupported_parameter"),
        (((Ability.CONTEXT, "messages"),), "messages", "context_length_exceeded"),
    ],
)
def test_when_nobody_can_the_caller_is_told_where_it_asked_too_much(lacking, param, code):
    passed = tuple(PassedOver(Target("z", "m"), (Lack(*lack),)) for lack in lacking)
    told = nobody_able(passed).told
    assert (told.status, told.type, told.param, told.code) == (400, "invalid_request_error", param, code)
    assert all(str(one) in told.message for one in passed)
