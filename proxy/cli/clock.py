"""The time, for commands."""

import time


class ProcessClock:
    """The machine's clock, for a command that lives a moment."""

    def mono(self) -> float:
        return time.perf_counter()

    def wall_us(self) -> int:
        return time.time_ns() // 1000
