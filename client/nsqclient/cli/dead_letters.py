"""``dlq``: looks at dead letters, sends them back, or throws them away."""

from __future__ import annotations

import argparse
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from nsqclient.cli.receiving import interrupts, write
from nsqclient.cli.where import where
from nsqclient.connection.endpoint import Endpoint
from nsqclient.consumer.consumer import Consumer
from nsqclient.consumer.failures import Failures
from nsqclient.consumer.message import Message
from nsqclient.errors import Closed, ConfigError
from nsqclient.producer.producer import Producer
from nsqclient.tools.common.showing import as_json, readable

NEEDS_TARGET = True
MAX_IN_FLIGHT = 2500
EXCERPT = 80
"""Characters of a body that ``list`` shows."""
ABOUT = """\
Works through the dead letters in TOPIC: messages that an app gave up and published there.

  nsq dlq list orders.dead
  nsq dlq replay orders.dead -n 10
  nsq dlq drop orders.dead --yes

They are received from the channel 'dlq' of the topic, or --channel; the first time it is used it gets what the
topic has kept. A command ends after -n letters, or when none has come for --wait seconds.
"""
LIST = """\
Prints a line for each letter: its ID, where it came from, after how many attempts, why, and how its body begins.
With --json all of it. The letters stay in the channel (their count of attempts grows). NSQ has no way to look at
messages without taking them, so at most 2500 are listed at a time, and others can't have them meanwhile.
"""
REPLAY = """\
Publishes each letter to the topic it came from, or to --to, and finishes it once nsqd has confirmed that.

All channels of that topic get it again, not only the one where it failed. What the letter tells of its failure
stays behind; other headers go along. A letter that does not say where it came from (headers were switched
off when it was written) stays, is counted, and makes the status 1: give --to for these.
"""
DROP = """\
Finishes the letters: they are gone. It wants --yes, as there is no way back.
"""


def add_to(commands: Any) -> Iterator[tuple[argparse.ArgumentParser, Callable[..., Any]]]:
    """Its arguments, and what does it."""
    dlq = commands.add_parser(
        "dlq",
        help="list, replay or drop dead letters",
        description=ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = dlq.add_subparsers(metavar="list|replay|drop", required=True)
    listing = actions.add_parser("list", help="print them; they stay", description=LIST)
    listing.add_argument("--json", action="store_true", help="print an object per letter, with all about it")
    replaying = actions.add_parser("replay", help="publish them to where they came from", description=REPLAY)
    replaying.add_argument("--to", metavar="TOPIC", help="publish all of them to this topic")
    dropping = actions.add_parser("drop", help="throw them away", description=DROP)
    dropping.add_argument("--yes", action="store_true", help="really")
    for parser, work in ((listing, list_letters), (replaying, replay), (dropping, drop)):
        parser.add_argument("topic", metavar="TOPIC")
        parser.add_argument("-n", "--count", type=int, metavar="N", help="end after so many letters")
        parser.add_argument("--channel", default="dlq", metavar="NAME", help="default: dlq")
        parser.add_argument(
            "--wait",
            type=float,
            default=2.0,
            metavar="SECONDS",
            help="end when none comes for so long; default 2",
        )
        yield parser, work


async def list_letters(args: argparse.Namespace) -> int:
    """Does it; returns the exit status."""
    consumer = _consumer(args, where(args), min(args.count or MAX_IN_FLIGHT, MAX_IN_FLIGHT))
    async with consumer:
        async for letter in _letters(consumer, args, limit=MAX_IN_FLIGHT):
            line = (
                as_json(letter, letter.headers, letter.body) if args.json else f"{_line(letter)}\n".encode()
            )
            await write(line)
    return 0  # what was not answered has gone back as the consumer ended


async def replay(args: argparse.Namespace) -> int:
    """Does it; returns the exit status."""
    endpoint = where(args)
    replayed = homeless = 0
    async with (
        Producer(endpoint, headers="auto") as producer,
        _consumer(args, endpoint, 1) as consumer,
    ):
        async for letter in _letters(consumer, args):
            topic = args.to or letter.headers.get("nsq-topic")
            if topic is None:
                homeless += 1
                consumer.set_max_in_flight(1 + homeless)  # it is kept in hand, and goes back at the end
                continue
            headers = {name: value for name, value in letter.headers.items() if not name.startswith("nsq-")}
            await producer.publish(topic, letter.body, headers=headers)
            letter.finish()
            replayed += 1
    sys.stdout.write(f"{replayed} replayed\n")
    if homeless:
        sys.stderr.write(
            f"nsq: {homeless} letters do not say where they came from and stay; give --to TOPIC\n"
        )
    return 1 if homeless else 0


async def drop(args: argparse.Namespace) -> int:
    """Does it; returns the exit status."""
    if not args.yes:
        raise ConfigError("dropping letters can't be undone; say --yes")
    dropped = 0
    async with _consumer(args, where(args), min(args.count or 100, 100)) as consumer:
        async for letter in _letters(consumer, args):
            letter.finish()
            dropped += 1
    sys.stdout.write(f"{dropped} dropped\n")
    return 0


def _consumer(args: argparse.Namespace, endpoint: Endpoint, max_in_flight: int) -> Consumer:
    if args.count is not None and args.count < 1:
        raise ConfigError(f"-n is {args.count}, want at least 1")
    if args.wait <= 0:
        raise ConfigError(f"--wait is {args.wait:g}, want more than 0")
    return Consumer(
        args.topic,
        args.channel,
        endpoint,
        max_in_flight=max_in_flight,
        failures=Failures(attempts=0),
        headers="auto",
        drain=0,
    )


async def _letters(
    consumer: Consumer, args: argparse.Namespace, limit: int | None = None
) -> AsyncIterator[Message]:
    """As many as are asked for, until none comes any more or somebody interrupts."""
    left = min((n for n in (args.count, limit) if n is not None), default=None)
    with interrupts(consumer.stop):
        while left is None or left > 0:
            try:
                yield await consumer.get(timeout=args.wait)
            except (TimeoutError, Closed):
                return
            if left is not None:
                left -= 1


def _line(letter: Message) -> str:
    told = letter.headers
    origin = f"{told.get('nsq-topic', '?')}/{told.get('nsq-channel', '?')}"
    why = told.get("nsq-error") or told.get("nsq-reason", "?")
    body = readable(letter.body[: 4 * EXCERPT])
    body = body if len(body) <= EXCERPT else f"{body[:EXCERPT]}..."
    return f"{letter.id} {origin} attempts={told.get('nsq-attempts', '?')} {readable(why.encode())} | {body}"
