"""What happened, in order; and the one way in which a broken promise is told.

A violation names its seed and the step, shows the last events before it, and says how to see it again.
"""

from collections.abc import Callable
from typing import Any, NoReturn

Event = tuple[int, float, str]
"""Step, virtual time, what happened."""
SHOWN = 30
"""Events shown before a violation."""


class Violation(AssertionError):
    """A promise was broken."""

    def __init__(self, trace: "Trace", promise: str) -> None:
        self.promise = promise
        self.seed = trace.seed
        self.step = trace.step()
        events = "\n".join(map(line_of, trace.events[-SHOWN:]))
        plant = f" --plant '{trace.plant}'" if trace.plant else ""
        super().__init__(
            f"seed {trace.seed}, step {self.step}: {promise}\n{events}\n"
            f"replay: .venv/bin/python -m tests.simulation {trace.seed}{plant}"
        )


class Trace:
    """The events of one seed, each with its step and its virtual time."""

    def __init__(self, seed: int, plant: str = "") -> None:
        self.seed = seed
        self.plant = plant
        self.events: list[Event] = []
        self.violation: Violation | None = None
        """The first; a task may have swallowed it."""
        self.step: Callable[[], int] = int
        self.now: Callable[[], float] = float

    def say(self, *facts: Any) -> None:
        """Note one event, as it looks now."""
        self.events.append((self.step(), self.now(), " ".join(map(str, facts))))

    def note(self, promise: str, *facts: Any) -> None:
        """A promise is broken, and nobody is there to be stopped by it."""
        self.violation = self.violation or Violation(self, " ".join([promise, *map(str, facts)]))

    def fail(self, promise: str, *facts: Any) -> NoReturn:
        """A promise is broken: the run ends here."""
        self.note(promise, *facts)
        raise self.violation

    def demand(self, kept: object, promise: str, *facts: Any) -> None:
        """`promise` holds, or the run ends here."""
        if not kept:
            self.fail(promise, *facts)


def line_of(event: Event) -> str:
    """One event for the eye."""
    step, now, said = event
    return f"{step:7} {now:10.3f}  {said}"
