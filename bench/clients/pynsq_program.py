"""pynsq, on tornado's loop."""

from __future__ import annotations

import asyncio
from typing import Any

import nsq

from bench.clients.work import BODY, Stopwatch, Work, work


class Writer(nsq.Writer):  # type: ignore[misc]
    """Tells when it may be used: publishing before fails."""

    def __init__(self, *args: Any) -> None:
        self.ready = asyncio.Event()
        super().__init__(*args)

    def _on_connection_ready(self, conn: Any, **kwargs: Any) -> None:
        super()._on_connection_ready(conn, **kwargs)
        self.ready.set()


async def publish(job: Work) -> None:
    await send(job, "pub", BODY, job.count, job.width)


async def batch(job: Work) -> None:
    await send(job, "mpub", [BODY] * job.width, job.count // job.width, 1)


async def send(job: Work, method: str, body: object, count: int, width: int) -> None:
    writer = Writer([job.address])
    await writer.ready.wait()
    call = getattr(writer, method)
    done = asyncio.Event()
    begun, answered = width, 0

    def answer(conn: object, data: object) -> None:
        nonlocal begun, answered
        if isinstance(data, Exception):
            raise data
        answered += 1
        if begun < count:
            begun += 1
            call(job.topic, body, callback=answer)
        elif answered == count:
            done.set()

    watch = Stopwatch()
    for _ in range(width):
        call(job.topic, body, callback=answer)
    await done.wait()
    watch.report()


async def consume(job: Work) -> None:
    done = asyncio.Event()
    left = job.count

    def handle(message: nsq.Message) -> bool:
        nonlocal left
        left -= 1
        if not left:
            done.set()
        return True

    watch = Stopwatch()
    reader = nsq.Reader(
        job.topic, "ch", message_handler=handle, nsqd_tcp_addresses=[job.address], max_in_flight=job.width
    )
    await done.wait()
    watch.report()
    reader.close()


if __name__ == "__main__":
    job = work()
    asyncio.run({"publish": publish, "batch": batch, "consume": consume}[job.mode](job))
