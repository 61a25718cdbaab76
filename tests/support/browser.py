"""A real browser without a window: Chromium, driven over its own debugging protocol.

::

    async with Chromium(tmp_path) as browser:
        page = await browser.page("http://127.0.0.1:4180/")
        assert await page.evaluate("document.title") == "nsq_to_ws"

A test that needs it is skipped where there is none. Every wait has an end.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import shutil
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import pytest

PATIENCE_S = 30.0
NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless=new",
    "--no-sandbox",  # tests run as root, in containers
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
    "--remote-debugging-port=0",
    "--window-size=1000,800",
)


def program() -> str:
    """The browser's path; skips the test without one."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"there is no browser: none of {', '.join(NAMES)}")
    return found


class Page:
    """One tab."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self._ws = ws
        self._numbers = itertools.count(1)

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One command of the debugging protocol, and its result; events are passed over."""
        number = next(self._numbers)
        await self._ws.send_json({"id": number, "method": method, "params": params})
        async with asyncio.timeout(PATIENCE_S):
            while True:
                answer = await self._ws.receive_json()
                if answer.get("id") == number:
                    assert "error" not in answer, answer
                    result = answer["result"]
                    assert isinstance(result, dict)
                    return result

    async def evaluate(self, code: str) -> Any:
        """The value of an expression in the page, or of the promise that it is."""
        answer = await self.call(
            "Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True, userGesture=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def until(self, code: str) -> Any:
        """Waits for an expression to become true, and returns its value."""
        async with asyncio.timeout(PATIENCE_S):
            while not (value := await self.evaluate(code)):  # noqa: ASYNC110 - the page tells nobody
                await asyncio.sleep(0.02)
        return value

    async def screenshot(self, path: Path) -> None:
        """What the page looks like, as PNG."""
        shot = await self.call("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(shot["data"]))


class Chromium:
    """The browser; it runs while the block does."""

    def __init__(self, folder: Path) -> None:
        """Its profile is kept in ``folder``."""
        self._program = program()
        self._profile = folder / "chromium"

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            self._program,
            *FLAGS,
            f"--user-data-dir={self._profile}",
            "about:blank",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        self._http = aiohttp.ClientSession()
        self._sockets: list[aiohttp.ClientWebSocketResponse] = []
        ready = self._profile / "DevToolsActivePort"
        async with asyncio.timeout(PATIENCE_S):
            while not (ready.exists() and ready.read_text().count("\n")):
                assert self._process.returncode is None, "the browser did not start"
                await asyncio.sleep(0.05)
        self._base = f"http://127.0.0.1:{ready.read_text().splitlines()[0]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for ws in self._sockets:
            await ws.close()
        await self._http.close()
        if self._process.returncode is None:
            self._process.terminate()
            try:
                async with asyncio.timeout(10):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()

    async def page(self, url: str) -> Page:
        """A tab that has loaded ``url``."""
        async with self._http.put(f"{self._base}/json/new?about:blank") as answer:
            target = (await answer.json())["webSocketDebuggerUrl"]
        ws = await self._http.ws_connect(target, max_msg_size=64 << 20)
        self._sockets.append(ws)
        page = Page(ws)
        await page.call("Page.navigate", url=url)
        await page.until(f"location.href === {url!r} && document.readyState === 'complete'")
        return page
