"""``tail``: prints what is published to a topic."""

from __future__ import annotations

import argparse
import secrets
import sys
from collections.abc import Callable, Iterator
from typing import Any

from nsqclient.cli.receiving import as_json, interrupts, json_line, readable, write
from nsqclient.cli.where import where
from nsqclient.consumer.consumer import Consumer
from nsqclient.consumer.failures import Failures
from nsqclient.consumer.message import Message
from nsqclient.errors import ConfigError

NEEDS_TARGET = True
MAX_IN_FLIGHT = 200
ABOUT = """\
Prints the messages of a topic as they come, each body on a line of its own.

  nsq tail orders
  nsq tail orders -n 1
  nsq tail orders --json | jq .attempts

It makes a channel for itself, which is gone when it ends, so it takes nothing away from others and sees what is
published from now on. With --channel it is one consumer of that channel: what it prints, no other one gets.

On a terminal a line begins with the time of the publish, and what is not printable is escaped; elsewhere
bodies are printed as they are. Interrupting it is the usual way to end, with status 0.
"""


def add_to(commands: Any) -> Iterator[tuple[argparse.ArgumentParser, Callable[..., Any]]]:
    """Its arguments, and what does it."""
    parser = commands.add_parser("tail", help="print the messages of a topic", description=ABOUT)
    parser.add_argument("topic", metavar="TOPIC")
    parser.add_argument("-n", "--count", type=int, metavar="N", help="end after so many messages")
    parser.add_argument("--channel", metavar="NAME", help="take the messages of this channel")
    parser.add_argument("--json", action="store_true", help="print an object per message, with all about it")
    yield parser, tail


async def tail(args: argparse.Namespace) -> int:
    """Does it; returns the exit status."""
    if args.count is not None and args.count < 1:
        raise ConfigError(f"-n is {args.count}, want at least 1")
    consumer = Consumer(
        args.topic,
        args.channel or f"tail-{secrets.token_hex(4)}#ephemeral",
        where(args),
        max_in_flight=min(MAX_IN_FLIGHT, args.count or MAX_IN_FLIGHT),
        failures=Failures(attempts=0),
        headers="auto",
        drain=0,
    )
    form = _form(as_lines=sys.stdout.isatty(), as_objects=args.json)
    printed, group = 0, list[Message]()
    async with consumer:
        with interrupts(consumer.stop):
            async for message in consumer:
                group.append(message)
                full = printed + len(group) == args.count
                if full or not consumer.stats.buffered:
                    await write(b"".join(map(form, group)))
                    for each in group:
                        each.finish()
                    printed += len(group)
                    group.clear()
                if full:
                    break
    return 0


def _form(*, as_lines: bool, as_objects: bool) -> Callable[[Message], bytes]:
    if as_objects:
        return lambda message: json_line(as_json(message))
    if as_lines:
        return lambda m: f"{m.timestamp.astimezone():%H:%M:%S.%f} {readable(m.body)}\n".encode()
    return lambda message: message.body + b"\n"
