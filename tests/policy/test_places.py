"""Places at one upstream, and the lines of those who wait for one."""

import random
from collections import Counter

from proxy.policy.places import Places, Turn


class Line:
    """Turns that note the order in which they were woken."""

    def __init__(self, places):
        self.places = places
        self.woken = []

    def join(self, tenant, name=None):
        turn = Turn("a", tenant)
        turn.wake = lambda: self.woken.append(tenant if name is None else name)
        self.places.join(turn)
        return turn


def full(limit=1):
    places = Places(limit)
    for _ in range(limit):
        assert not places.full
        places.take()
    assert places.full
    return places


def test_without_a_limit_there_is_always_one_more():
    places = Places()
    for _ in range(10_000):
        places.take()
    assert not places.full


def test_a_freed_place_goes_to_the_line_and_not_to_a_newcomer():
    places = full()
    line = Line(places)
    turn = line.join("acme")
    places.give_back()
    assert turn.granted
    assert line.woken == ["acme"]
    assert places.full, "it is kept for who waited"
    places.take(turn)
    assert places.full
    places.give_back()
    assert not places.full


def test_tenants_are_served_in_turn_and_each_in_its_own_order():
    places = full()
    line = Line(places)
    for number in range(100):
        line.join("loud", f"loud {number}")
    line.join("quiet", "quiet 0")
    line.join("calm", "calm 0")
    line.join("quiet", "quiet 1")
    for _ in range(7):
        places.give_back()
    assert line.woken == ["loud 0", "quiet 0", "calm 0", "loud 1", "quiet 1", "loud 2", "loud 3"]


def test_who_leaves_the_line_is_not_served_and_passes_a_granted_place_on():
    places = full()
    line = Line(places)
    first, second, third = (line.join(tenant) for tenant in "abc")
    places.leave(second)
    places.give_back()
    assert line.woken == ["a"]
    places.leave(first)
    places.leave(first)
    assert line.woken == ["a", "c"]
    places.take(third)
    places.leave(third)
    assert places.full, "a place that was taken comes back with its ticket"
    places.give_back()
    assert repr(places) == "Places(0/1, 0 waiting)"


def test_a_higher_limit_lets_the_line_in_at_once_and_a_lower_one_lets_it_drain():
    places = full(2)
    line = Line(places)
    for number in range(5):
        line.join("acme", number)
    places.limit = 4
    places.grant()
    assert line.woken == [0, 1]
    places.limit = 1
    for _ in range(3):
        places.give_back()
    assert line.woken == [0, 1]
    places.give_back()
    assert line.woken == [0, 1, 2]


def test_no_course_of_things_goes_over_the_limit_loses_a_place_or_forgets_anybody():
    for seed in range(300):
        dice, places = random.Random(seed), Places(3)
        taken, waiting, served = 0, [], Counter()
        for _ in range(200):
            do = dice.randrange(4)
            if do == 0 and not places.full:
                places.take()
                taken += 1
            elif do == 1:
                turn = Turn("a", dice.choice("xyz"))
                places.join(turn)
                waiting.append(turn)
            elif do == 2 and taken:
                taken -= 1
                places.give_back()
            elif do == 3 and waiting:
                turn = waiting.pop(dice.randrange(len(waiting)))
                if turn.granted and dice.random() < 0.7:
                    places.take(turn)
                    taken += 1
                    served[turn.tenant] += 1
                else:
                    places.leave(turn)
            kept = sum(turn.granted for turn in waiting)
            assert taken + kept <= 3
            assert places.full or places.waiting == 0, "nobody waits before a free place"
            assert repr(places) == f"Places({taken + kept}/3, {len(waiting) - kept} waiting)"


def test_a_twin_has_as_many_places_taken_and_nobody_in_line():
    places = full(2)
    line = Line(places)
    line.join("acme")
    twin = places.twin()
    assert (twin.limit, twin.used, twin.full, twin.waiting) == (2, 2, True, 0)
    twin.give_back()
    assert (twin.used, places.used, places.waiting, line.woken) == (1, 2, 1, [])
