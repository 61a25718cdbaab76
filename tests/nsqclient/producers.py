"""Publishing in tests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from nsqclient import FullJitter, Producer, Receipt, RetryPolicy

QUICK = RetryPolicy(backoff=FullJitter(0.001, cap=0.01))


async def until(condition: Callable[[], bool]) -> None:
    """For what nobody announces; looks again at each turn of the loop."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0)


def start(producer: Producer, *bodies: bytes, timeout: float = 5.0) -> list[asyncio.Task[Receipt]]:
    """Begins to publish them."""
    return [asyncio.create_task(producer.publish("t", body, timeout=timeout)) for body in bodies]
