"""Replays worlds: `python -m tests.simulation SEED [LAST] [--plant NAME] [--trace | --digest]`."""

import argparse
import hashlib
import sys
from contextlib import ExitStack

from tests.simulation.planted import PLANTS
from tests.simulation.trace import Violation, line_of
from tests.simulation.world import play

MANNERS = {
    "trace": lambda trace: print("\n".join(map(line_of, trace.events))),
    "digest": lambda trace: print(trace.seed, hashlib.sha256(repr(trace.events).encode()).hexdigest()),
}
"""Ways to show a world in which nothing was broken."""


def words() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description="Play worlds from seeds.")
    parser.add_argument("seed", type=int)
    parser.add_argument("last", type=int, nargs="?", help="play all from SEED to this one")
    parser.add_argument("--plant", default="", help="with this bug in the house (planted.py)")
    for manner in MANNERS:
        parser.add_argument(f"--{manner}", dest="manner", action="store_const", const=manner)
    return parser


if __name__ == "__main__":
    asked = words().parse_args()
    broken = 0
    with ExitStack() as house:
        for plant in PLANTS:
            if plant.name == asked.plant:
                house.enter_context(plant.in_place())
        for seed in range(asked.seed, (asked.seed if asked.last is None else asked.last) + 1):
            try:
                trace = play(seed, asked.plant)
            except Violation as violation:
                print(violation)
                broken += 1
                continue
            if asked.manner:
                MANNERS[asked.manner](trace)
    if not asked.manner:
        print(f"{broken} broken")
    sys.exit(bool(broken))
