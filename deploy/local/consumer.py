"""One consumer process of the demo; ``python -m deploy.local.consumer index|archive`` is run by its crew.

It prints a line of counts whenever there is something new, the first one when it is subscribed. SIGTERM
ends it: what it holds is answered, its report written, exit status 0.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import uvloop

from deploy.local.archive import Archive
from deploy.local.ending import until_signal
from deploy.local.records import BadRecord, decode
from deploy.local.reports import Counts, Report
from nsqclient import Consumer, Failures, FullJitter, Lookup, Message

_TELL_EVERY = 0.2  # seconds
_POLL_EVERY = 1.0  # seconds between questions to nsqlookupd: a restarted nsqd is to be back at once
_MAX_IN_FLIGHT = 3000
_CHANNELS = ("index", "archive")


class Tally:
    """What one consumer has got so far."""

    def __init__(self) -> None:
        self.counts = Counts()
        self.report = Report()

    def take(self, message: Message) -> tuple[str, int, str] | None:
        """The record in the message; a stranger's message is finished and None."""
        try:
            record = decode(message.body)
        except BadRecord:
            self.report.strange += 1
            message.finish()
            return None
        counts = self.counts
        counts.delivered += 1
        counts.last = time.time()
        counts.first = counts.first or counts.last
        return record

    async def tell(self) -> None:
        """Prints the counts when they have changed, until it is cancelled."""
        told = -1
        while True:
            if told != self.counts.delivered:
                told = self.counts.delivered
                print(self.counts.line(), flush=True)
            await asyncio.sleep(_TELL_EVERY)


async def index(consumer: Consumer, tally: Tally) -> None:
    """Notes which lines of each file came."""
    ledger = tally.report.ledger
    async for message in consumer:
        record = tally.take(message)
        if record is not None:
            file, line, _ = record
            ledger.add(file, line)
            message.finish()


async def archive(consumer: Consumer, tally: Tally, folder: Path) -> None:
    """Writes the records to files; a message is finished only when it is written.

    All that came in one turn of the loop is written at once.
    """
    came: list[Message] = []
    some = asyncio.Event()

    def write(files: Archive) -> None:
        batch = came.copy()
        came.clear()
        files.write(message.body for message in batch)
        for message in batch:
            message.finish()

    async def write_always(files: Archive) -> None:
        while True:
            await some.wait()
            some.clear()
            write(files)

    with Archive(folder) as files:
        async with asyncio.TaskGroup() as group:
            writer = group.create_task(write_always(files))
            async for message in consumer:
                if tally.take(message) is not None:
                    came.append(message)
                    some.set()
            writer.cancel()
        write(files)


async def consume(arguments: argparse.Namespace) -> None:
    """Runs until SIGTERM."""
    tally = Tally()
    consumer = Consumer(
        arguments.topic,
        arguments.channel,
        Lookup(*arguments.lookupd, poll_interval=_POLL_EVERY),
        max_in_flight=_MAX_IN_FLIGHT,
        failures=Failures(attempts=0),  # a message is never given up: that would be a loss
        reconnect=FullJitter(cap=1.0),
        drain=10.0,
    )

    async def work() -> None:
        teller = asyncio.create_task(tally.tell())
        if arguments.channel == "index":
            await index(consumer, tally)
        else:
            await archive(consumer, tally, arguments.archive)
        teller.cancel()

    await until_signal(consumer, work)
    print(tally.counts.line(), flush=True)
    tally.report.save(arguments.report)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0 after SIGTERM; what goes wrong ends it with a traceback on stderr."""
    parser = argparse.ArgumentParser(prog="python -m deploy.local.consumer")
    parser.add_argument("channel", choices=_CHANNELS)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--lookupd", action="append", required=True, help="HTTP address, host:port")
    parser.add_argument("--report", type=Path, required=True, help="file for what came")
    parser.add_argument("--archive", type=Path, help="folder for the records of channel archive")
    arguments = parser.parse_args(argv)
    if arguments.channel == "archive" and arguments.archive is None:
        parser.error("archive wants --archive")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(consume(arguments))
    return 0


if __name__ == "__main__":
    sys.exit(main())
