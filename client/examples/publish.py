"""Publishes each line of standard input as a message, many at a time; stops at the first that fails.

seq 10000 | python client/examples/publish.py numbers --nsqd 127.0.0.1:4150
seq 10000 | python client/examples/publish.py numbers --lookupd http://127.0.0.1:4161
"""

from __future__ import annotations

import argparse
import asyncio
import sys

from nsqclient import Lookup, Nsqd, Producer, PublishError

IN_FLIGHT = 200
"""Publishes under way at a time."""


async def publish(topic: str, target: Nsqd | Lookup) -> None:
    """Raises an ExceptionGroup of PublishErrors when something could not be published."""
    room = asyncio.Semaphore(IN_FLIGHT)

    async with Producer(target) as producer:

        async def one(line: bytes) -> None:
            await producer.publish(topic, line)
            room.release()

        async with asyncio.TaskGroup() as publishing:
            while line := await asyncio.to_thread(sys.stdin.buffer.readline):
                if body := line.rstrip(b"\n"):
                    await room.acquire()
                    publishing.create_task(one(body))
        print(f"{producer.stats.stored} messages published")


def main() -> int:
    """Reads the command line; the exit status tells whether everything is stored."""
    parser = argparse.ArgumentParser(description="Publish each line of standard input.")
    parser.add_argument("topic")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--nsqd", action="append", metavar="HOST:PORT")
    where.add_argument("--lookupd", action="append", metavar="URL")
    args = parser.parse_args()
    target = Nsqd(*args.nsqd) if args.nsqd else Lookup(*args.lookupd)
    status = 0
    try:
        asyncio.run(publish(args.topic, target))
    except* PublishError as failures:
        print(failures.exceptions[0], file=sys.stderr)
        status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
