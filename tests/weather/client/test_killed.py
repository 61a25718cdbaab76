"""nsqd killed (SIGKILL) and started again while producers and consumers are at work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from nsqclient import Consumer, FlowControl, FullJitter, Message, Producer, RetryPolicy
from tests.nsqclient.producers import until
from tests.weather.client.ledger import Ledger
from tests.weather.client.site import Site

ON_DISK = ("--mem-queue-size=0", "--msg-timeout=2s")
LAZY = ("--sync-every=1000000", "--sync-timeout=1h")
"""What ours has read from disk counts as unread until it is synced: even what is in flight survives."""
EAGER = ("--sync-every=1",)
"""The original forgets even what was written unless it is synced; what it has read and not delivered is lost."""
KILLS = 3
ON_ITS_WAY = 2
"""Messages that the original has between two queues."""
IN_MEMORY = ("--mem-queue-size=10000",)
QUICK = FullJitter(0.01, cap=0.1)
IN_FLIGHT = 10


Work = Callable[[Consumer, Ledger], Coroutine[Any, Any, None]]


class Load:
    """Producers that confirm and producers that do not, until told to stop."""

    def __init__(self, ledger: Ledger, producer: Producer) -> None:
        self.ledger = ledger
        self.producer = producer
        self.going = True

    async def confirmed(self) -> None:
        """One publish after the other, and now and then an MPUB."""
        count = 0
        while self.going:
            count += 1
            if count % 5:
                (body,) = self.ledger.bodies()
                await self.ledger.record([body], self.producer.publish("t", body))
            else:
                bodies = self.ledger.bodies(3)
                await self.ledger.record(bodies, self.producer.publish_many("t", bodies))
            await asyncio.sleep(0.003)

    async def unconfirmed(self) -> None:
        """Fire and forget."""
        while self.going:
            for body in self.ledger.bodies(2):
                self.ledger.calls += 1
                await self.producer.submit("t", body, note=body)
            await asyncio.sleep(0.005)


async def handle(consumer: Consumer, ledger: Ledger) -> None:
    async def handler(message: Message) -> None:
        await asyncio.sleep(0.001)
        ledger.seen[message.body] += 1

    await consumer.run(handler, concurrency=4)


async def iterate(consumer: Consumer, ledger: Ledger) -> None:
    async for message in consumer:
        async with message.contain():
            await asyncio.sleep(0.001)
            ledger.seen[message.body] += 1


@pytest.mark.parametrize("work", [handle, iterate])
async def test_what_was_confirmed_comes_through_kills(
    program: str | Path, tmp_path: Path, work: Work
) -> None:
    ledger = Ledger()
    ours = isinstance(program, str)
    flags = (*ON_DISK, *(LAZY if ours else EAGER))
    async with AsyncExitStack() as stack:
        sites = [await stack.enter_async_context(Site(program, tmp_path / f"{n}", *flags)) for n in range(3)]
        addresses = [site.address for site in sites]
        retry = RetryPolicy(backoff=QUICK, on_unknown="raise")
        async with Producer(addresses, retry=retry, reports="all", timeout=20) as producer:
            listening = asyncio.create_task(ledger.listen(producer))
            async with Consumer(
                "t", "c", addresses, max_in_flight=IN_FLIGHT, flow=FlowControl(backoff=None), reconnect=QUICK
            ) as consumer:
                await until(lambda: consumer.stats.connections == 3)
                working = asyncio.create_task(work(consumer, ledger))
                load = Load(ledger, producer)
                publishing = [asyncio.create_task(each()) for each in (load.confirmed, load.unconfirmed)]
                for site in (sites[0], sites[1], sites[0]):
                    seen = len(ledger.seen)
                    await wait_for(partial(_more_than, ledger, seen + 50))
                    await site.kill()
                    await site.start()
                load.going = False
                await asyncio.gather(*publishing)
                await producer.flush()
                await wait_for(lambda: not ledger.open)
                for site in sites:
                    await site.until_it_holds(0)
                consumer.stop()
                await working
        await listening
        stats = producer.stats
        assert (stats.stored + stats.rejected + stats.not_sent + stats.unknown, stats.pending) == (
            ledger.calls,
            0,
        )
    missing = ledger.stored.keys() - ledger.seen.keys()
    assert len(missing) <= (0 if ours else KILLS * (IN_FLIGHT + ON_ITS_WAY))
    ledger.check(missing)


async def test_what_a_killed_nsqd_loses_is_what_it_held_in_memory(
    program: str | Path, tmp_path: Path
) -> None:
    ledger = Ledger()
    lost: set[bytes] = set()
    async with (
        Site(program, tmp_path / "a", *IN_MEMORY) as victim,
        Site(program, tmp_path / "b", *IN_MEMORY) as other,
        Producer([victim.address, other.address], retry=RetryPolicy(backoff=QUICK)) as producer,
        Consumer(
            "t",
            "c",
            [victim.address, other.address],
            max_in_flight=40,
            flow=FlowControl(backoff=None),
            reconnect=QUICK,
        ) as consumer,
    ):
        await until(lambda: consumer.stats.connections == producer.stats.connections == 2)
        held: dict[bytes, Message] = {}

        async def publish(count: int) -> None:
            for body in ledger.bodies(count):
                await ledger.record([body], producer.publish("t", body))

        async def receive(count: int, *, finish: bool) -> None:
            for _ in range(count):
                message = await consumer.get(timeout=10)
                if finish:
                    ledger.seen[message.body] += 1
                    await message.finish()
                else:
                    held[message.body] = message

        await publish(40)
        await receive(30, finish=True)
        await receive(10, finish=False)
        for body in list(held)[:4]:  # they wait inside nsqd
            await held.pop(body).requeue(3600, backoff=False)
        consumer.pause()
        await publish(30)
        lost = {body for body, node in ledger.stored.items() if node == victim.address} - ledger.seen.keys()
        await victim.until_it_holds(len(lost))
        assert lost
        await victim.kill()
        await until(lambda: consumer.stats.connections == producer.stats.connections == 1)
        assert {message.state for body, message in held.items() if body in lost} <= {"lost"}
        await publish(10)  # fails over
        await victim.start()
        await until(lambda: consumer.stats.connections == producer.stats.connections == 2)
        await publish(10)
        for body, message in held.items():
            if message.state == "held":
                ledger.seen[body] += 1
                message.finish()
        consumer.resume()
        deferred = await other.deferred()
        rest = ledger.stored.keys() - ledger.seen.keys() - lost
        await receive(len(rest) - deferred, finish=True)
        await victim.until_it_holds(0)
        missing = ledger.stored.keys() - ledger.seen.keys() - lost
        assert len(missing) == deferred
        lost |= missing  # these are where they should be, for an hour
        await other.until_it_holds(deferred)
    assert not ledger.seen.keys() & lost, "what was lost came nevertheless"
    ledger.check(lost)


def _more_than(ledger: Ledger, count: int) -> bool:
    return len(ledger.seen) > count


async def wait_for(condition: Callable[[], bool], timeout: float = 20) -> None:
    """For what is counted elsewhere."""
    async with asyncio.timeout(timeout):
        while not condition():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.005)
