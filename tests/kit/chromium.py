"""A real browser without a window, driven over its own protocol (CDP): what a reader of the dashboard has.

`running` starts one for as long as it is needed; `opened` opens a page in it and keeps all that the page
complains of. Where no Chromium is installed the test is skipped, but never in CI, which installs one.
"""

import asyncio
import base64
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import aiohttp
import pytest

from tests.kit.processes import eventually

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
OPTIONS = (
    "--no-sandbox",  # what it shows is ours, and within a container its sandbox has no ground to stand on
    *("--headless=new", "--no-first-run", "--no-default-browser-check", "--disable-gpu", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
    *("--disable-extensions", "--remote-debugging-port=0", "--hide-scrollbars", "about:blank"),
)
CALM_S = 20.0
"""Within so long a page shows what it is waited for."""
IN_CI = os.environ.get("CI", "").lower() in {"1", "true"}


def program() -> str | None:
    """The browser on this machine; None: there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def _installed() -> str | None:
    """The same, once the system's own packages were asked for it."""
    if IN_CI and os.geteuid() == 0 and shutil.which("apt-get"):
        for words in (("update",), ("install", "-y", "--no-install-recommends", "chromium")):
            subprocess.run(["apt-get", "-qq", *words], check=False, stdout=subprocess.DEVNULL)
    return program()


@contextmanager
def running() -> Iterator[str]:
    """Yields where the browser is spoken to."""
    found = program() or _installed()
    if found is None:
        give_up = pytest.fail if IN_CI else pytest.skip
        give_up("no Chromium is installed here (Debian: apt-get install chromium)")
    with tempfile.TemporaryDirectory(prefix="ft-chromium-", ignore_cleanup_errors=True) as folder:
        command = [found, f"--user-data-dir={folder}", *OPTIONS]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            told = Path(folder) / "DevToolsActivePort"
            lines = eventually(lambda: told.exists() and told.read_text().split("\n")[:2])
            yield f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        finally:
            process.terminate()
            process.wait(20)


@dataclass
class Page:
    """One page, and all that went wrong in it."""

    socket: aiohttp.ClientWebSocketResponse
    session: str = ""
    complaints: list[str] = field(default_factory=list)
    """Exceptions, errors of the console, and what its policy forbade."""
    asked: list[str] = field(default_factory=list)
    """Every address that it asked for."""
    ended: list[str] = field(default_factory=list)
    """Those of which nothing more will come."""
    _addresses: dict[str, str] = field(default_factory=dict)
    _numbers: count = field(default_factory=lambda: count(1))
    _waiting: dict[int, asyncio.Future] = field(default_factory=dict)

    async def send(self, method: str, **params):
        """One command, and its result."""
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        await self.socket.send_json(
            {"id": number, "method": method, "params": params}
            | ({"sessionId": self.session} if self.session else {})
        )
        return await answer

    async def listen(self) -> None:
        """Take in what the browser says."""
        async for message in self.socket:
            said = json.loads(message.data)
            if "id" in said:
                answer = self._waiting.pop(said["id"])
                if answer.done():
                    continue
                if "error" in said:
                    answer.set_exception(AssertionError(said["error"]["message"]))
                else:
                    answer.set_result(said["result"])
            else:
                self._note(said["method"], said["params"])

    def _note(self, what: str, facts: dict) -> None:
        match what:
            case "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(facts["exceptionDetails"])[:500])
            case "Runtime.consoleAPICalled":
                self.complaints.append(f"console: {json.dumps(facts['args'])[:500]}")
            case "Log.entryAdded":
                self.complaints.append(f"{facts['entry']['source']}: {facts['entry']['text'][:500]}")
            case "Audits.issueAdded":
                self.complaints.append(f"issue: {json.dumps(facts['issue'])[:500]}")
            case "Network.requestWillBeSent":
                self.asked.append(facts["request"]["url"])
                self._addresses[facts["requestId"]] = self.asked[-1]
            case "Network.loadingFinished" | "Network.loadingFailed":
                self.ended.append(self._addresses.get(facts["requestId"], ""))

    async def run(self, script: str):
        """What an expression comes to in the page; it may be a promise."""
        told = await self.send(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    async def until(self, script: str):
        """What an expression comes to once it comes to something."""
        watch = f"""new Promise((found, gave_up) => {{
            const look = () => {{
                const value = {script};
                if (value) return found(value);
                requestAnimationFrame(look);
            }};
            setTimeout(() => gave_up(new Error("never: " + {json.dumps(script)})), {CALM_S * 1000});
            look();
        }})"""
        return await self.run(watch)

    async def press(self, key: str) -> None:
        """A key, down and up."""
        codes = {"Tab": 9, "Enter": 13}
        told = {"key": key, "code": key, "windowsVirtualKeyCode": codes[key]}
        text = {"text": "\r"} if key == "Enter" else {}
        await self.send("Input.dispatchKeyEvent", type="keyDown", **told, **text)
        await self.send("Input.dispatchKeyEvent", type="keyUp", **told)

    async def sized(self, width: int, height: int, *, phone: bool = False) -> None:
        """As large as a certain screen."""
        await self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=phone,
        )

    async def lit(self, scheme: str) -> None:
        """For a reader who likes it `light` or `dark`."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        await self.send("Emulation.setEmulatedMedia", features=features)

    async def picture(self) -> bytes:
        """What there is to see, as a PNG."""
        return base64.b64decode((await self.send("Page.captureScreenshot", format="png"))["data"])

    async def tree(self) -> list[dict]:
        """What a screen reader is told."""
        found = (await self.send("Accessibility.getFullAXTree"))["nodes"]
        return [node for node in found if not node.get("ignored")]


@asynccontextmanager
async def opened(browser: str, address: str):
    """A page at an address, for as long as the context is open."""
    async with aiohttp.ClientSession() as client, client.ws_connect(browser, max_msg_size=0) as socket:
        page = Page(socket)
        listening = asyncio.get_running_loop().create_task(page.listen())
        try:
            target = (await page.send("Target.createTarget", url="about:blank"))["targetId"]
            attached = await page.send("Target.attachToTarget", targetId=target, flatten=True)
            page.session = attached["sessionId"]
            for room in ("Page", "Runtime", "Log", "Audits", "Network", "Accessibility"):
                await page.send(f"{room}.enable")
            await page.send("Page.navigate", url=address)
            yield page
            await page.send("Page.close")
        finally:
            listening.cancel()
            with suppress(asyncio.CancelledError):
                await listening
