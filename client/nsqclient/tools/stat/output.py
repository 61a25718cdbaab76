"""Standard output, written at once and never by the event loop: a reader may be slow, or stop reading."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress


async def write_out(data: bytes) -> None:
    """Writes to standard output; raises BrokenPipeError when its reader has gone, OSError for a full disk.

    A reader that does not read holds up this call alone: whoever cancels it leaves the rest unwritten.
    """
    await apart(lambda: _write(data))


async def apart(work: Callable[[], None]) -> None:
    """Runs ``work`` in a thread of its own, which the end of the process does not wait for, unlike a pool's."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def settle(error: Exception | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    def run() -> None:
        error: Exception | None = None
        try:
            work()
        except Exception as e:  # noqa: BLE001 - it is raised where it is awaited
            error = e
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, error)

    threading.Thread(target=run, name="nsq_stat output", daemon=True).start()
    await done


def _write(data: bytes) -> None:
    descriptor = sys.stdout.fileno()
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]
