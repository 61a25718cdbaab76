"""The event loop stands still for longer than nsqd waits for a sign of life."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from nsqclient import ConnectionOptions, Consumer, FlowControl, FullJitter, LoopBlocked, Message, Producer
from tests.weather.client.ledger import Ledger
from tests.weather.client.site import Site

OPTIONS = ConnectionOptions(heartbeat=1, read_timeout=3)
HEARTBEAT = 1.0


async def test_a_blocked_loop_is_told_and_recovered_from(program: str | Path, tmp_path: Path) -> None:
    """For 2.5 heartbeats: nsqd has closed both connections when the loop goes on."""
    ledger = Ledger()
    quick = FullJitter(0.01, cap=0.1)
    async with (
        Site(program, tmp_path / "n", "--msg-timeout=2s") as site,
        Producer(site.address, options=OPTIONS, timeout=10) as producer,
        Consumer(
            "t",
            "c",
            site.address,
            options=OPTIONS,
            max_in_flight=10,
            flow=FlowControl(backoff=None),
            reconnect=quick,
        ) as consumer,
    ):
        events = consumer.events()
        blocked = False

        async def handler(message: Message) -> None:
            nonlocal blocked
            if not blocked:
                blocked = True
                time.sleep(2.5 * HEARTBEAT)  # noqa: ASYNC251 - what this is about
            ledger.seen[message.body] += 1

        working = asyncio.create_task(consumer.run(handler, concurrency=2))
        for body in ledger.bodies(20):
            await ledger.record([body], producer.publish("t", body))
        for body in ledger.bodies(20):
            await ledger.record([body], producer.publish("t", body))
        async with asyncio.timeout(15):
            while not ledger.stored.keys() <= ledger.seen.keys():  # noqa: ASYNC110 - handlers only count
                await asyncio.sleep(0.01)
        assert consumer.health().ready
        consumer.stop()
        await working
    longest = max([event.seconds async for event in events if isinstance(event, LoopBlocked)])
    assert 1.5 * HEARTBEAT < longest < 10 * HEARTBEAT
    assert len(ledger.stored) + len(ledger.unknown) == 40
    ledger.check()
