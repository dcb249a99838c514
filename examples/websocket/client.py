"""A conversation over one WebSocket (docs/websocket.md): each question a frame, each answer word by word.

    pip install aiohttp
    python examples/websocket/client.py

FALLTHROUGH_URL and FALLTHROUGH_KEY say where the proxy is and who asks; `make run` needs neither.
"""

import asyncio
import os
import sys

from aiohttp import ClientSession, ClientWebSocketResponse

URL = os.environ.get("FALLTHROUGH_URL", "http://127.0.0.1:8080/v1")
KEY = os.environ.get("FALLTHROUGH_KEY", "any")


async def ask(socket: ClientWebSocketResponse, messages: list[dict[str, str]]) -> str:
    """One answer, printed as it comes. Only `complete` and `error` end it; only `complete` makes it whole."""
    await socket.send_json({"type": "request", "body": {"model": "gpt-4o-mini", "messages": messages}})
    words: list[str] = []
    async for message in socket:
        frame = message.json()
        match frame["type"]:
            case "start":
                print(f"[{frame['upstream']}] ", end="")
            case "chunk":
                for choice in frame["data"]["choices"]:
                    words.append(choice["delta"].get("content") or "")
                    print(words[-1], end="", flush=True)
            case "complete":
                print()
                return "".join(words)
            case "error":
                sys.exit(f"\n{frame['error']['message']}")
    sys.exit("\nThe connection was lost, and the rest of the answer with it.")


async def main() -> None:
    headers = {"authorization": f"Bearer {KEY}"}
    messages = []
    async with (
        ClientSession() as session,
        session.ws_connect(f"{URL}/chat/stream", headers=headers) as socket,
    ):
        for question in ("Say hello.", "Say goodbye."):
            messages.append({"role": "user", "content": question})
            messages.append({"role": "assistant", "content": await ask(socket, messages)})


asyncio.run(main())
