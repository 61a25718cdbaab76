"""Reads an open file without holding the event loop up, and no further ahead than it may."""

from __future__ import annotations

import asyncio
import os
import select
import threading
from collections import deque
from types import TracebackType
from typing import Self

CHUNK = 1 << 16
"""Bytes of one read: what a pipe holds."""
AHEAD = 1 << 20
"""Bytes that are read before anybody takes them."""


class Reader:
    """What comes from the file ``descriptor``; use it with ``with``, in the event loop that takes it.

    A thread reads. After :meth:`stop` nothing more is read, so that nothing is taken out of a pipe and lost.
    """

    def __init__(self, descriptor: int, *, chunk: int = CHUNK, ahead: int = AHEAD) -> None:
        """Reads up to ``chunk`` bytes at a time, up to ``ahead`` bytes and a chunk before they are taken."""
        self.stopped: bool = False
        """Whether it was told to stop."""
        self._descriptor = descriptor
        self._chunk = chunk
        self._ahead = ahead
        self._loop = asyncio.get_running_loop()
        self._changed = threading.Condition()
        self._came = asyncio.Event()
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._ended = False
        self._error: OSError | None = None
        self._told = False
        """Whether the loop was told of what there is."""
        self._wake_end, self._wake = os.pipe()
        self._thread = threading.Thread(target=self._run, name="nsqclient stdin", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the thread, which does not wait for the file."""
        self.stop()
        self._thread.join()
        os.close(self._wake)
        os.close(self._wake_end)

    def stop(self) -> None:
        """Reads no more; what was read can still be taken."""
        if not self.stopped:
            self.stopped = True
            os.write(self._wake, b"x")
            with self._changed:
                self._changed.notify()

    async def take(self) -> bytes:
        """All that was read meanwhile, waiting for some; nothing at the end. Raises OSError."""
        while True:
            with self._changed:
                self._told = False
                if self._chunks:
                    data = b"".join(self._chunks) if len(self._chunks) > 1 else self._chunks[0]
                    self._chunks.clear()
                    self._size = 0
                    self._changed.notify()
                    return data
                if self._error is not None:
                    raise self._error
                if self._ended:
                    return b""
                self._came.clear()
            await self._came.wait()

    # ---- in the thread

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._wake_end, select.POLLIN)
        poll.register(self._descriptor, select.POLLIN)
        try:
            while self._has_room() and self._there_is_some(poll):
                try:
                    data = os.read(self._descriptor, self._chunk)
                except BlockingIOError:  # somebody else made it so, and took what there was
                    continue
                if not data:
                    break
                self._add(data)
        except OSError as e:
            self._error = e
        with self._changed:
            self._ended = True
            self._tell()

    def _has_room(self) -> bool:
        with self._changed:
            while self._size >= self._ahead and not self.stopped:
                self._changed.wait()
        return not self.stopped

    def _there_is_some(self, poll: select.poll) -> bool:
        poll.poll()
        return not self.stopped

    def _add(self, data: bytes) -> None:
        with self._changed:
            self._chunks.append(data)
            self._size += len(data)
            self._tell()

    def _tell(self) -> None:
        if not self._told:
            self._told = True
            try:
                self._loop.call_soon_threadsafe(self._came.set)
            except RuntimeError:  # the loop is closed: nobody takes anything any more
                pass
