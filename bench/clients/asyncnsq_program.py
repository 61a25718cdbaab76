"""asyncnsq, on uvloop."""

from __future__ import annotations

import asyncio

import asyncnsq
import uvloop

from bench.clients.work import BODY, Stopwatch, Work, work


async def publish(job: Work) -> None:
    host, port = job.address.split(":")
    writer = await asyncnsq.create_writer(host=host, port=int(port))
    watch = Stopwatch()

    async def one_after_another(count: int) -> None:
        for _ in range(count):
            await writer.pub(job.topic, BODY)

    await asyncio.gather(*(one_after_another(job.count // job.width) for _ in range(job.width)))
    watch.report()
    writer.close()


async def batch(job: Work) -> None:
    host, port = job.address.split(":")
    writer = await asyncnsq.create_writer(host=host, port=int(port))
    watch = Stopwatch()
    for _ in range(job.count // job.width):
        await writer.mpub(job.topic, *[BODY] * job.width)
    watch.report()
    writer.close()


async def consume(job: Work) -> None:
    reader = await asyncnsq.create_reader(nsqd_tcp_addresses=[job.address], max_in_flight=job.width)
    left = job.count
    watch = Stopwatch()
    await reader.subscribe(job.topic, "ch")
    async for message in reader.messages():
        await message.fin()
        left -= 1
        if not left:
            break
    watch.report()
    reader.close()


if __name__ == "__main__":
    job = work()
    uvloop.run({"publish": publish, "batch": batch, "consume": consume}[job.mode](job))
