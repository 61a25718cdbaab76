"""A world of fake daemons for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import aiohttp
import pytest

from tests.nsqadmin.world import World


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with (
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http,
        AsyncExitStack() as stack,
    ):
        yield World(stack, http)
