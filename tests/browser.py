"""A real Chromium without a window, driven over its own protocol (Chrome DevTools)."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
MISSING = "chromium is not installed: no web page can be shown"
_AUDIT = Path(__file__).with_name("audit.js").read_text()
# What a screen reader announces by its name alone.
_NAMED_ROLES = frozenset(
    {"button", "link", "textbox", "searchbox", "progressbar", "image", "img", "dialog"}
    | {"region", "alert", "search", "form"}
)
_START_S = 60.0
_ANSWER_S = 60.0


class Tab:
    """One page of the browser, and what it did: messages of its console, addresses it asked."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._trace: list[dict[str, Any]] = []
        self._traced = asyncio.Event()
        self.complaints: list[str] = []
        self.requested: list[str] = []
        self.received_bytes = 0

    async def listen(self) -> None:
        """Take in what the browser says, until it ends."""
        async for message in self._socket:
            said = message.json()
            if "id" in said:
                self._answers.pop(said["id"]).set_result(said)
                continue
            event, facts = said["method"], said["params"]
            if event == "Runtime.exceptionThrown":
                self.complaints.append(str(facts["exceptionDetails"]))
            elif event == "Runtime.consoleAPICalled" and facts["type"] in {"error", "warning"}:
                self.complaints.append(str(facts["args"]))
            elif event == "Log.entryAdded" and facts["entry"]["level"] in {"error", "warning"}:
                self.complaints.append(str(facts["entry"]))
            elif event == "Tracing.dataCollected":
                self._trace += facts["value"]
            elif event == "Tracing.tracingComplete":
                self._traced.set()
            elif event == "Network.requestWillBeSent":
                self.requested.append(facts["request"]["url"])
            elif event == "Network.loadingFinished":
                self.received_bytes += int(facts["encodedDataLength"])

    async def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol; its result."""
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        said = await asyncio.wait_for(answer, _ANSWER_S)
        assert "error" not in said, f"{method}: {said['error']}"
        return dict(said["result"])

    async def run(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        result = await self.send(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    async def until(self, expression: str, within_s: float = 30.0) -> Any:
        """The first true value of an expression; AssertionError with the page otherwise."""
        try:
            async with asyncio.timeout(within_s):
                while not (value := await self.run(expression)):  # noqa: ASYNC110  (no event)
                    await asyncio.sleep(0.1)
        except TimeoutError:
            said = f"{await self.text()}\n{self.complaints}"
            raise AssertionError(f"in vain for {expression}:\n{said}") from None
        return value

    @contextlib.asynccontextmanager
    async def timed_tasks(self) -> AsyncIterator[list[float]]:
        """The tasks of the page's main thread inside the block, filled in at its end: milliseconds
        of CPU each, which other programs of a busy machine do not lengthen.
        """
        cpu_ms: list[float] = []
        self._trace.clear()
        self._traced.clear()
        wanted = {"includedCategories": ["disabled-by-default-devtools.timeline"]}
        await self.send("Tracing.start", traceConfig=wanted, transferMode="ReportEvents")
        yield cpu_ms
        await self.send("Tracing.end")
        await asyncio.wait_for(self._traced.wait(), _ANSWER_S)
        pages = {
            (event["pid"], event["tid"])
            for event in self._trace
            if event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain"
        }
        cpu_ms += [
            event["tdur"] / 1_000
            for event in self._trace
            if event["name"] == "RunTask"
            and (event["pid"], event["tid"]) in pages
            and "tdur" in event  # not one that the beginning or the end of the block cuts
        ]
        assert cpu_ms, "the browser tells the CPU of no task"

    async def audit(self) -> list[str]:
        """What a reader with a screen reader, a keyboard or weak eyes would stumble over."""
        problems: list[str] = await self.run(_AUDIT)
        tree = await self.send("Accessibility.getFullAXTree")
        for node in tree["nodes"]:
            role = node.get("role", {}).get("value")
            if role in _NAMED_ROLES and not node.get("name", {}).get("value", "").strip():
                problems.append(f"a {role} without a name")
        return problems

    async def text(self) -> str:
        """What a person can read of the page."""
        return str(await self.run("document.body.innerText"))

    async def open(self, url: str) -> None:
        """Go to a page."""
        await self.send("Page.navigate", url=url)

    async def resize(self, width: int, height: int, scheme: str) -> None:
        """`scheme`: light or dark."""
        await self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 500,
        )
        media = [{"name": "prefers-color-scheme", "value": scheme}]
        await self.send("Emulation.setEmulatedMedia", features=media)

    async def press(self, key: str) -> None:
        """A key that writes nothing, such as Tab or ArrowRight."""
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowRight": 39}
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            await self.send(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode=codes[key],
                **text,
            )

    async def shoot(self, file: Path, *, whole: bool = True) -> None:
        """A picture of the page as PNG."""
        shot = await self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        _write(file, base64.b64decode(shot["data"]))


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


def _port_of(profile: Path) -> str | None:
    """Where the browser listens, once it does."""
    with contextlib.suppress(FileNotFoundError):
        return next(iter((profile / "DevToolsActivePort").read_text().split()), None)
    return None


@contextlib.asynccontextmanager
async def open_tab(profile: Path) -> AsyncIterator[Tab]:
    """A new browser with one page. `profile`: an empty folder of its own."""
    assert CHROMIUM is not None
    process = await asyncio.create_subprocess_exec(
        CHROMIUM,
        "--headless",
        "--no-sandbox",  # the tests may be run as root
        "--disable-gpu",
        "--disable-background-networking",
        "--no-first-run",
        "--hide-scrollbars",
        "--remote-debugging-port=0",
        f"--user-data-dir={profile}",
        "about:blank",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with aiohttp.ClientSession() as session:
            address = await _tab_address(session, profile)
            async with session.ws_connect(address, max_msg_size=0) as socket:
                tab = Tab(socket)
                listening = asyncio.create_task(tab.listen())
                for domain in ("Page", "Runtime", "Log", "Network"):
                    await tab.send(f"{domain}.enable")
                yield tab
                listening.cancel()
    finally:
        process.terminate()
        await process.wait()


async def _tab_address(session: aiohttp.ClientSession, profile: Path) -> str:
    async with asyncio.timeout(_START_S):
        while (port := _port_of(profile)) is None:  # noqa: ASYNC110  (a file is no event)
            await asyncio.sleep(0.05)
        while True:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as response:
                for target in await response.json():
                    if target["type"] == "page":
                        return str(target["webSocketDebuggerUrl"])
            await asyncio.sleep(0.05)
