"""Who was out of touch knows nothing of others, and may itself be taken for dead."""

from proxy.store.postgres.contact import Contact

DEAD_S = 10.0


def in_touch(until_s, *, since_s=0.0, jump_s=0.0):
    """A replica heard of every second; the server's clock jumps in the middle, perhaps."""
    contact = Contact(DEAD_S, since_s)
    second = since_s
    while second < until_s:
        second += 1.0
        contact.heard(second, 5_000.0 + second + (jump_s if second > (until_s + since_s) / 2 else 0.0))
    return contact


def test_nobody_is_said_to_be_dead_before_one_was_in_touch_for_as_long():
    assert not in_touch(9.0).knows_the_dead(9.5)
    assert in_touch(10.0).knows_the_dead(10.0)


def test_after_an_outage_all_look_silent_and_none_is_dead():
    contact = in_touch(20.0)
    contact.lost(32.0)
    contact.heard(33.0)
    assert not contact.knows_the_dead(42.0)
    for second in range(34, 44):
        contact.heard(float(second))
    assert contact.knows_the_dead(43.0)


def test_a_long_wait_is_a_break_even_if_it_was_answered():
    contact = in_touch(20.0)
    contact.heard(26.0)
    assert not contact.knows_the_dead(30.0)


def test_a_servers_clock_that_jumps_makes_nobody_dead():
    for jump_s in (11.0, -11.0):
        assert not in_touch(19.0, jump_s=jump_s).knows_the_dead(19.0)
    assert in_touch(19.0, jump_s=0.5).knows_the_dead(19.0), "a clock that is put right a little is no jump"


def test_half_of_the_time_that_others_wait_one_may_act_alone():
    contact = in_touch(20.0)
    assert contact.certain(24.9)
    assert not contact.certain(25.0)
