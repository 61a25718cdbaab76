"""What these tests share: the loop whose clock can be moved, the nsqds to try, and what must be left: nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.needs import original
from tests.weather.client.ledger import tasks_of_ours


@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop that most users have."""
    return {"asyncio": asyncio.new_event_loop}


@pytest.fixture(params=["ours", "original"])
def program(request: pytest.FixtureRequest) -> str | Path:
    """The nsqd that is tried."""
    return "nsqd" if request.param == "ours" else original("nsqd")


@pytest_asyncio.fixture(autouse=True)
async def _nothing_is_left() -> AsyncIterator[None]:
    """No task of the library, and nothing that went wrong where nobody looks."""
    wrong: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: wrong.append(f"{context}"))
    yield
    for _ in range(5):
        await asyncio.sleep(0)
    left = tasks_of_ours()
    loop.set_exception_handler(None)
    assert not left, f"tasks are left: {left}"
    assert not wrong, f"something went wrong unseen: {wrong}"
