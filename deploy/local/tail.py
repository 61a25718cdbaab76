"""``python -m deploy.local.tail TOPIC LOOKUPD``: prints what is published to a topic, until Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections.abc import Sequence

from deploy.local.ending import until_signal
from nsqclient import ConfigError, Consumer, FullJitter, Lookup

CHANNEL = "tail#ephemeral"
"""Goes away with its last consumer, so that nothing piles up in it."""


async def tail(consumer: Consumer) -> None:
    """Prints message bodies line by line, what is not UTF-8 escaped, until SIGINT or SIGTERM."""

    async def work() -> None:
        async for message in consumer:
            async with message:
                print(message.body.decode("utf-8", "backslashreplace"), flush=True)

    await until_signal(consumer, work)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0 after a signal, 2 for bad arguments."""
    parser = argparse.ArgumentParser(prog="python -m deploy.local.tail", description=__doc__)
    parser.add_argument("topic")
    parser.add_argument("lookupd", nargs="+", help="HTTP address of a nsqlookupd, such as 127.0.0.1:4161")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        target = Lookup(*arguments.lookupd, poll_interval=1)
        consumer = Consumer(
            arguments.topic, CHANNEL, target, max_in_flight=100, reconnect=FullJitter(cap=1.0)
        )
    except ConfigError as e:
        parser.error(str(e))
    asyncio.run(tail(consumer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
