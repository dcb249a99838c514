"""Who may be tried, and what each outcome changes."""

import random

import pytest

from proxy.call import Kind, Phase, Signal
from proxy.policy.classify import classify
from proxy.policy.health import Health
from proxy.policy.leave import Closed, Ticket
from proxy.table import BreakerRules, Target

RULES = BreakerRules(failures=2, open_s=60.0, open_max_s=300.0)
GPT = Target("openai", "gpt-4o")
MINI = Target("openai", "gpt-4o-mini")
VLLM = Target("vllm", "mixtral")


class FixedDice:
    """Always the same roll."""

    def __init__(self, roll=0.0):
        self._roll = roll

    def roll(self):
        return self._roll

    def token(self):
        return "0" * 24


def health():
    return Health({"openai": RULES, "vllm": RULES})


def fail(house, target, kind, now=0.0, *, retry_after_s=None, roll=0.0):
    ticket = house.admit(target, now, last=False)
    assert isinstance(ticket, Ticket), ticket
    signal = Signal(kind, Phase.HEADERS, retry_after_s=retry_after_s)
    house.failed(ticket, classify(signal), signal, now, FixedDice(roll))


def closed(house, target, now=0.0):
    return house.shut(target, now, last=False)


def test_upstream_failures_close_all_its_models_and_no_other_upstream():
    house = health()
    fail(house, GPT, Kind.OVERLOADED)
    assert closed(house, GPT) is None
    fail(house, MINI, Kind.RESET)
    assert closed(house, GPT) == Closed(60.0, "open")
    assert closed(house, MINI) == Closed(60.0, "open")
    assert closed(house, VLLM) is None
    assert house.changes() == (("openai", "open"),)
    assert house.changes() == ()
    assert house.state("openai", 59.0) == "open"
    assert house.state("openai", 60.0) == "half_open"
    assert not house.usable("openai", 59.0)
    assert house.troubles(0.0) == {"openai": "open"}


def test_a_probe_reports_each_change_of_state():
    house = health()
    fail(house, GPT, Kind.OVERLOADED)
    fail(house, GPT, Kind.OVERLOADED)
    ticket = house.admit(GPT, 60.0, last=False)
    house.answered(ticket, 61.0)
    assert house.changes() == (("openai", "open"), ("openai", "half_open"), ("openai", "closed"))


@pytest.mark.fault("b2-wait")
@pytest.mark.parametrize(
    ("asked", "roll", "until"),
    [(20.0, 0.0, 20.0), (20.0, 1.0, 22.0), (0.5, 1.0, 0.5), (1e9, 1.0, 120.0), (None, 0.5, 0.5)],
)
def test_a_rate_limit_cools_one_model_only(asked, roll, until):
    house = health()
    fail(house, GPT, Kind.RATE_LIMITED, retry_after_s=asked, roll=roll)
    assert closed(house, GPT) == Closed(until, "rate_limit")
    assert closed(house, MINI) is None
    assert closed(house, GPT, until) is None
    assert house.changes() == ()
    assert house.troubles(0.0) == {"openai/gpt-4o": "rate_limit"}


@pytest.mark.fault("b3-backoff")
def test_rate_limits_without_a_time_cool_longer_each_time_until_an_answer():
    house, now, waits = health(), 0.0, []
    for _ in range(3):
        fail(house, GPT, Kind.RATE_LIMITED, now, roll=1.0)
        waits.append(closed(house, GPT, now).until - now)
        now += waits[-1]
    house.answered(house.admit(GPT, now, last=False), now)
    fail(house, GPT, Kind.RATE_LIMITED, now, roll=1.0)
    waits.append(closed(house, GPT, now).until - now)
    assert waits == [1.0, 2.0, 4.0, 1.0]


@pytest.mark.parametrize(
    ("asked", "roll", "until"), [(None, 0.5, 0.25), (None, 1.0, 0.5), (3.0, 0.0, 3.0), (1e9, 0.0, 120.0)]
)
def test_a_full_upstream_is_left_alone_for_a_moment(asked, roll, until):
    house = health()
    fail(house, VLLM, Kind.SATURATED, retry_after_s=asked, roll=roll)
    assert closed(house, VLLM) == Closed(until, "saturated")
    assert closed(house, VLLM, until) is None
    assert house.troubles(0.0) == {"vllm/mixtral": "saturated"}


