"""Consumers that run until they get a signal."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable

from nsqclient import Consumer


async def until_signal(consumer: Consumer, work: Callable[[], Awaitable[None]]) -> None:
    """Opens the consumer and runs ``work``, which is to return when the consumer hands out no more.

    SIGINT and SIGTERM stop the consumer. If it has not subscribed by then, however long that would take,
    it is closed without ``work`` having run.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    subscribed = False

    def end() -> None:
        if subscribed:
            consumer.stop()
        else:
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end)
    try:
        async with consumer:
            subscribed = True
            await work()
    except asyncio.CancelledError:
        if subscribed:
            raise
