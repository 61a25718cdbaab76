"""ansq, through its connection: its readers take one message at a time."""

from __future__ import annotations

import asyncio

import uvloop
from ansq.tcp.connection import NSQConnection

from bench.clients.work import BODY, Stopwatch, Work, work


async def connect(job: Work) -> NSQConnection:
    host, port = job.address.split(":")
    connection = NSQConnection(host, int(port))
    await connection.connect()
    await connection.identify()
    return connection


async def publish(job: Work) -> None:
    connection = await connect(job)
    watch = Stopwatch()

    async def one_after_another(count: int) -> None:
        for _ in range(count):
            await connection.pub(job.topic, BODY)

    await asyncio.gather(*(one_after_another(job.count // job.width) for _ in range(job.width)))
    watch.report()
    await connection.close()


async def batch(job: Work) -> None:
    connection = await connect(job)
    watch = Stopwatch()
    for _ in range(job.count // job.width):
        await connection.mpub(job.topic, *[BODY] * job.width)
    watch.report()
    await connection.close()


async def consume(job: Work) -> None:
    connection = await connect(job)
    left = job.count
    watch = Stopwatch()
    await connection.subscribe(job.topic, "ch", job.width)
    async for message in connection.messages():
        await message.fin()
        left -= 1
        if not left:
            break
    watch.report()
    await connection.close()


if __name__ == "__main__":
    job = work()
    uvloop.run({"publish": publish, "batch": batch, "consume": consume}[job.mode](job))
