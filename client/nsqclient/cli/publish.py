"""``pub``: publishes what is given, or what comes from standard input."""

from __future__ import annotations

import argparse
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from nsqclient.cli.lines import chunks, lines
from nsqclient.cli.where import where
from nsqclient.errors import ConfigError, EmptyMessage, MessageTooLarge, NsqError, PublishError
from nsqclient.producer.delivery import Delivery
from nsqclient.producer.producer import Producer

NEEDS_TARGET = True
IN_FLIGHT = 1000
"""Messages given to the producer and not confirmed."""
ABOUT = """\
Publishes messages, and returns when nsqd has confirmed each.

  nsq pub orders '{"name": "book"}'
  nsq pub orders 'not before a minute' --delay 60
  seq 1000 | nsq pub numbers -
  nsq pub pictures - --whole < picture.png

Without a body, or with -, each line of standard input is a message; empty lines are left out. It stops at
the first message that can't be published, says which, and exits with status 1: those before it are stored.
"""


def add_to(commands: Any) -> Iterator[tuple[argparse.ArgumentParser, Callable[..., Any]]]:
    """Its arguments, and what does it."""
    parser = commands.add_parser("pub", help="publish messages", description=ABOUT)
    parser.add_argument("topic", metavar="TOPIC")
    parser.add_argument(
        "body", metavar="BODY", nargs="?", default="-", help="the message; - is standard input"
    )
    parser.add_argument(
        "--whole", action="store_true", help="standard input is one message, whatever is in it"
    )
    parser.add_argument("--delay", type=float, metavar="SECONDS", help="keep it from consumers for so long")
    parser.add_argument(
        "--timeout", type=float, default=5.0, metavar="SECONDS", help="for each message; default 5"
    )
    yield parser, publish


async def publish(args: argparse.Namespace) -> int:
    """Does it; returns the exit status."""
    if args.whole and args.body != "-":
        raise ConfigError("--whole is for standard input, and a body is given")
    pending: deque[tuple[int, Delivery]] = deque()
    async with Producer(where(args), timeout=args.timeout, reports="none") as producer:
        number = 0
        async for body in _bodies(args):
            number += 1
            try:
                delivery = await producer.submit(args.topic, body, delay=args.delay)
            except (MessageTooLarge, EmptyMessage) as e:  # wrong is what came in, not the command line
                raise NsqError(f"message {number}: {e}") from e
            pending.append((number, delivery))
            while len(pending) >= IN_FLIGHT or (pending and pending[0][1].done):
                await _confirmed(*pending.popleft())
        while pending:
            await _confirmed(*pending.popleft())
    if sys.stderr.isatty():
        sys.stderr.write(f"{number} messages published\n")
    return 0


async def _confirmed(number: int, delivery: Delivery) -> None:
    try:
        await delivery
    except PublishError as e:
        e.args = (f"message {number}: {e}",)
        raise


async def _bodies(args: argparse.Namespace) -> AsyncIterator[bytes]:
    if args.body != "-":
        yield args.body.encode("utf-8", "surrogateescape")
    elif args.whole:
        yield b"".join([chunk async for chunk in chunks(sys.stdin.fileno())])
    else:
        async for line in lines(sys.stdin.fileno()):
            yield line
