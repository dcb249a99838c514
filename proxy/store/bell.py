"""What wakes the writer's thread: a bell that any thread rings and one hears.

It is a lock that is never held by whom it protects. That is the least that wakes a thread from Python: a
condition takes three locks for it, and makes one of them anew each time.
"""

import threading


class Bell:
    """Rung however often, it is heard once; rung while nobody listens, it is heard by who listens next."""

    def __init__(self) -> None:
        self._silence = threading.Lock()
        self._silence.acquire()

    def ring(self) -> None:
        """From any thread."""
        if self._silence.locked():
            try:  # noqa: SIM105 - `suppress` is three calls, and every call rings
                self._silence.release()
            except RuntimeError:  # rung by somebody else since: that is heard
                pass

    def heard(self, seconds: float | None) -> bool:
        """Wait until it rings, for so long at most; whether it rang. For one thread only."""
        return self._silence.acquire(timeout=-1 if seconds is None else seconds)
