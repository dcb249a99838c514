"""Replays worlds: `python -m tests.simulation SEED [LAST] [--plant NAME] [--trace]`."""

import argparse
import sys
import time

from tests.simulation.trace import Violation, line_of
from tests.simulation.world import play

if __name__ == "__main__":
    words = argparse.ArgumentParser(prog="python -m tests.simulation")
    words.add_argument("seed", type=int)
    words.add_argument("last", type=int, nargs="?")
    words.add_argument("--trace", action="store_true")
    asked = words.parse_args()
    began, broken = time.perf_counter(), 0
    for seed in range(asked.seed, (asked.last or asked.seed) + 1):
        try:
            trace = play(seed)
        except Violation as violation:
            print(violation)
            broken += 1
            continue
        if asked.trace:
            print("\n".join(map(line_of, trace.events)))
    print(f"{broken} broken, {time.perf_counter() - began:.1f} s")
    sys.exit(bool(broken))
