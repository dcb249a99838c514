"""What the loop's own thread does that waits for the system, while calls of every kind are answered.

`python -m tests.house.blocking FOLDER` runs a whole proxy and prints a line for each file that is opened,
name that is looked up, process that is started or nap that is taken on the thread of the loop. Python tells
such things to an audit hook, which cannot be taken away again: hence a process of its own.
"""

import sys
import threading
from pathlib import Path

import uvloop

import proxy
from proxy.call import UpstreamRequest
from proxy.upstream import client
from proxy.upstream.reaching import Place
from tests.kit.one_loop import Inside, ask, one_loop

WAITS = (
    "open",
    "socket.getaddrinfo",
    "socket.gethostby",
    "subprocess.",
    "os.",
    "time.sleep",
    "shutil.",
    "import",
)
TABLE = """
upstreams:
  well: {{dialect: openai, base_url: "http://localhost:{port}/v1"}}
  sick: {{dialect: openai, base_url: "http://127.0.0.1:{port}/v1"}}
  dead: {{dialect: openai, base_url: "http://127.0.0.1:9/v1"}}
routes:
  - {{model: chat, targets: [well/m]}}
  - {{model: elsewhere, targets: [dead/m, well/m]}}
limits:
  - {{per: tenant, tokens: 100000000, every: day}}
"""
PACKAGE = str(Path(proxy.__file__).parent)
LARGE = " " * 1_000_000


class Watch:
    """An audit hook for one thread, which listens while it is told to."""

    def __init__(self) -> None:
        self.on = False
        self.seen: list[str] = []
        self._thread = threading.get_ident()

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        if not self.on or threading.get_ident() != self._thread or not event.startswith(WAITS):
            return
        frame = sys._getframe()  # no traceback: to make one, files are read
        while frame is not None and not frame.f_code.co_filename.startswith(PACKAGE):
            frame = frame.f_back
        if frame is not None:
            self.seen.append(f"{event} {arguments[:1]} in {frame.f_code.co_qualname}")


async def calls(inside: Inside) -> None:
    """One call of every kind."""
    asker = await inside.asker()
    await asker.call("well")
    await asker.call("well", model="elsewhere")
    await asker.call("well " + LARGE)
    for prompt, options in (("well", {"stream": False}), ("503", {}), ("well", {"model": "nobody"})):
        asker.got = b""
        asker.transport.write(ask(prompt, **options))
        await asker.until(b"}")
    asker.leave("close")
    leaves = await inside.asker()
    leaves.transport.write(ask("4 leaves"))
    await leaves.until(b" one")
    leaves.leave("reset")
    await inside.quiet()


async def main(folder: Path) -> None:
    watch = Watch()
    async with one_loop(folder, TABLE) as inside:
        await calls(inside)  # what is made once is not a call's
        sys.addaudithook(watch)
        watch.on = True
        await calls(inside)
        watch.on = False
    sys.stdout.writelines(f"{line}\n" for line in watch.seen)


def slip() -> None:
    """A slip as it might be made: each request looks into a file first."""
    head_of = client.head_of

    def looks(place: Place, request: UpstreamRequest) -> bytes:
        Path("/dev/null").read_bytes()
        return head_of(place, request)

    client.head_of = looks


if __name__ == "__main__":
    if sys.argv[2:] == ["slip"]:
        slip()
    uvloop.run(main(Path(sys.argv[1])))
