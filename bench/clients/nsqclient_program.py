"""nsqclient: the iterator path for consuming, as a user would write it."""

from __future__ import annotations

import asyncio

import uvloop

from bench.clients.work import BODY, Stopwatch, Work, work
from nsqclient import Consumer, Producer


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


if __name__ == "__main__":
    job = work()
    uvloop.run({"publish": publish, "batch": batch, "consume": consume}[job.mode](job))
