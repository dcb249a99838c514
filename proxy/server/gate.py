"""The gate: who is inside, and whether anyone may still come in.

`calls.py` enters it for each call; `listeners.py` closes it at shutdown. It counts tasks and knows
neither HTTP nor the story: a call that outlives the drain is cancelled, and ends itself.
"""

import asyncio

from proxy.errors import unavailable

LAST_WORDS_S = 5.0
"""How long cancelled calls may take to settle and to say goodbye."""


class Gate:
    """Live calls, and whether new ones are let in."""

    def __init__(self) -> None:
        self._inside: set[asyncio.Task[object]] = set()
        self._closed = False
        self._cut = False
        self._quiet = asyncio.Event()

    @property
    def draining(self) -> bool:
        """Whether new calls are turned away."""
        return self._closed

    @property
    def cut(self) -> bool:
        """Whether the calls still inside have been told to stop."""
        return self._cut

    @property
    def live(self) -> int:
        """Calls inside."""
        return len(self._inside)

    def enter(self) -> asyncio.Task[object]:
        """Let this task in, until it says `leave`. Raises `Refused` once the gate is closed."""
        if self._closed:
            raise unavailable("The proxy is shutting down.", "draining", retry_after_s=1)
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("the gate counts tasks")
        self._inside.add(task)
        return task

    def leave(self, task: asyncio.Task[object]) -> None:
        """The task that was let in is done."""
        self._inside.discard(task)
        if self._closed:
            self._hush()

    def close(self) -> None:
        """Let nobody in any more; from here on `/readyz` fails."""
        self._closed = True
        self._hush()

    def hurry(self) -> None:
        """Stop waiting: the second SIGTERM."""
        self._quiet.set()

    async def drain(self, patience_s: float) -> None:
        """Close, wait for the calls inside, then cancel those that are left and await their end."""
        self.close()
        try:
            async with asyncio.timeout(patience_s):
                await self._quiet.wait()
        except TimeoutError:
            pass
        self._cut = True
        left = tuple(self._inside)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=LAST_WORDS_S)

    def _hush(self) -> None:
        if not self._inside:
            self._quiet.set()
