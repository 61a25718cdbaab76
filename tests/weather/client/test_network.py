"""Connections that are half open, slow or cut within a frame, with real nsqds behind them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Literal

import pytest

from nsqclient import (
    ConnectionOptions,
    Consumer,
    FlowControl,
    FullJitter,
    Producer,
    PublishError,
    RetryPolicy,
)
from tests.nsqclient.producers import until
from tests.weather.client.ledger import Ledger
from tests.weather.client.site import Site

QUICK = FullJitter(0.01, cap=0.1)
BRISK = ConnectionOptions(heartbeat=1, read_timeout=2.2, handshake_timeout=1, write_timeout=1)
"""What is dead is noticed within three seconds."""
Direction = Literal["both", "to_server", "to_client"]


def consume(site: Site, max_in_flight: int = 10) -> Consumer:
    return Consumer(
        "t",
        "c",
        site.address,
        options=BRISK,
        max_in_flight=max_in_flight,
        flow=FlowControl(backoff=None),
        reconnect=QUICK,
        drain_on_error=1,
    )


async def receive_all(consumer: Consumer, ledger: Ledger) -> None:
    """Until all that was confirmed is there."""
    while not ledger.stored.keys() <= ledger.seen.keys():
        message = await consumer.get(timeout=15)
        await asyncio.sleep(0)
        ledger.seen[message.body] += 1
        message.finish()


@pytest.mark.parametrize("direction", ["both", "to_server", "to_client"])
async def test_a_half_open_connection_is_noticed_and_costs_no_message(
    program: str | Path, tmp_path: Path, direction: Direction
) -> None:
    ledger = Ledger()
    async with (
        Site(program, tmp_path / "n", "--msg-timeout=2s") as site,
        Producer(site.address, options=BRISK, retry=RetryPolicy(backoff=QUICK), timeout=10) as producer,
        consume(site) as consumer,
    ):
        bodies = ledger.bodies(20)
        await ledger.record(bodies, producer.publish_many("t", bodies))
        held = [await consumer.get(timeout=10) for _ in range(3)]
        site.proxy.drop(direction)
        (body,) = ledger.bodies()
        hanging = asyncio.create_task(ledger.record([body], producer.publish("t", body)))
        for message in held:
            ledger.seen[message.body] += 1
            message.finish()  # which vanishes, or not
        await until_lost(consumer, producer)
        site.proxy.heal()
        await hanging
        assert body in ledger.unknown
        for body in ledger.bodies(10):
            await ledger.record([body], producer.publish("t", body))
        async with asyncio.timeout(20):
            await receive_all(consumer, ledger)
            if direction == "to_client":
                await site.until_it_holds(0)
        stats = producer.stats
        assert (stats.stored, stats.unknown, stats.not_sent) == (11, 1, 0)
    ledger.check()


async def until_lost(consumer: Consumer, producer: Producer) -> None:
    """Both gave up their connections."""
    async with asyncio.timeout(8):
        while consumer.stats.connections or producer.stats.connections:  # noqa: ASYNC110 - no event of both
            await asyncio.sleep(0.02)


async def test_answers_lost_after_the_write_are_unknown_each_and_stored_once(
    program: str | Path, tmp_path: Path
) -> None:
    ledger = Ledger()
    async with (
        Site(program, tmp_path / "n", "--msg-timeout=2s") as site,
        Producer(site.address, retry=RetryPolicy(backoff=QUICK, on_unknown="raise")) as producer,
        consume(site) as consumer,
    ):
        await ledger.record(ledger.bodies(), producer.publish("t", b"0"))
        site.proxy.drop("to_client")
        tasks = [
            asyncio.create_task(ledger.record([body], producer.publish("t", body)))
            for body in ledger.bodies(50)
        ]
        async with asyncio.timeout(10):
            while (await site.stats())["message_count"] < 51:  # noqa: ASYNC110 - another process can only be asked
                await asyncio.sleep(0.02)
        site.proxy.cut()
        site.proxy.heal()
        await asyncio.gather(*tasks)
        assert (len(ledger.unknown), producer.stats.unknown) == (50, 50)
        assert site.commands("PUB") == 51
        for _ in range(51):
            message = await consumer.get(timeout=15)
            ledger.seen[message.body] += 1
            await message.finish()
        assert ledger.seen.keys() == ledger.unknown | ledger.stored.keys()
        assert set(ledger.seen.values()) == {1}
        await site.until_it_holds(0)
    ledger.check()


@pytest.mark.parametrize("size", [1, 7, 40, 300])
async def test_a_stream_cut_within_a_frame(program: str | Path, tmp_path: Path, size: int) -> None:
    ledger = Ledger()
    async with (
        Site(program, tmp_path / "n", "--msg-timeout=2s") as site,
        Producer(site.address, retry=RetryPolicy(backoff=QUICK), timeout=10) as producer,
        consume(site) as consumer,
    ):
        for direction in ("to_server", "to_client", "both"):
            await until(lambda: consumer.stats.connections == producer.stats.connections == 1)
            working = asyncio.create_task(_work(consumer, ledger))
            site.proxy.cut_after(size, direction)
            bodies = [ledger.bodies() for _ in range(20)]
            await asyncio.gather(*(ledger.record(each, producer.publish("t", each[0])) for each in bodies))
            site.proxy.heal()
            working.cancel()
            await asyncio.wait([working])
        async with asyncio.timeout(20):
            await receive_all(consumer, ledger)
        assert producer.stats.unknown == len(ledger.unknown)
    ledger.check()


async def _work(consumer: Consumer, ledger: Ledger) -> None:
    async for message in consumer:
        async with message:
            await asyncio.sleep(0.001)
            ledger.seen[message.body] += 1


async def test_a_slow_nsqd_slows_down_and_nothing_more(program: str | Path, tmp_path: Path) -> None:
    ledger = Ledger()
    async with (
        Site(program, tmp_path / "slow") as slow,
        Site(program, tmp_path / "quick") as quick,
        Producer([slow.address, quick.address], options=BRISK, timeout=20) as producer,
        Consumer("t", "c", [slow.address, quick.address], options=BRISK, max_in_flight=20) as consumer,
    ):
        await until(lambda: consumer.stats.connections == producer.stats.connections == 2)
        slow.proxy.throttle(20_000)
        slow.proxy.delay(0.2, "to_client")
        working = asyncio.create_task(_work(consumer, ledger))
        padding = b"." * 1000
        bodies = [body + padding for body in ledger.bodies(100)]
        ledger.open = set(bodies)
        async with asyncio.timeout(20):
            await asyncio.gather(*(ledger.record([body], producer.publish("t", body)) for body in bodies))
            while not ledger.stored.keys() <= ledger.seen.keys():  # noqa: ASYNC110 - handlers only count
                await asyncio.sleep(0.01)
        assert {slow.address, quick.address} == set(ledger.stored.values())
        assert slow.proxy.accepted == 2, "it was slow, not dead"
        working.cancel()
        await asyncio.wait([working])
    ledger.check()


async def test_a_nsqd_that_takes_no_bytes_keeps_nothing_from_the_others(
    program: str | Path, tmp_path: Path
) -> None:
    ledger = Ledger()
    async with (
        Site(program, tmp_path / "stuck") as stuck,
        Site(program, tmp_path / "quick") as quick,
        Producer(
            [stuck.address, quick.address], options=BRISK, retry=RetryPolicy(backoff=QUICK), timeout=5
        ) as producer,
    ):
        await until(lambda: producer.stats.connections == 2)
        stuck.proxy.hold()
        padding = b"." * 100_000
        results = await asyncio.gather(
            *(producer.publish("t", b"%d" % n + padding) for n in range(500)), return_exceptions=True
        )
        failed = [result for result in results if isinstance(result, BaseException)]
        assert all(isinstance(error, PublishError) for error in failed)
        outcomes = [error.outcome for error in failed if isinstance(error, PublishError)]
        assert outcomes == ["unknown"] * producer.stats.unknown
        assert len(failed) < 250, "it got its share although it was stuck"
        stuck.proxy.cut()
        stuck.proxy.heal()
        await ledger.record(ledger.bodies(), producer.publish("t", b"after"))
    ledger.seen.update(ledger.stored)
    ledger.check()
