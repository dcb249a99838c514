"""Plans over upstreams that have too many waiting: passed over while somebody else is left."""

import pytest

from proxy.call import Kind, Load, Phase, Signal
from proxy.policy.health import Health
from proxy.policy.plan import Answered, Failed, Woke
from proxy.policy.steps import CallerGone, Queue
from proxy.table import LoadRules
from tests.kit.plans import OVERLOAD, REFUSED, RULES, Dialogue, limited

LOADS = dict.fromkeys("abc", LoadRules(every_s=2.0, waiting=16))
FULL = Failed(Signal(Kind.SATURATED, Phase.HEADERS, 503))


def saturated(*names, streams=None, now=0.0):
    """Health in which these upstreams have just told of too many waiting."""
    health = Health(dict.fromkeys("abc", RULES), streams or {}, LOADS)
    for name in names:
        health.heard(name, Load(8, 16), now)
    return health


@pytest.mark.parametrize(
    ("names", "over", "first"),
    [
        ("abc", "", "try a #1"),
        ("abc", "a", "try b #1"),
        ("abc", "ab", "try c #1"),
        ("abc", "c", "try a #1"),
        # the last that is left is asked, whoever it is
        ("abc", "abc", "try c #1"),
        ("ab", "ab", "try b #1"),
        ("a", "a", "try a #1"),
    ],
)
def test_one_with_too_many_waiting_is_passed_over_unless_it_is_the_last_that_is_left(names, over, first):
    assert Dialogue(names, health=saturated(*over)).start() == first


def test_when_those_who_have_room_have_failed_it_is_asked_after_all():
    talk = Dialogue("abc", attempts=1, health=saturated("a"))
    assert [talk.start(), talk.say(OVERLOAD), talk.say(REFUSED)] == ["try b #1", "try c #2", "try a #3"]
    assert talk.say(OVERLOAD) == "stop 502 upstream_error"
    assert talk.told().message == (
        "All upstreams failed: a/m (saturated), b/m (overload 503), c/m (unreachable), a/m (overload 503)."
    )


def test_where_the_others_are_closed_it_is_asked_at_once():
    health = saturated("a")
    for name in "bc" * RULES.failures:
        other = Dialogue(name, attempts=1, health=health, roll=0.0)
        other.start()
        other.say(OVERLOAD)
    assert Dialogue("abc", health=health).start() == "try a #1"


def test_of_several_with_too_many_waiting_the_first_is_asked_when_nobody_else_is_left():
    talk = Dialogue("abc", attempts=1, health=saturated("a", "b"))
    assert [talk.start(), talk.say(OVERLOAD), talk.say(OVERLOAD)] == ["try c #1", "try a #2", "try b #3"]


def test_it_is_asked_again_as_soon_as_it_is_well_or_nobody_knows():
    health = saturated("a")
    assert Dialogue("ab", health=health).start(1.0) == "try b #1"
    health.heard("a", Load(8, 8), 2.0)
    assert Dialogue("ab", health=health).start(2.0) == "try a #1"
    health.heard("a", Load(8, 16), 4.0)
    assert Dialogue("ab", health=health).start(9.0) == "try b #1"
    assert Dialogue("ab", health=health).start(10.0) == "try a #1", "no reading came since"


def test_being_passed_over_counts_for_nothing():
    health = saturated("a")
    talk = Dialogue("ab", health=health)
    talk.start()
    talk.say(Answered())
    assert health.state("a", 0.0) == "closed"
    assert health.changes() == ()
    assert health.outstanding == 0


def test_the_last_resort_is_asked_and_has_its_line_where_its_places_are_bounded():
    """Its load is no reason to turn anybody away there; how many it is asked at once is the table's word."""
    health = saturated("a", streams={"a": 1})
    first, second = Dialogue("a", health=health), Dialogue("a", health=health)
    assert first.start() == "try a #1"
    queue = second.plan.start(0.0)
    assert isinstance(queue, Queue)
    first.say(Answered(), 1.0)
    assert queue.turn.granted
    assert second.say(Woke(), 1.0) == "try a #1"


def test_one_that_itself_said_that_it_is_full_is_left_alone_even_if_nobody_else_is_left():
    talk = Dialogue("ab", attempts=2, health=saturated("a"), wait_max_s=2.0)
    assert [talk.start(), talk.say(REFUSED), talk.say(FULL)] == ["try b #1", "try a #2", "wait 0.125"]
    assert talk.say(Woke(), 0.125) == "try b #3"


def test_no_second_one_is_asked_beside_the_first_where_too_many_wait():
    for names, over in (("ab", "b"), ("abc", "bc")):
        talk = Dialogue(names, health=saturated(*over))
        talk.start()
        assert talk.plan.hedge(3.0) is None
        talk.plan.on(CallerGone(), 3.0)
        assert talk.health.outstanding == 0


def test_who_is_tried_again_in_place_goes_before_one_with_too_many_waiting():
    talk = Dialogue("ab", health=saturated("a"))
    assert [talk.start(), talk.say(limited(0.5))] == ["try b #1", "wait 0.5"]
    assert talk.say(Woke(), 0.5) == "try b #2"
