"""Background tasks that belong to one object: none is left behind, and none dies unnoticed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context


class Tasks:
    """Starts tasks; ``failed`` is told the exception of one that dies."""

    def __init__(self, failed: Callable[[BaseException], None]) -> None:
        self._failed = failed
        self._running: set[asyncio.Task[object]] = set()

    def start(
        self, work: Coroutine[object, object, object], name: str, context: Context | None = None
    ) -> asyncio.Task[object]:
        """Runs ``work`` in the background, in a copy of the caller's context or in the one given."""
        task = asyncio.get_running_loop().create_task(work, name=name, context=context)
        self._running.add(task)
        task.add_done_callback(self._done)
        return task

    def cancel(self) -> None:
        """Tells all of them to end."""
        for task in self._running:
            task.cancel()

    async def finish(self, timeout: float) -> None:
        """Waits until what runs has ended, ``timeout`` seconds at most, and cancels the rest."""
        if self._running:
            await asyncio.wait(self._running, timeout=timeout)
        await self.stop()

    async def stop(self, timeout: float | None = None) -> None:
        """Cancels what runs, and waits until it has ended; for ``timeout`` seconds at most, if given."""
        self.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=timeout)

    def _done(self, task: asyncio.Task[object]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            error = task.exception()
            if error is not None:
                self._failed(error)
