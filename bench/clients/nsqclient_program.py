"""nsqclient: the iterator path for consuming, as a user would write it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import uvloop

from bench.clients.work import BODY, Stopwatch, Work, work
from nsqclient import App, Consumer, Message, Producer


async def publish(job: Work) -> None:
    async with Producer(job.address) as producer:
        await producer.publish(job.topic, BODY)
        watch = Stopwatch()

        async def one_after_another(count: int) -> None:
            for _ in range(count):
                await producer.publish(job.topic, BODY)

        await asyncio.gather(*(one_after_another(job.count // job.width) for _ in range(job.width)))
        watch.report()


async def batch(job: Work) -> None:
    async with Producer(job.address) as producer:
        await producer.publish(job.topic, BODY)
        watch = Stopwatch()
        for _ in range(job.count // job.width):
            await producer.publish_many(job.topic, [BODY] * job.width)
        watch.report()


async def submit(job: Work) -> None:
    async with Producer(job.address, max_pending=job.width) as producer:
        await producer.publish(job.topic, BODY)
        watch = Stopwatch()
        for _ in range(job.count):
            await producer.submit(job.topic, BODY)
        await producer.flush()
        watch.report()


async def consume(job: Work) -> None:
    left = job.count
    async with Consumer(job.topic, "ch", job.address, max_in_flight=job.width) as consumer:
        watch = Stopwatch()
        async for message in consumer:
            message.finish()
            left -= 1
            if not left:
                break
        watch.report()


def handler(job: Work, done: Callable[[], object]) -> Callable[[Message], Awaitable[None]]:
    left = job.count

    async def handle(message: Message) -> None:
        nonlocal left
        left -= 1
        if not left:
            done()

    return handle


async def handle(job: Work) -> None:
    consumer = Consumer(job.topic, "ch", job.address, max_in_flight=2_500)
    async with consumer:
        watch = Stopwatch()
        await consumer.run(handler(job, consumer.stop), concurrency=job.width)
        watch.report()


async def app(job: Work) -> None:
    handlers, done = App(job.address), asyncio.Event()
    handlers.on(job.topic, channel="ch", concurrency=job.width, max_in_flight=2_500)(handler(job, done.set))
    async with handlers:
        watch = Stopwatch()
        await done.wait()
        watch.report()


MODES = {
    "publish": publish,
    "batch": batch,
    "submit": submit,
    "consume": consume,
    "handle": handle,
    "app": app,
}

if __name__ == "__main__":
    job = work()
    uvloop.run(MODES[job.mode](job))
