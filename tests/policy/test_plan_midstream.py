"""Dialogues with the plan about streams that broke in the caller's hands."""

import pytest

from proxy.call import Kind, Phase, Signal
from proxy.errors import Broken
from proxy.policy.plan import Answered, Broke, CallerGone, Failed, Skipped, Woke
from proxy.table import OnMidstream
from tests.kit.plans import BAD_KEY, OVERLOAD, REFUSED, RESET, Dialogue, limited, opened

CUT = Broke(Signal(Kind.RESET, Phase.CONTENT), mendable=True)
STALLED = Broke(Signal(Kind.TIMEOUT, Phase.CONTENT), mendable=True)
LOST = Broke(Signal(Kind.RESET, Phase.CONTENT))
STRAYED = Failed(Signal(Kind.STRAYED, Phase.HEADERS, 200))
BAD_REQUEST = Failed(Signal(Kind.BAD_REQUEST, Phase.HEADERS, 400))


def talk(how, names="abc", going_on="abc", **members):
    begun = Dialogue(names, on_midstream=OnMidstream(how), going_on=going_on, **members)
    assert begun.start() == f"try {names[0]} #1"
    return begun


@pytest.mark.parametrize("how", ["continue", "restart"])
def test_the_next_target_mends_a_break(how):
    told = talk(how)
    assert [told.say(CUT), told.say(Answered())] == [f"{how} b #2", "done"]
    assert told.health.outstanding == 0


def test_without_a_word_of_the_route_a_break_ends_the_call():
    assert talk("error").say(CUT) == "stop 502 upstream_broken"


@pytest.mark.parametrize("how", ["continue", "restart"])
def test_what_nobody_could_mend_ends_the_call(how):
    told = talk(how)
    assert told.say(LOST) == "stop 502 upstream_broken"
    assert isinstance(told.failure, Broken)


def test_only_those_who_can_go_on_are_asked_to_but_anybody_may_answer_anew():
    assert talk("continue", going_on="c").say(CUT) == "continue c #2"
    assert talk("continue", going_on="").say(CUT) == "stop 502 upstream_broken"
    assert talk("restart", going_on="").say(CUT) == "restart b #2"


@pytest.mark.parametrize("event", [OVERLOAD, REFUSED, RESET, BAD_KEY, BAD_REQUEST, STRAYED, limited(20.0)])
def test_whatever_stops_one_who_mends_leads_to_the_next_and_at_last_to_the_break_itself(event):
    told = talk("restart", attempts=1)
    assert [told.say(CUT), told.say(event), told.say(event)] == [
        "restart b #2",
        "restart c #3",
        "stop 502 upstream_broken",
    ]
    assert "a/m broke off" in told.told().message.replace("The answer of ", "")


def test_a_second_break_is_mended_like_the_first_and_the_last_one_is_told():
    told = talk("continue", attempts=1)
    assert [told.say(CUT), told.say(CUT), told.say(CUT)] == [
        "continue b #2",
        "continue c #3",
        "stop 502 upstream_broken",
    ]
    assert "c/m" in told.told().message


def test_the_one_that_broke_is_asked_again_after_the_others_if_it_did_not_fall_silent():
    told = talk("continue", names="a")
    assert [told.say(CUT), told.say(Woke(), 0.125)] == ["wait 0.125", "continue a #2"]
    assert told.say(CUT, 1.0) == "stop 502 upstream_broken"
    assert talk("continue", names="a").say(STALLED) == "stop 502 upstream_broken"


def test_who_was_tried_before_content_and_may_be_tried_again_may_mend():
    told = talk("continue", names="ab")
    assert [told.say(OVERLOAD), told.say(STALLED, 1.0)] == ["try b #2", "continue a #3"]


def test_nothing_mends_after_the_deadline_or_through_a_closed_door():
    assert talk("continue", deadline=10.0).say(CUT, 10.0) == "stop 502 upstream_broken"
    assert talk("continue", names="cab", health=opened("a", "b")).say(STALLED) == "stop 502 upstream_broken"


def test_a_spent_limit_passes_over_one_who_would_mend():
    told = talk("restart")
    assert [told.say(CUT), told.say(Skipped("limit spent", None))] == ["restart b #2", "restart c #3"]


def test_a_caller_who_leaves_while_it_is_mended_frees_the_ticket():
    told = talk("continue")
    assert [told.say(CUT), told.say(CallerGone())] == ["continue b #2", "done"]
    assert told.health.outstanding == 0


def test_a_break_counts_against_its_upstream_and_a_stray_against_nobody():
    health = opened()
    for _ in range(5):
        told = talk("restart", names="ab", attempts=1, health=health)
        assert [told.say(CUT), told.say(STRAYED)] == ["restart b #2", "stop 502 upstream_broken"]
    assert (health.state("a", 0.0), health.state("b", 0.0)) == ("open", "closed")
