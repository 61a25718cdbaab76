"""Reads standard input without holding up the event loop, nor the end of the process."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator

CHUNK = 1 << 16
AHEAD = 8
"""Chunks that are read before anybody asks."""


async def chunks(descriptor: int) -> AsyncIterator[bytes]:
    """What comes from an open file, as it comes; raises OSError.

    It is read in a daemon thread: one of a pool would keep the process from ending while nothing comes.
    """
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes | OSError] = asyncio.Queue()
    room = threading.Semaphore(AHEAD)

    def read() -> None:
        got: bytes | OSError = b"x"
        while got and not isinstance(got, OSError):
            room.acquire()
            try:
                got = os.read(descriptor, CHUNK)
            except OSError as e:
                got = e
            try:
                loop.call_soon_threadsafe(queue.put_nowait, got)
            except RuntimeError:  # the loop is closed: nobody wants it any more
                return

    threading.Thread(target=read, name="nsqclient stdin", daemon=True).start()
    while got := await queue.get():
        if isinstance(got, OSError):
            raise got
        room.release()
        yield got


async def lines(descriptor: int) -> AsyncIterator[bytes]:
    """Each line without its end, as soon as it is complete; empty ones are left out."""
    rest = b""
    async for chunk in chunks(descriptor):
        *complete, rest = (rest + chunk).split(b"\n")
        for line in complete:
            if body := line.removesuffix(b"\r"):
                yield body
    if rest:
        yield rest
