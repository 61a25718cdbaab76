"""What all disk queues of a daemon share: the write at the end of a turn, the disk thread, the health."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

log = logging.getLogger(__name__)

RETRY_S = 1.0
"""After a read that failed for want of resources."""


class Disk:
    """Collects the loop's disk work. Made in the running loop; :meth:`close` it last.

    One thread does what blocks (fsync, rename, unlink), in the order it was asked to.
    """

    ending = False
    """Queues are being closed: no more syncs."""

    def __init__(self, *, sync_timeout: float) -> None:
        """``sync_timeout``: seconds after which a queue that changed is synced."""
        self.error: OSError | None = None
        """Why the last write failed; None as soon as one succeeds. ``/ping`` answers by it."""
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, "disk")
        self._sync_timeout = sync_timeout
        self._writes: list[Callable[[], None]] = []
        self._syncs: dict[Callable[[], None], None] = {}
        self.removals: dict[str, int] = {}
        """Queues whose files the disk thread has still to remove: the first segment number that is free."""

    def write_soon(self, write: Callable[[], None]) -> None:
        """Calls ``write`` once at the end of this turn of the loop."""
        if not self._writes:
            self._loop.call_soon(self.write_now)
        self._writes.append(write)

    def write_now(self) -> None:
        """Does this turn's writes."""
        writes, self._writes = self._writes, []
        for write in writes:
            try:  # what goes wrong in one queue must not cost the others their turn
                write()
            except Exception:
                log.exception("DISK: a write failed")

    def sync_within_timeout(self, sync: Callable[[], None]) -> None:
        """Calls ``sync`` once before the sync timeout is over; one timer serves all queues."""
        if not self._syncs:
            self._loop.call_later(self._sync_timeout, self._sync_all)
        self._syncs[sync] = None

    def _sync_all(self) -> None:
        syncs, self._syncs = self._syncs, {}
        for sync in syncs:
            sync()

    def later(self, again: Callable[[], None]) -> None:
        """Calls ``again`` after a pause."""
        self._loop.call_later(RETRY_S, again)

    def next_turn(self, again: Callable[[], None]) -> None:
        """Calls ``again`` when others had their turn."""
        self._loop.call_soon(again)

    def run(self, job: Callable[[], object], done: Callable[[OSError | None], None] | None = None) -> None:
        """Runs ``job`` on the disk thread; ``done`` is told in the loop. Without it, errors are logged."""
        future = self._loop.run_in_executor(self._thread, job)
        future.add_done_callback(lambda f: self._finished(f.exception(), done))

    def _finished(self, error: BaseException | None, done: Callable[[OSError | None], None] | None) -> None:
        if error is not None and not isinstance(error, OSError):
            raise error
        if done is not None:
            done(error)
        elif error is not None:
            log.error("DISK: %s", error)

    def remove_queue(self, name: str, free: int, remove: Callable[[], object]) -> None:
        """Runs the last job of a queue that is deleted; a new one of that name begins with segment ``free``."""

        def removed(error: OSError | None) -> None:
            if error is not None:
                log.error("DISK: %s", error)
            if self.removals.get(name) == free:
                del self.removals[name]

        self.removals[name] = free
        self.run(remove, removed)

    def healthy(self) -> None:
        """A write succeeded."""
        self.error = None

    def unhealthy(self, error: OSError) -> None:
        """A write or a sync failed."""
        self.error = error

    def mended(self, error: OSError) -> None:
        """What failed with ``error`` has been done after all; healthy, if nothing else failed since."""
        if self.error is error:
            self.error = None

    async def settled(self) -> None:
        """Returns when all jobs given so far are done."""
        await self._loop.run_in_executor(self._thread, int)

    async def drain(self) -> None:
        """Returns when all jobs given so far are done. From now on nothing is synced: who drains closes the queues.

        A sync that began behind this would store its older positions over those of a closed queue.
        """
        self.ending = True
        self._syncs.clear()
        await self.settled()

    async def close(self) -> None:
        """Waits for the disk thread and ends it."""
        await self.drain()
        self._thread.shutdown()
