"""Debian's Chromium under Playwright, and a page that must have nothing to say on its console.

::

    async with chromium() as browser, quiet_page(browser) as page:
        await page.goto("http://127.0.0.1:4171/")

No browser is downloaded: it is the machine's own, and a test that needs it is skipped without one (in continuous
integration: failed).
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import Browser, ConsoleMessage, Page, Request, async_playwright

from tests.support.needs import lacking

NAMES = ("chromium", "chromium-browser", "google-chrome")
PATIENCE_MS = 20_000
WIDE = {"width": 1400, "height": 900}
PHONE = {"width": 390, "height": 844}


def program() -> str:
    """The browser's path."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    return found or lacking(f"there is no browser: none of {', '.join(NAMES)}")


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A browser without a window; it ends with the block."""
    path = program()
    async with async_playwright() as playwright:
        # Tests run as root, and in containers whose shared memory is small.
        flags = ["--no-sandbox", "--disable-dev-shm-usage"]
        browser = await playwright.chromium.launch(executable_path=path, args=flags)
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def quiet_page(
    browser: Browser, *, may_fail: tuple[str, ...] = (), **context: Any
) -> AsyncIterator[Page]:
    """A tab with cookies of its own; ``context`` as in Playwright's ``new_context`` (``color_scheme``, ``viewport``).

    At the end of the block the browser must have logged nothing, no script must have failed, and every request
    must have been answered, but for those whose address holds one of ``may_fail``. A status of 4xx or 5xx, which
    Chromium logs as an error, counts as a failed request.
    """
    said: list[str] = []

    def console(message: ConsoleMessage) -> None:
        address = message.location.get("url", "")
        if not any(part in address for part in may_fail):
            said.append(f"{message.type}: {message.text} ({address})")

    def failed(request: Request) -> None:
        # What a page was still loading when it was left is aborted, and that is no fault.
        if request.failure != "net::ERR_ABORTED" and not any(part in request.url for part in may_fail):
            said.append(f"{request.method} {request.url}: {request.failure}")

    own = await browser.new_context(**{"viewport": WIDE} | context)
    own.set_default_timeout(PATIENCE_MS)
    try:
        page = await own.new_page()
        page.on("console", console)
        page.on("pageerror", lambda error: said.append(f"script: {error}"))
        page.on("requestfailed", failed)
        yield page
        assert not said, f"the browser has something to say: {said}"
    finally:
        await own.close()
