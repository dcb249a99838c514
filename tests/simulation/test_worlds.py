"""Hundreds of worlds out of seeds, where all happens that can: every promise holds in all of them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.planted import PLANTS
from tests.simulation.trace import Violation
from tests.simulation.world import play

ROOT = Path(__file__).parents[2]
SEEDS = 500
MANY = 20_000
ASKED = os.environ.get("FALLTHROUGH_SEED")
"""Play this one alone: `FALLTHROUGH_SEED=1234 pytest tests/simulation -k every_world`."""


@pytest.mark.timeout(300)
def test_every_promise_holds_in_every_world():
    for seed in range(SEEDS) if ASKED is None else [int(ASKED)]:
        play(seed)


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_every_promise_holds_in_very_many_worlds():
    for seed in range(SEEDS, MANY):
        play(seed)


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.name)
def test_a_planted_bug_is_found(plant):
    with plant.in_place():
        for seed in range(SEEDS):
            if violation_of(seed, plant.name):
                return
    pytest.fail(f"{plant.name}: not found in {SEEDS} worlds, so that the simulation proves nothing of it")


def violation_of(seed, plant):
    try:
        play(seed, plant)
    except Violation as violation:
        return violation
    return None


def test_a_violation_names_its_seed_and_step_and_says_how_to_replay_it():
    (plant,) = [one for one in PLANTS if one.name == "a role passes for content"]
    with plant.in_place():
        found, again = (
            next(filter(None, (violation_of(seed, plant.name) for seed in range(9)))) for _ in "12"
        )
    first, *events, last = str(found).splitlines()
    assert first == f"seed {found.seed}, step {found.step}: {found.promise}"
    assert "arrives req_" in "".join(events)
    assert last == f"replay: .venv/bin/python -m tests.simulation {found.seed} --plant '{plant.name}'"
    assert str(again) == str(found)


def test_a_seed_is_the_same_world_whenever_it_is_played():
    for seed in range(10):
        first, second = play(seed).events, play(seed).events
        assert first == second
        assert len(first) > 20


def test_a_seed_is_the_same_world_in_every_process():
    """Neither the hash of a string nor an address may have a say."""
    told = {
        subprocess.run(
            [sys.executable, "-m", "tests.simulation", "0", "9", "--digest"],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hashes},
            capture_output=True,
            check=True,
            timeout=60,
        ).stdout
        for hashes in ("1", "2", "3")
    }
    assert len(told) == 1


def test_worlds_differ_and_hold_everything():
    """A promise about what never happens would be kept by chance."""
    words = {said for seed in range(60) for _, _, said in play(seed).events}
    for needed in (
        "reload taken", "reload refused", "that ends in crash", "that ends in stop", "that ends in rest",
        "hangs up", "spent", "→ half_open", "half_open → closed", "half_open → open", "outrun", "caller_gone",
        "upstream_broken", "shutdown", "1 left open", "asked to go on", "ledger_unavailable", "timeout",
    ):  # fmt: skip
        assert any(needed in word for word in words), needed
