"""A scripted upstream on a raw socket: every byte, cut and reset is released by the test."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Connection:
    """One connection that the client made."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def request(self) -> bytes:
        """The next request, head and body."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        sizes = [
            int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
        ]
        return head + await self._reader.readexactly(sizes[0] if sizes else 0)

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def some(self) -> bytes:
        """The next bytes, whatever they are."""
        return await self._reader.read(65536)

    async def pour(self) -> int:
        """Send until the client takes no more for many turns of the loop; how many bytes it took."""
        sent, transport = 0, self._writer.transport
        while transport.get_write_buffer_size() == 0:
            self._writer.write(b"\0" * 65536)
            sent += 65536
            for _ in range(500):
                if transport.get_write_buffer_size() == 0:
                    break
                await asyncio.sleep(0)
        return sent - transport.get_write_buffer_size()

    def close(self) -> None:
        self._writer.close()

    def rst(self) -> None:
        """Reset instead of an orderly end; what was not yet read is lost."""
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def eof(self) -> None:
        """Until the client has closed."""
        try:
            while await self._reader.read(65536):
                pass
        except ConnectionError:
            pass


class Scripted:
    """The listening side."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[Connection] = asyncio.Queue()
        self.connections: list[Connection] = []
        self.url = ""
        self.server: asyncio.Server | None = None

    def refuse(self) -> None:
        """Listen no more; what is connected stays."""
        self.server.close()

    def arrived(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(reader, writer)
        self.connections.append(connection)
        self._waiting.put_nowait(connection)

    async def accept(self) -> Connection:
        return await self._waiting.get()


@asynccontextmanager
async def scripted(tls: ssl.SSLContext | None = None) -> AsyncIterator[Scripted]:
    """Listen on a free port of 127.0.0.1, with TLS if a context is given; `url` says where."""
    upstream = Scripted()
    upstream.server = await asyncio.start_server(upstream.arrived, "127.0.0.1", 0, ssl=tls)
    port = upstream.server.sockets[0].getsockname()[1]
    upstream.url = f"http{'s' if tls else ''}://127.0.0.1:{port}"
    try:
        yield upstream
    finally:
        upstream.server.close()
        for connection in upstream.connections:
            connection.close()