def test_however_often_an_upstream_is_full_it_is_never_given_up():
    house, now, waits = health(), 0.0, []
    for _ in range(20):
        fail(house, VLLM, Kind.SATURATED, now, roll=1.0)
        waits.append(closed(house, VLLM, now).until - now)
        now += waits[-1]
    assert waits[:5] == [0.5, 1.0, 2.0, 4.0, 5.0]
    assert max(waits) == pytest.approx(5.0)
    assert house.changes() == ()
    assert house.state("vllm", now) == "closed"


def test_a_probe_that_finds_the_upstream_full_proves_nothing_and_makes_room_for_another():
    house = health()
    for _ in range(2):
        fail(house, VLLM, Kind.RESET)
    fail(house, VLLM, Kind.SATURATED, 60.0, roll=1.0)
    assert house.state("vllm", 60.5) == "half_open"
    house.answered(house.admit(VLLM, 60.5, last=False), 61.0)
    assert house.state("vllm", 61.0) == "closed"


def test_refusals_that_arrive_together_are_one_strike():
    house = health()
    tickets = [house.admit(GPT, 0.0, last=False) for _ in range(50)]
    signal = Signal(Kind.RATE_LIMITED, Phase.HEADERS)
    for ticket in tickets:
        house.failed(ticket, classify(signal), signal, 0.0, FixedDice(1.0))
    assert closed(house, GPT) == Closed(1.0, "rate_limit")


def test_an_overload_with_a_time_cools_its_model_and_counts_against_its_upstream():
    house = health()
    fail(house, GPT, Kind.OVERLOADED, retry_after_s=5.0)
    assert closed(house, GPT) == Closed(5.0, "overload")
    assert closed(house, MINI) is None
    fail(house, MINI, Kind.OVERLOADED)
    assert closed(house, MINI) == Closed(60.0, "open")


@pytest.mark.parametrize(
    ("kind", "why"), [(Kind.NO_CREDIT, "money"), (Kind.RATE_LIMITED, "rate_limit"), (Kind.NO_MODEL, "model")]
)
def test_trouble_after_content_is_blamed_like_trouble_before_it(kind, why):
    house = health()
    ticket = house.admit(GPT, 0.0, last=False)
    house.began(ticket, 0.0)
    signal = Signal(kind, Phase.CONTENT, retry_after_s=9.0)
    house.failed(ticket, classify(signal), signal, 0.0, FixedDice())
    assert closed(house, GPT).why == why


def test_an_answer_that_began_before_the_rate_limit_does_not_lift_it():
    house = health()
    early = house.admit(GPT, 0.0, last=False)
    fail(house, GPT, Kind.RATE_LIMITED, retry_after_s=30.0)
    house.answered(early, 1.0)
    assert closed(house, GPT, 1.0) == Closed(30.0, "rate_limit")


@pytest.mark.fault("b4-money")
def test_money_closes_the_account_for_five_minutes_growing_to_fifteen_with_single_probes():
    house, now, waits = health(), 0.0, []
    for _ in range(4):
        fail(house, GPT, Kind.NO_CREDIT, now)
        door = closed(house, MINI, now)
        assert door.why == "money"
        waits.append(door.until - now)
        now = door.until
    assert waits == [300.0, 600.0, 900.0, 900.0]
    assert isinstance(house.admit(GPT, now, last=False), Ticket)
    assert isinstance(house.admit(GPT, now, last=True), Closed)
    assert house.state("openai", 0.0) == "closed"
    assert closed(house, VLLM, 0.0) is None


@pytest.mark.fault("b5-key")
def test_a_refused_key_closes_the_account_and_says_why():
    house = health()
    fail(house, GPT, Kind.BAD_KEY)
    assert closed(house, MINI) == Closed(300.0, "auth")
    assert house.troubles(0.0) == {"openai": "auth"}


@pytest.mark.fault("b6-model")
def test_a_missing_model_closes_that_model_only():
    house = health()
    fail(house, GPT, Kind.NO_MODEL)
    assert closed(house, GPT) == Closed(60.0, "model")
    assert closed(house, MINI) is None
    assert house.troubles(0.0) == {"openai/gpt-4o": "model"}


@pytest.mark.fault("b7-caller")
@pytest.mark.parametrize(
    "kind", [Kind.BAD_REQUEST, Kind.TOO_LONG, Kind.FILTERED, Kind.UNABLE, Kind.UNSAYABLE]
)
def test_a_callers_fault_changes_nothing(kind):
    house = health()
    for _ in range(10):
        fail(house, GPT, kind)
    assert closed(house, GPT) is None
    assert house.troubles(0.0) == {}


