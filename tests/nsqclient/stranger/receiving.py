"""Receives in every way there is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar, assert_type

from redis.asyncio import Redis

import nsqclient
from nsqclient import (
    Backoff,
    Consumer,
    Dedup,
    Failures,
    FlowControl,
    FoundNode,
    Health,
    Leases,
    LinearRequeue,
    Lookup,
    MemoryStore,
    Message,
    MessageBatch,
    RedisStore,
)

T = TypeVar("T")
log = logging.getLogger("stranger")


@dataclass
class Order:
    """What is sold."""

    customer: str
    cents: int


class Shouting:
    """A codec."""

    content_type = "text/x-shouting"

    def encode(self, value: object) -> bytes:
        """In capitals."""
        return str(value).upper().encode()

    def decode(self, data: bytes, as_type: type[T]) -> T:
        """As text."""
        text = data.decode()
        if isinstance(text, as_type):
            return text
        raise nsqclient.CodecError("only text is shouted")


class Steady:
    """A back-off."""

    def calculate(self, level: int) -> float:
        """Half a second, whatever the level."""
        return 0.5 * bool(level)


def nearby(node: FoundNode) -> bool:
    """Chooses nsqds."""
    return node.zone == "eu-1a" and not node.tombstones


def by_order(message: Message) -> str:
    """What makes two messages the same."""
    return message.key or message.decode(Order).customer


async def keep(message: Message, error: BaseException | None) -> None:
    """Is told of messages that are given up."""
    log.error("%s from %s, attempt %d", message.id, message.node, message.attempts, exc_info=error)


async def timed(call_next: Callable[[Message], Awaitable[object]], message: Message) -> object:
    """Middleware."""
    return await call_next(message)


async def one_by_one(consumer: Consumer) -> None:
    """In this task."""
    async for message in consumer:
        async with message:
            assert_type(message, Message)
            assert_type(message.decode(Order), Order)
            assert_type(message.decode(list[int]), list[int])
            assert_type(message.json(), Any)
            assert_type(message.timestamp, datetime)
            headers: Mapping[str, str] = message.headers
            if message.time_left() < 1 and message.state == "held" and not headers:
                message.touch()
            async with message.keep_alive(limit=60):
                await asyncio.sleep(0)
            if message.attempts > 1:
                raise nsqclient.Retry(after=5, backoff=False)
    message = await consumer.get(timeout=5)
    await message.requeue(30, backoff=False)
    async with message.contain():
        raise nsqclient.DeadLetter("no such customer")


async def many(consumer: Consumer) -> None:
    """Batches, pools, threads."""
    async for batch in consumer.batches(max_messages=100, linger=0.5):
        assert_type(batch, MessageBatch)
        assert_type(batch.bodies, list[bytes])
        batch.settle(requeue=[batch[0], 1])

    async def handle(message: Message) -> None:
        message.finish()

    def in_thread(message: Message) -> int:
        return len(message.body)

    async def handle_batch(batch: MessageBatch) -> None:
        batch.touch()

    async with consumer.parallel(32) as pool:
        await pool.run(handle)
    await consumer.run(in_thread, concurrency=4, timeout=10)
    await consumer.run_batches(handle_batch, max_messages=10, linger=1.0)


async def watch(consumer: Consumer) -> None:
    """What happens, and steering it."""
    async for event in consumer.events():
        if isinstance(event, nsqclient.BackoffEntered):
            log.info("level %d for %s s", event.level, event.wait)
        elif isinstance(event, nsqclient.NodeDown | nsqclient.NodeUp):
            log.info("%s", event.node)
    consumer.pause()
    consumer.resume()
    consumer.set_max_in_flight(10)
    consumer.rate_limit(100.0)
    consumer.connect("a:4150")
    await consumer.disconnect("a:4150", drain=1)
    assert_type(consumer.health(), Health)
    assert_type(consumer.stats.in_flight, int)
    consumer.stop()


async def main() -> None:
    """Makes consumers."""
    async with Consumer(
        "orders",
        "billing",
        Lookup(
            "http://lookup:4161",
            discovery_filter=lambda nodes: [node for node in nodes if nearby(node)],
            ask="one",
            drop_missing_after=60,
        ),
        max_in_flight=200,
        flow=FlowControl(spread="eager", backoff=Backoff(strategy=Steady(), scope="node"), rate=1000),
        failures=Failures(
            attempts=3,
            requeue=LinearRequeue(10, 60),
            give_up=keep,
            dead_letter="orders.dead",
            on_expired="drop",
        ),
        leases=Leases(auto_touch=True, limit=300),
        dedup=Dedup(MemoryStore(), window=60, key=by_order),
        codec=Shouting(),
        headers="auto",
        around=[timed],
        create=True,
        drain=10,
    ) as consumer:
        await one_by_one(consumer)
        await many(consumer)
        await watch(consumer)
    shared = Dedup(RedisStore(Redis(host="127.0.0.1")))
    flow = FlowControl(backoff=None, backoff_on=("lease_lost", lambda error: isinstance(error, OSError)))
    Consumer("orders", "archive", "a:4150", dedup=shared, headers="auto", flow=flow)
