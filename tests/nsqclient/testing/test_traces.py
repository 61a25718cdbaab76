"""go-nsq's back-off with its defaults, minutes of it: a scripted nsqd, and a clock that is moved."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from nsqclient import Consumer
from nsqclient.testing import Clock, ScriptedNsqd


class Handler:
    """A consumer in the hands of a scripted nsqd; each message is answered as the test says."""

    def __init__(self, clock: Clock, nsqd: ScriptedNsqd, consumer: Consumer) -> None:
        self.clock = clock
        self.nsqd = nsqd
        self.consumer = consumer

    async def good(self) -> str:
        """A message that is finished; returns its command."""
        message_id = self.nsqd.message()
        (await self.consumer.get()).finish()
        await self.clock.settle()
        return f"FIN {message_id}"

    async def bad(self, *, backoff: bool = True) -> str:
        """A message that is requeued; returns its command."""
        message_id = self.nsqd.message()
        (await self.consumer.get()).requeue(0, backoff=backoff)
        await self.clock.settle()
        return f"REQ {message_id} 0"

    async def waits(self, seconds: float) -> None:
        """Nothing is said for so long, but for heartbeats; then one message is asked for."""
        while seconds > 30:
            await self.clock.advance(30)
            self.nsqd.nothing_more()
            self.nsqd.link.heartbeat()
            seconds -= 30
        await self.clock.advance(seconds - 0.001)
        self.nsqd.nothing_more()
        await self.clock.advance(0.001)
        await self.nsqd.expect("RDY 1")


@pytest_asyncio.fixture
async def cap() -> int:
    return 5


@pytest_asyncio.fixture
async def handler(cap: int) -> AsyncIterator[Handler]:
    async with Clock() as clock, ScriptedNsqd() as nsqd:
        consumer = Consumer("t", "c", nsqd, max_in_flight=cap)
        async with consumer:
            await nsqd.expect("IDENTIFY", "SUB t c", f"RDY {cap}")
            yield Handler(clock, nsqd, consumer)


async def test_waits_grow_to_64_seconds_and_six_good_messages_lead_out(handler: Handler) -> None:
    expect = handler.nsqd.expect
    for wait in (2, 4, 8, 16, 32, 64, 64):
        await expect("RDY 0", await handler.bad())
        await handler.waits(wait)
    for wait in (32, 16, 8, 4, 2):
        await expect("RDY 0", await handler.good())
        await handler.waits(wait)
    finish = await handler.good()
    await expect("RDY 5", finish)
    await expect(await handler.good())
    handler.nsqd.nothing_more()


async def test_trace_a_failures_stop_everything_and_successes_lead_back(handler: Handler) -> None:
    expect = handler.nsqd.expect
    for _ in range(3):
        await expect(await handler.good())
    await expect("RDY 0", await handler.bad())
    await handler.waits(2)
    await expect("RDY 0", await handler.bad())
    await handler.waits(4)
    await expect("RDY 0", await handler.good())
    await handler.waits(2)
    await expect("RDY 5", await handler.good())


@pytest.mark.parametrize("cap", [1])
async def test_trace_b_a_requeue_without_back_off_does_not_change_the_level(handler: Handler) -> None:
    expect = handler.nsqd.expect
    await expect("RDY 0", await handler.bad())
    await handler.waits(2)
    await expect("RDY 0", await handler.bad(backoff=False))
    await handler.waits(2)
    await expect(await handler.good())
    handler.nsqd.nothing_more()


async def test_trace_c_the_level_outlives_a_connection(handler: Handler) -> None:
    expect, nsqd = handler.nsqd.expect, handler.nsqd
    await expect(await handler.good())
    await expect("RDY 0", await handler.bad())
    await handler.waits(2)
    await expect("RDY 0", await handler.bad())
    await handler.waits(4)
    await expect("RDY 0", await handler.good())
    nsqd.link.drop()
    await handler.clock.advance(2)
    await expect("IDENTIFY", "SUB t c", "RDY 1")
    await expect("RDY 5", await handler.good())
    await expect(await handler.good())


async def test_trace_d_a_pause_is_rdy_0_and_nothing_else(handler: Handler) -> None:
    expect = handler.nsqd.expect
    await expect(await handler.good())
    handler.consumer.pause()
    await expect("RDY 0")
    handler.consumer.resume()
    await expect("RDY 5")
    await asyncio.sleep(0)
    handler.nsqd.nothing_more()
