"""A wire between the proxy and an engine that is cut in the middle of each stream.

It passes bytes on as they come, in a thread of its own, and closes the connection in the middle of an
answer, without the last chunk: what a load balancer or a dying node does to a stream.
"""

import asyncio
import socket
import threading
from contextlib import suppress
from typing import Self

EVENT_END = b"\n\n"
ENDS = b'"finish_reason":"'


class Cutter:
    """Listens on a free port, forwards to `port`, and cuts every stream after the event that says `word`.

    An engine on a busy machine puts many tokens into one event. Where the answer's end is in it too, the
    event itself is cut in two: after it nothing would be missing.
    """

    def __init__(self, port: int, word: bytes) -> None:
        self.cuts = 0
        self.cuts_early = 0
        """Of them those in the middle of an event: what was whole before it did not say `word` yet."""
        self._port = port
        self._word = word
        self._loop = asyncio.new_event_loop()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._run, name="cutter")

    @property
    def base_url(self) -> str:
        """Where the engine's OpenAI API is, through the wire."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._joined, sock=self._listener)
        await self._stop.wait()
        server.close()

    async def _joined(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_engine, to_engine = await asyncio.open_connection("127.0.0.1", self._port)
        ways = {
            asyncio.create_task(self._forward(reader, to_engine)),
            asyncio.create_task(self._until_cut(from_engine, writer)),
        }
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        for end in (writer, to_engine):
            end.close()
        for end in (writer, to_engine):
            with suppress(OSError):
                await end.wait_closed()

    @staticmethod
    async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)

    async def _until_cut(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held = b""
        while data := await reader.read(65536):
            *events, held = (held + data).split(EVENT_END)
            for event in events:
                said, word, _ = event.partition(self._word)
                early = bool(word) and ENDS in event
                writer.write(said + word if early else event + EVENT_END)
                if word:
                    await writer.drain()
                    self.cuts += 1
                    self.cuts_early += early
                    return