def test_a_ticket_is_handed_back_once():
    house = health()
    ticket = house.admit(GPT, 0.0, last=False)
    assert house.outstanding == 1
    house.left(ticket)
    assert house.outstanding == 0
    with pytest.raises(RuntimeError, match="twice"):
        house.answered(ticket, 0.0)


def test_first_content_of_a_probe_closes_the_breaker_and_a_later_break_still_counts():
    house = health()
    fail(house, GPT, Kind.OVERLOADED)
    fail(house, GPT, Kind.OVERLOADED)
    ticket = house.admit(GPT, 60.0, last=False)
    house.began(ticket, 61.0)
    assert house.state("openai", 61.0) == "closed"
    signal = Signal(Kind.RESET, Phase.CONTENT)
    house.failed(ticket, classify(signal), signal, 72.0, FixedDice())
    assert closed(house, GPT, 72.0) is None
    fail(house, GPT, Kind.OVERLOADED, 73.0)
    assert closed(house, GPT, 73.0) == Closed(193.0, "open")


def test_first_content_outside_half_open_forgives_nothing():
    house = health()
    fail(house, GPT, Kind.OVERLOADED)
    ticket = house.admit(GPT, 0.0, last=False)
    house.began(ticket, 1.0)
    fail(house, GPT, Kind.OVERLOADED)
    assert closed(house, GPT) == Closed(60.0, "open")
    house.left(ticket)


def test_a_reload_keeps_breakers_and_rate_limits_by_name_and_forgets_refused_accounts():
    old = health()
    running = old.admit(VLLM, 0.0, last=False)
    fail(old, VLLM, Kind.OVERLOADED)
    fail(old, GPT, Kind.RATE_LIMITED, retry_after_s=30.0)
    fail(old, MINI, Kind.BAD_KEY)
    new = Health({"openai": RULES, "vllm": RULES, "fresh": RULES})
    new.adopt(old)
    assert closed(new, GPT) == Closed(30.0, "rate_limit")
    assert closed(new, MINI) is None
    assert closed(new, Target("fresh", "m")) is None
    signal = Signal(Kind.RESET, Phase.SENT)
    old.failed(running, classify(signal), signal, 1.0, FixedDice())
    assert closed(new, VLLM, 1.0) == Closed(61.0, "open")


def test_a_reload_forgets_the_pace_of_upstreams_that_are_gone():
    """Tables are edited for years: what no table names any more must not pile up."""
    old = health()
    old.pace(GPT, stream=True).took(2.0)
    old.pace(VLLM, stream=True).took(3.0)
    without = Health({"vllm": RULES})
    without.adopt(old)
    again = health()
    again.adopt(without)
    assert again.pace(GPT, stream=True).least == 0.0
    assert again.pace(VLLM, stream=True) is old.pace(VLLM, stream=True)


def test_a_pause_outlives_an_upstream_that_is_gone_and_not_itself():
    old = health()
    fail(old, GPT, Kind.RATE_LIMITED, retry_after_s=30.0)
    without = Health({"vllm": RULES})
    without.adopt(old)
    fail(without, VLLM, Kind.RATE_LIMITED, now=10.0, retry_after_s=1.0)
    again = Health({"openai": RULES, "vllm": RULES})
    again.adopt(without)
    assert closed(again, GPT) == Closed(30.0, "rate_limit"), "it came back within the pause"
    without.adopt(again)
    fail(without, VLLM, Kind.RATE_LIMITED, now=31.0, retry_after_s=1.0)
    assert set(without.lasting.cooling) == {(VLLM.upstream, VLLM.model)}


def test_a_reload_brings_new_rules_into_force():
    old, new = health(), Health({"openai": BreakerRules(failures=1, open_s=5.0)})
    new.adopt(old)
    fail(new, GPT, Kind.OVERLOADED)
    assert closed(new, GPT) == Closed(5.0, "open")


def recovered():
    house = health()
    fail(house, GPT, Kind.OVERLOADED)
    fail(house, GPT, Kind.OVERLOADED)
    house.answered(house.admit(GPT, 60.0, last=False), 60.0)
    return house


def test_a_recovering_upstream_takes_a_growing_share_but_the_last_resort_takes_all():
    house = recovered()
    doors = [house.admit(GPT, 60.0, last=False) for _ in range(100)]
    let_in = [door for door in doors if isinstance(door, Ticket)]
    assert len(let_in) == 10
    assert {door for door in doors if not isinstance(door, Ticket)} == {Closed(60.25, "recovering")}
    assert isinstance(house.admit(GPT, 60.0, last=True), Ticket)
    assert isinstance(house.admit(VLLM, 60.0, last=False), Ticket), "nobody else is held back"
    assert all(isinstance(house.admit(GPT, 70.0, last=False), Ticket) for _ in range(100))


