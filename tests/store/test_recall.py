"""State between two turns: whose it is, where it counts, how long and how much."""

import pytest

from proxy.call import Identity, Memory
from proxy.ports import Origin
from proxy.store.recall import STATE_BYTES, MemoryRecall

CLAUDE = Origin("anthropic", "claude-sonnet-5")
ME = Identity("acme", "k1", user="p1")
HOUR = 3600.0


class Hands:
    """A clock that is set by hand."""

    def __init__(self):
        self.now = 0.0

    def mono(self):
        return self.now

    def wall_us(self):
        return 0


@pytest.fixture
def clock():
    return Hands()


@pytest.fixture
def recall(clock):
    return MemoryRecall(clock, most_bytes=10_000, kept_s=HOUR)


def test_state_comes_back_with_any_of_its_calls(recall):
    recall.keep(ME, CLAUDE, Memory(("call_1", "call_2"), b"thought"))
    assert recall.find(ME, CLAUDE, ["call_2", "call_3"]) == {"call_2": b"thought"}
    assert recall.find(ME, CLAUDE, ["call_1"]) == {"call_1": b"thought"}


def test_another_key_of_the_tenant_finds_it_and_another_tenant_does_not(recall):
    recall.keep(ME, CLAUDE, Memory(("call_1",), b"thought"))
    assert recall.find(Identity("acme", "k2", user="p1"), CLAUDE, ["call_1"])
    assert not recall.find(Identity("globex", "k1", user="p1"), CLAUDE, ["call_1"])


@pytest.mark.parametrize(
    "elsewhere", [Origin("anthropic", "claude-opus-5"), Origin("gemini", "claude-sonnet-5")]
)
def test_no_other_model_or_dialect_is_shown_it(recall, elsewhere):
    recall.keep(ME, CLAUDE, Memory(("call_1",), b"thought"))
    assert not recall.find(ME, elsewhere, ["call_1"])


def test_it_is_forgotten_in_time(recall, clock):
    recall.keep(ME, CLAUDE, Memory(("call_1",), b"thought"))
    clock.now = HOUR - 1
    assert recall.find(ME, CLAUDE, ["call_1"])
    clock.now = HOUR
    assert not recall.find(ME, CLAUDE, ["call_1"])
    recall.keep(ME, CLAUDE, Memory(("call_2",), b""))
    weight = recall.held_bytes
    recall.keep(ME, CLAUDE, Memory(("call_3",), b""))
    assert recall.held_bytes == 2 * weight, "what is too old makes room"


def test_the_oldest_goes_first_and_no_more_is_held_than_allowed(recall):
    for number in range(100):
        recall.keep(ME, CLAUDE, Memory((f"call_{number}",), b"x" * 1000))
        assert recall.held_bytes <= 10_000
    assert not recall.find(ME, CLAUDE, ["call_0"])
    assert recall.find(ME, CLAUDE, ["call_99"])


def test_one_person_s_thoughts_are_never_another_s(recall):
    """Models that count their calls give two conversations the same id."""
    recall.keep(ME, CLAUDE, Memory(("functions.search:0",), b"mine"))
    her = Identity("acme", "k1", user="p2")
    assert not recall.find(her, CLAUDE, ["functions.search:0"])
    recall.keep(her, CLAUDE, Memory(("functions.search:0",), b"hers"))
    assert recall.find(ME, CLAUDE, ["functions.search:0"]) == {"functions.search:0": b"mine"}


def test_an_id_that_came_with_two_answers_says_nothing_of_either(recall, clock):
    shared, own = "functions.search:0", "functions.read:1"
    recall.keep(ME, CLAUDE, Memory((shared,), b"one conversation"))
    recall.keep(ME, CLAUDE, Memory((shared, own), b"another"))
    assert recall.find(ME, CLAUDE, [shared, own]) == {own: b"another"}
    recall.keep(ME, CLAUDE, Memory((shared,), b"a third"))
    assert not recall.find(ME, CLAUDE, [shared])
    clock.now += HOUR
    recall.keep(ME, CLAUDE, Memory((shared,), b"long after"))
    assert recall.find(ME, CLAUDE, [shared]) == {shared: b"long after"}


def test_the_same_answer_again_is_kept_once(recall):
    recall.keep(ME, CLAUDE, Memory(("call_1",), b"thought"))
    held = recall.held_bytes
    recall.keep(ME, CLAUDE, Memory(("call_1",), b"thought"))
    assert recall.find(ME, CLAUDE, ["call_1"]) == {"call_1": b"thought"}
    assert recall.held_bytes == held


def test_state_beyond_all_measure_is_not_kept(clock):
    recall = MemoryRecall(clock)
    recall.keep(ME, CLAUDE, Memory(("call_1",), b"x" * (STATE_BYTES + 1)))
    assert not recall.find(ME, CLAUDE, ["call_1"])
    assert recall.held_bytes == 0


def test_a_person_is_forgotten_and_others_are_not(recall):
    recall.keep(ME, CLAUDE, Memory(("call_1",), b"mine"))
    recall.keep(Identity("acme", "k1", user="p2"), CLAUDE, Memory(("call_2",), b"hers"))
    recall.keep(Identity("globex", "k9", user="p1"), CLAUDE, Memory(("call_3",), b"elsewhere"))
    recall.forget("acme", "p1")
    assert not recall.find(ME, CLAUDE, ["call_1"])
    assert recall.find(Identity("acme", "k1", user="p2"), CLAUDE, ["call_2"])
    assert recall.find(Identity("globex", "k9", user="p1"), CLAUDE, ["call_3"])


def test_a_call_under_way_keeps_nothing_for_who_was_forgotten_meanwhile(recall, clock):
    recall.forget("acme", "p1")
    recall.keep(ME, CLAUDE, Memory(("call_1",), b"too late"))
    assert not recall.find(ME, CLAUDE, ["call_1"])
    clock.now += 2 * HOUR
    recall.forget("acme", "p2")
    assert list(recall._forgotten) == [("acme", "p2")], "nobody is remembered as forgotten for ever"


def test_everybody_can_be_forgotten_at_once_and_kept_again(recall):
    recall.keep(ME, CLAUDE, Memory(("call_1",), b"thought"))
    recall.forget_all()
    assert (recall.find(ME, CLAUDE, ["call_1"]), recall.held_bytes) == ({}, 0)
    recall.keep(ME, CLAUDE, Memory(("call_1",), b"thought"))
    assert recall.find(ME, CLAUDE, ["call_1"])
