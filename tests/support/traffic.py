"""A small shop that keeps a cluster busy: what pages about queues are tested and photographed with.

::

    python -m tests.support.traffic --nsqd 127.0.0.1:4150 --nsqd-http 127.0.0.1:4151 --lookupd http://127.0.0.1:4161

It prints ``ready`` once everything is connected, and runs until it is told to stop. There are busy queues and quiet
ones, a channel that nobody consumes, a paused one, one that falls behind, consumers that fail now and then, and
messages for later.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import signal
import urllib.request
from collections.abc import Sequence
from contextlib import AsyncExitStack

from nsqclient import (
    ConnectionOptions,
    Consumer,
    FlowControl,
    Lookup,
    Message,
    NsqError,
    Producer,
)

BODY = b'{"order": 4711, "item": "book", "price": "12.50", "currency": "EUR", "ship": true}'
TICK_S = 0.1
RATES = {"orders": 60.0, "clicks": 240.0, "emails": 12.0, "invoices.created": 4.0}
"""Messages per second, over all nodes."""
PAUSED = ("orders", "audit")
UNCONSUMED = ("invoices.created", "archive")


async def publish(producer: Producer, topic: str, rate: float, chance: random.Random) -> None:
    """Publishes at about ``rate`` messages a second, in small waves."""
    owed = 0.0
    for tick in itertools.count():
        owed += rate * TICK_S * (1.0 + 0.35 * (tick // 100 % 3 - 1))
        bodies, owed = int(owed), owed % 1.0
        try:
            if bodies:
                await producer.publish_many(topic, [BODY] * bodies)
            if topic == "emails" and chance.random() < 0.1:
                await producer.publish(topic, BODY, delay=60.0)
        except NsqError:
            pass  # a test has ended a node; the others go on
        await asyncio.sleep(TICK_S)


def consumers(lookup: Lookup) -> Sequence[Consumer]:
    """Opens nothing yet; the handlers are given to :func:`work`."""

    def one(topic: str, channel: str, host: str, **more: object) -> Consumer:
        options = ConnectionOptions(client_id=host, hostname=f"{host}.shop.example", **more)  # type: ignore[arg-type]
        return Consumer(
            topic, channel, lookup, options=options, max_in_flight=40, flow=FlowControl(backoff=None)
        )

    return [
        one("orders", "billing", "billing-1"),
        one("orders", "billing", "billing-2", compress="snappy"),
        one("orders", "shipping", "shipping-1"),
        one("clicks", "analytics", "analytics-1", compress="deflate:6"),
        one("clicks", "analytics", "analytics-2"),
        one("clicks", "dashboard#ephemeral", "dashboard-1", sample_rate=20),
        one("emails", "send", "mailer-1"),
    ]


async def work(consumer: Consumer, chance: random.Random) -> None:
    """Takes what comes; shipping is slow, and one e-mail of five has to be sent again."""

    async def handle(message: Message) -> None:
        if consumer.channel == "shipping":
            await asyncio.sleep(0.9)
        elif consumer.channel == "send" and chance.random() < 0.2:
            message.requeue(1.0, backoff=False)
        else:
            await asyncio.sleep(chance.random() * 0.02)

    await consumer.run(handle, concurrency=40)


def tell(node: str, path: str, topic: str, channel: str = "") -> None:
    """Makes a change at a nsqd."""
    more = f"&channel={channel}" if channel else ""
    request = urllib.request.Request(f"http://{node}{path}?topic={topic}{more}", method="POST")
    urllib.request.urlopen(request, timeout=10).close()


async def run(nsqds: Sequence[str], https: Sequence[str], lookupds: Sequence[str]) -> None:
    """Until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    for node in https:
        for topic in RATES:
            tell(node, "/topic/create", topic)
        for topic, channel in (PAUSED, UNCONSUMED):
            tell(node, "/channel/create", topic, channel)
        tell(node, "/channel/pause", *PAUSED)
    chance = random.Random(7)
    async with AsyncExitStack() as stack:
        producer = await stack.enter_async_context(Producer(list(nsqds)))
        opened = [
            await stack.enter_async_context(one) for one in consumers(Lookup(*lookupds, poll_interval=0.5))
        ]
        tasks = [
            *(asyncio.create_task(publish(producer, topic, rate, chance)) for topic, rate in RATES.items()),
            *(asyncio.create_task(work(consumer, chance)) for consumer in opened),
        ]
        print(json.dumps({"ready": len(tasks)}), flush=True)  # noqa: T201 - it is how a test knows
        await stop.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description="Keep a cluster busy.")
    for name in ("--nsqd", "--nsqd-http", "--lookupd"):
        parser.add_argument(name, action="append", required=True, metavar="ADDRESS")
    args = parser.parse_args()
    asyncio.run(run(args.nsqd, args.nsqd_http, args.lookupd))


if __name__ == "__main__":
    main()
