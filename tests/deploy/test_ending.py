from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from types import TracebackType
from typing import Self, cast

import pytest

from deploy.local.ending import until_signal
from nsqclient import Consumer


class FakeConsumer:
    def __init__(self, enter: Callable[[], None]) -> None:
        self.stopped = asyncio.Event()
        self.closed = False
        self.answers = True
        self._enter = enter

    def stop(self) -> None:
        self.stopped.set()

    async def __aenter__(self) -> Self:
        self._enter()
        if not self.answers:
            await asyncio.Event().wait()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closed = True


def signal_us(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_stops_a_consumer_that_is_subscribed(number: signal.Signals) -> None:
    consumer = FakeConsumer(enter=lambda: None)

    async def work() -> None:
        signal_us(number)
        await consumer.stopped.wait()

    async with asyncio.timeout(10):
        await until_signal(cast(Consumer, consumer), work)
    assert consumer.closed


async def test_a_signal_ends_a_consumer_that_waits_for_its_subscription() -> None:
    consumer = FakeConsumer(enter=lambda: signal_us(signal.SIGTERM))
    consumer.answers = False

    async def work() -> None:
        pytest.fail("it is not subscribed")

    async with asyncio.timeout(10):
        await until_signal(cast(Consumer, consumer), work)
    assert not consumer.stopped.is_set()


async def test_a_cancellation_from_elsewhere_is_not_swallowed() -> None:
    consumer = FakeConsumer(enter=lambda: None)

    async def work() -> None:
        await asyncio.Event().wait()

    task = asyncio.create_task(until_signal(cast(Consumer, consumer), work))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert consumer.closed
