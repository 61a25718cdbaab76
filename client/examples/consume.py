"""Prints the messages of a channel until it is interrupted; then ends in order.

python client/examples/consume.py numbers tail --nsqd 127.0.0.1:4150
python client/examples/consume.py numbers tail --lookupd http://127.0.0.1:4161 --count 10000
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys

from nsqclient import Consumer, Lookup, Message, Nsqd


async def consume(topic: str, channel: str, target: Nsqd | Lookup, count: int) -> None:
    """Handles messages until SIGINT, SIGTERM or ``count`` messages, if that is not 0."""
    seen = 0

    async def handler(message: Message) -> None:
        nonlocal seen
        sys.stdout.buffer.write(message.body + b"\n")
        seen += 1
        if seen == count:
            consumer.stop()

    async with Consumer(topic, channel, target, max_in_flight=200) as consumer:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, consumer.stop)
        await consumer.run(handler, concurrency=20)
    sys.stdout.flush()
    print(consumer.stats, file=sys.stderr)


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description="Print the messages of a channel.")
    parser.add_argument("topic")
    parser.add_argument("channel")
    parser.add_argument("--count", type=int, default=0, help="stop after so many messages")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--nsqd", action="append", metavar="HOST:PORT")
    where.add_argument("--lookupd", action="append", metavar="URL")
    args = parser.parse_args()
    target = Nsqd(*args.nsqd) if args.nsqd else Lookup(*args.lookupd)
    asyncio.run(consume(args.topic, args.channel, target, args.count))


if __name__ == "__main__":
    main()
