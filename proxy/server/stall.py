"""A caller who takes nothing for too long is cut off.

Used wherever something waits for a caller's buffer to empty. It looks only at how much is left in it.
"""

import asyncio


class StallWatch:
    """Aborts a transport whose write buffer has not shrunk for a while."""

    def __init__(self, transport: asyncio.WriteTransport, patience_s: float) -> None:
        self._transport = transport
        self._patience_s = patience_s
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Watch from now on, if there is anything to take."""
        self._wait(self._transport.get_write_buffer_size())

    def stop(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self, left: int) -> None:
        if left:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._patience_s, self._look, left)

    def _look(self, before: int) -> None:
        left = self._transport.get_write_buffer_size()
        if left >= before:
            self._transport.abort()
        else:
            self._wait(left)
