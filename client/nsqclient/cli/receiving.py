"""Receives for a command: until it has enough, nothing comes any more, or somebody interrupts."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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
