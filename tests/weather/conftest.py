"""The loop that this folder's tests run on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import pytest_asyncio
import uvloop

from tests.support import history


@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop that the daemon really runs on."""
    return {"uvloop": uvloop.new_event_loop}


@pytest_asyncio.fixture(autouse=True)
async def _no_client_is_left() -> AsyncIterator[None]:
    """What a failing test leaves open would fail another."""
    history.opened.clear()
    yield
    await history.part(*history.opened)
