"""Everything that waits, cancelled at each place where it does, with a real nsqd; then all messages are counted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from nsqclient import App, Consumer, FlowControl, FullJitter, Message, MessageBatch, Producer, RetryPolicy
from tests.support.cancellation import at_each_wait
from tests.weather.client.ledger import Ledger
from tests.weather.client.site import Site

QUICK = FullJitter(0.01, cap=0.1)
EACH = 3
"""Messages for each round."""


@dataclass
class World:
    site: Site
    ledger: Ledger
    producer: Producer
    consumer: Consumer | None = None
    """For calls of one that is open already."""

    def make_consumer(self, **settings: Any) -> Consumer:
        return Consumer(
            "t",
            "c",
            self.site.address,
            max_in_flight=EACH,
            flow=FlowControl(backoff=None),
            reconnect=QUICK,
            drain=0.5,
            drain_on_error=0.5,
            **settings,
        )

    @property
    def open(self) -> Consumer:
        assert self.consumer is not None
        return self.consumer

    def done(self, message: Message) -> None:
        """It was worked on to the end."""
        self.ledger.seen[message.body] += 1


# ---- a producer's


async def publish(world: World) -> None:
    (body,) = world.ledger.bodies()
    await world.ledger.record([body], world.producer.publish("t", body))


async def publish_many(world: World) -> None:
    bodies = world.ledger.bodies(3)
    await world.ledger.record(bodies, world.producer.publish_many("t", bodies))


async def submit(world: World) -> None:
    (body,) = world.ledger.bodies()
    try:
        delivery = await world.producer.submit("t", body, note=body)
    except asyncio.CancelledError:
        world.ledger.note([body], outcome="not_sent")
        raise
    await delivery


async def flush(world: World) -> None:
    await submit(world)
    await world.producer.flush()


async def live_as_a_producer(world: World) -> None:
    ledger = world.ledger
    bodies = ledger.bodies(2)
    left = asyncio.Event()

    async def listen(producer: Producer) -> None:
        await ledger.listen(producer)
        left.set()

    try:
        async with Producer(world.site.address, reports="all", close_timeout=1) as producer:
            listening = asyncio.create_task(listen(producer))
            await producer.submit("t", bodies[0], note=bodies[0])
            await ledger.record(bodies[1:], producer.publish("t", bodies[1]))
    finally:
        if "listening" in locals():
            await asyncio.wait([listening])
        for body in bodies:
            if body in ledger.open:  # it was never called
                ledger.note([body], outcome="not_sent")


# ---- a consumer's


async def get(world: World) -> None:
    message = await world.open.get(timeout=5)
    world.done(message)
    await message.finish()


async def iterate(world: World) -> None:
    count = 0
    async for message in world.open:
        async with message, message.keep_alive():
            await asyncio.sleep(0)
            message.touch()
            await asyncio.sleep(0)
            world.done(message)
        count += 1
        if count == EACH:
            return


async def iterate_batches(world: World) -> None:
    async for batch in world.open.batches(max_messages=2, linger=0.01):
        async with batch:
            await asyncio.sleep(0)
            for message in batch:
                world.done(message)
        return


async def handle(world: World) -> None:
    """Handlers for as long as there is something to do."""
    left = EACH

    async def handler(message: Message) -> None:
        nonlocal left
        await asyncio.sleep(0)
        world.done(message)
        left -= 1
        if left == 0:
            over.set()

    over = asyncio.Event()
    async with world.open.parallel(2) as pool:
        running = asyncio.ensure_future(pool.run(handler))
        try:
            await over.wait()
        finally:
            running.cancel()
            await asyncio.wait([running])


async def live_as_a_consumer(world: World) -> None:
    count = 0
    async with world.make_consumer() as consumer:
        async for message in consumer:
            async with message:
                await asyncio.sleep(0)
                world.done(message)
            count += 1
            if count == EACH - 1:
                return


async def live_with_handlers(world: World) -> None:
    left = EACH
    async with world.make_consumer() as consumer:

        async def handler(message: Message) -> None:
            nonlocal left
            await asyncio.sleep(0.001)
            world.done(message)
            left -= 1
            if left == 0:
                consumer.stop()

        await consumer.run(handler, concurrency=2)


async def live_with_batches(world: World) -> None:
    left = EACH
    async with world.make_consumer() as consumer:

        async def handler(batch: MessageBatch) -> None:
            nonlocal left
            await asyncio.sleep(0.001)
            for message in batch:
                world.done(message)
            left -= len(batch)
            if left <= 0:
                consumer.stop()

        await consumer.run_batches(handler, max_messages=2, linger=0.005, concurrency=2)


async def close_by_hand(world: World) -> None:
    consumer = world.make_consumer()
    await consumer.__aenter__()
    try:
        message = await consumer.get(timeout=5)
        world.done(message)
        message.finish()
    finally:
        await consumer.close(0)


async def live_as_an_app(world: World) -> None:
    app = App(world.site.address)
    left = EACH

    @app.on("t", channel="c", concurrency=2)
    async def handler(message: Message) -> None:
        nonlocal left
        await asyncio.sleep(0)
        world.done(message)
        left -= 1
        if left == 0:
            over.set()

    over = asyncio.Event()
    async with app:
        await over.wait()


Work = Callable[[World], Awaitable[None]]
PUBLISHING: list[Work] = [publish, publish_many, submit, flush, live_as_a_producer]
CALLS: list[Work] = [get, iterate, iterate_batches, handle]
LIVES: list[Work] = [live_as_a_consumer, live_with_handlers, live_with_batches, close_by_hand, live_as_an_app]


@pytest.mark.parametrize("late", [False, True], ids=["", "late"])
@pytest.mark.parametrize("work", [*PUBLISHING, *CALLS, *LIVES])
async def test_cancelled_at_each_wait(program: str | Path, tmp_path: Path, work: Work, late: bool) -> None:
    ledger = Ledger()
    async with (
        Site(program, tmp_path / "n", "--msg-timeout=3s") as site,
        Producer(site.address, retry=RetryPolicy(backoff=QUICK), reports="all") as producer,
    ):
        world = World(site, ledger, producer)
        listening = asyncio.create_task(ledger.listen(producer))
        if work in CALLS:
            async with world.make_consumer() as consumer:
                world.consumer = consumer
                await rounds(world, work, late)
        else:
            await rounds(world, work, late)
        await producer.flush()
        await producer.close()
        await listening
        async with world.make_consumer() as consumer:
            async with asyncio.timeout(30):
                while not ledger.stored.keys() <= ledger.seen.keys():
                    message = await consumer.get()
                    world.done(message)
                    await message.finish()
                await site.until_it_holds(0)
    ledger.check()


async def rounds(world: World, work: Work, late: bool) -> None:
    """One for each place, and one undisturbed."""
    before = asyncio.all_tasks()

    async def run() -> None:
        await work(world)

    if work not in PUBLISHING:
        await supply(world)
    count = 0
    async for cut in at_each_wait(run, late=late):
        count += 1
        assert cut.cancelled or cut.error is None, cut.error
        left = {task for task in asyncio.all_tasks() - before if task.get_name().startswith("nsqclient")}
        if work not in CALLS:
            assert not left
        elif work is not handle:  # whose handlers take the next messages at once
            stats = world.open.stats
            assert stats.in_flight == stats.buffered, "a message was taken that nobody has"
        if work not in PUBLISHING:
            await supply(world)
    assert count > 1


async def supply(world: World) -> None:
    bodies = world.ledger.bodies(EACH)
    await world.ledger.record(bodies, world.producer.publish_many("t", bodies))
