"""Writes to an open file in a thread: a reader that is slow holds up nobody but those who wait for it."""

from __future__ import annotations

import asyncio
import os
import queue
import threading

PIECE = 1 << 16
"""Bytes of one write: after each of them it is known what is written."""


class _Job:
    def __init__(self, data: bytes, over: asyncio.Future[None]) -> None:
        self.data = data
        self.over = over
        self.written = 0


class Output:
    """What is given to the file ``descriptor`` is written in that order; for one event loop.

    Its thread is a daemon: a write that never returns does not keep the process from ending.
    """

    def __init__(self, descriptor: int) -> None:
        self.error: OSError | None = None
        """Why no more can be written."""
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._pending = set[_Job]()
        self._abandoned = False
        threading.Thread(target=self._run, name="nsqclient stdout", daemon=True).start()

    async def write(self, data: bytes) -> int:
        """Returns how many bytes of ``data`` are written: all, unless :attr:`error` or :meth:`abandon` stop it."""
        if self._abandoned or self.error is not None:
            return 0
        job = _Job(data, self._loop.create_future())
        self._pending.add(job)
        self._jobs.put(job)
        try:
            await job.over
        finally:
            self._pending.discard(job)
        return job.written

    def abandon(self) -> None:
        """Nothing is waited for any longer."""
        self._abandoned = True
        for job in self._pending:
            _end(job)

    def close(self) -> None:
        """Ends the thread, when it has written what it has."""
        self._jobs.put(None)

    def _over(self, job: _Job, error: OSError | None) -> None:
        if error is not None:
            self.error = error
        _end(job)

    # ---- in the thread

    def _run(self) -> None:
        error: OSError | None = None
        while (job := self._jobs.get()) is not None:
            left = memoryview(job.data)
            try:
                while left and error is None and not self._abandoned:
                    count = os.write(self._descriptor, left[:PIECE])
                    job.written += count
                    left = left[count:]
            except OSError as e:
                error = e
            try:
                self._loop.call_soon_threadsafe(self._over, job, error)
            except RuntimeError:  # the loop is closed: nobody waits any more
                return


def _end(job: _Job) -> None:
    if not job.over.done():
        job.over.set_result(None)