def test_the_budget_of_second_tries_is_an_upstreams_own_and_outlives_a_reload():
    house = health()
    for _ in range(3):
        assert house.may_retry(GPT, 0.0)
        house.admit(GPT, 0.0, last=False, again=True)
    assert not house.may_retry(MINI, 0.0), "another model of the same upstream"
    assert house.may_retry(VLLM, 0.0)
    new = Health({"openai": RULES})
    new.adopt(house)
    assert not new.may_retry(GPT, 0.0)


def test_a_reload_that_makes_room_wakes_who_stands_in_line_in_the_order_of_the_table():
    names = [f"upstream-{number}" for number in range(20)]
    rules, woken = dict.fromkeys(names, RULES), []
    old, new = Health(rules, dict.fromkeys(names, 0)), Health(rules, dict.fromkeys(names, 1))
    for name in reversed(names):
        old.join(Target(name, "m"), "acme").wake = lambda name=name: woken.append(name)
    new.adopt(old)
    assert woken == names


def test_a_twin_knows_the_same_and_what_happens_to_it_happens_to_nobody():
    house = Health({"openai": RULES, "vllm": RULES}, {"vllm": 1})
    fail(house, GPT, Kind.RATE_LIMITED, retry_after_s=30.0)
    fail(house, MINI, Kind.NO_MODEL)
    house.pace(GPT, stream=True).took(2.0)
    under_way = house.admit(VLLM, 0.0, last=False)
    twin = house.twin()
    for target in (GPT, MINI, VLLM):
        assert closed(twin, target) == closed(house, target)
    assert twin.pace(GPT, stream=True).least == 2.0
    assert (twin.under_way("vllm"), twin.outstanding) == (1, 0)
    assert twin.admit(VLLM, 0.0, last=True) == Closed(0.25, "full")
    twin.make_room()
    assert isinstance(twin.admit(VLLM, 0.0, last=True), Ticket)
    fail(twin, GPT, Kind.NO_CREDIT, now=40.0)
    assert closed(house, GPT, now=40.0) is None
    assert house.under_way("vllm") == 1
    house.left(under_way)
    assert (house.under_way("vllm"), twin.under_way("vllm")) == (0, 1)


def restless(house):
    """Health in which nothing is ever calm, so that every rule is asked every time."""
    for ours in house.lasting.upstreams.values():
        for breaker in (ours.breaker, ours.account, *ours.models.values()):
            breaker.calm = False
    return house


def test_what_is_not_asked_while_all_is_calm_would_have_changed_nothing():
    """The same hours over two houses, one of which never takes the short way."""
    often, seldom = (
        [Kind.OVERLOADED, Kind.RESET, Kind.RATE_LIMITED, Kind.BAD_REQUEST],
        [Kind.NO_CREDIT, Kind.NO_MODEL],
    )
    rules = {"openai": BreakerRules(failures=2, open_s=3.0), "vllm": RULES}
    for seed in range(20):
        dice, now, under_way = random.Random(seed), 0.0, []
        calm, other = Health(rules, {"vllm": 3}), Health(rules, {"vllm": 3})
        for _ in range(400):
            now += dice.expovariate(1.0)
            target, last, again = dice.choice([GPT, MINI, VLLM]), dice.random() < 0.3, dice.random() < 0.2
            doors = [each.admit(target, now, last=last, again=again) for each in (calm, restless(other))]
            assert isinstance(doors[0], Ticket) or doors[0] == doors[1]
            assert isinstance(doors[1], Ticket) is isinstance(doors[0], Ticket)
            if isinstance(doors[0], Ticket):
                under_way.append(doors)
            fails = dice.random() < 0.4 and int(now / 40.0) % 2 == 0
            while len(under_way) > 3:
                tickets = under_way.pop(dice.randrange(len(under_way)))
                signal = Signal(dice.choice(often * 10 + seldom), Phase.HEADERS)
                for house, ticket in zip((calm, restless(other)), tickets, strict=True):
                    house.began(ticket, now)
                    if fails:
                        house.failed(ticket, classify(signal), signal, now, FixedDice(0.5))
                    else:
                        house.answered(ticket, now)
            assert calm.changes() == other.changes()
            assert calm.troubles(now) == other.troubles(now)
            assert calm.may_retry(target, now) is other.may_retry(target, now)
