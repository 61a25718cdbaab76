"""One live cluster and one browser for all tests of pages."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.support.chromium import PATIENCE_MS, chromium, quiet_page
from tests.support.shop import Shop, shop

expect.set_options(timeout=PATIENCE_MS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All share one process, one event loop and its cluster."""
    for item in items:
        if "/nsqadmin/browser/" in item.path.as_posix():
            item.add_marker(pytest.mark.xdist_group("browser"))
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    """The cluster, busy; tests that change it use topics of their own."""
    async with shop(tmp_path_factory.mktemp("shop")) as cluster:
        yield cluster


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A tab; nothing may be said on its console."""
    async with quiet_page(browser) as page:
        yield page
