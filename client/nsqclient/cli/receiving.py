"""Receives for a command: until it has enough, nothing comes any more, or somebody interrupts."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from nsqclient.consumer.message import Message

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def interrupts(stop: Callable[[], object]) -> Iterator[None]:
    """Calls ``stop`` on SIGINT and SIGTERM while it lasts."""
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


async def write(data: bytes) -> None:
    """Writes to standard output, at once; a reader that is slow does not hold the event loop up.

    Raises BrokenPipeError when the reader has gone.
    """
    await asyncio.to_thread(_write, data)


def _write(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def as_json(message: Message) -> dict[str, object]:
    """What ``--json`` prints of a message; a body that is no text in UTF-8 is told in base64."""
    facts: dict[str, object] = {
        "id": message.id,
        "timestamp": message.timestamp.isoformat(),
        "attempts": message.attempts,
        "node": message.node,
    }
    if message.headers:
        facts["headers"] = dict(message.headers)
    try:
        facts["body"] = message.body.decode()
    except UnicodeDecodeError:
        facts["body_base64"] = b64encode(message.body).decode()
    return facts


def json_line(facts: dict[str, object]) -> bytes:
    """One line of JSON."""
    return json.dumps(facts, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def readable(body: bytes) -> str:
    """A body on one line, for people: what would move the cursor or is no text is escaped."""
    text = body.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
