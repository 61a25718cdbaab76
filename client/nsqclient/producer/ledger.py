"""What a producer has taken and not been told the end of, and how it ends: told once to whom it concerns."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from nsqclient.errors import NsqError, PublishError
from nsqclient.producer.counts import Counts
from nsqclient.producer.parcels import OVER, Fates, Publish
from nsqclient.producer.reports import Report, Ring
from nsqclient.producer.room import Room


class _Flush(NamedTuple):
    """Somebody who waits for what was pending at that time."""

    pending: set[Publish]
    over: asyncio.Event


class Ledger(Fates):
    """Publishes from the moment they have a place in the room until they give it back."""

    def __init__(self, room: Room, counts: Counts, ring: Ring, wanted: str) -> None:
        """``wanted`` says which reports ``ring`` is to be given."""
        self.live: set[Publish] = set()
        """What has a place."""
        self._room = room
        self._counts = counts
        self._ring = ring
        self._wanted = wanted
        self._flushes: list[_Flush] = []
        self._idle: asyncio.Event | None = None

    async def idle(self) -> None:
        """Waits until nothing is pending, or :meth:`hurry`."""
        if self.live:
            self._idle = asyncio.Event()
            await self._idle.wait()

    def hurry(self) -> None:
        """Nobody is to wait any longer for what is pending."""
        if self._idle is not None:
            self._idle.set()

    def take_back(self, publish: Publish) -> None:
        """Its caller was cancelled before anything was sent."""
        publish.give_up()
        self._counts.not_sent += 1
        self._settle(publish)
        self._release(publish)

    async def flush(self) -> None:
        """Waits until all that is pending now has an outcome."""
        if not self.live:
            return
        flush = _Flush(set(self.live), asyncio.Event())
        self._flushes.append(flush)
        try:
            await flush.over.wait()
        finally:
            self._flushes.remove(flush)

    def stored(self, publish: Publish, now: float) -> None:
        """It succeeded."""
        publish.acked_at = now
        self._counts.stored += 1
        self._settle(publish)
        if not publish.under_way:
            self._release(publish)

    def stored_all(self, publishes: list[Publish]) -> None:
        """The same for many that have no copies, in one piece: a third of the cost of an answer."""
        quiet, room = self._wanted != "all", 0
        for publish in publishes:
            publish.state = OVER
            publish.command = b""
            room += publish.size
            if publish.waiters is not None:
                publish.wake()
            if publish.abandoned or (publish.submitted and not quiet):
                self._report(publish)
        self.live.difference_update(publishes)
        self._counts.stored += len(publishes)
        self._room.give_back(room, len(publishes))
        if self._flushes or self._idle is not None:
            self._left(publishes)

    def failed(self, publish: Publish, error: Exception) -> None:
        """It failed for good."""
        publish.error = error
        self._counts.failed(error.outcome if isinstance(error, PublishError) else publish.outcome)
        if publish.abandoned or (publish.submitted and not publish.waiters):
            self._counts.unheard += 1  # told when the producer is closed
        self._settle(publish)
        if not publish.under_way:
            self._release(publish)

    def _settle(self, publish: Publish) -> None:
        """Its outcome is known."""
        publish.state = OVER
        if publish.waiters is not None:
            publish.wake()
        if publish.submitted or publish.abandoned:
            self._report(publish)

    def _release(self, publish: Publish) -> None:
        """Nothing of it is under way any more."""
        publish.command = b""
        self.live.discard(publish)
        self._room.give_back(publish.size, 1)
        self._left([publish])

    def _left(self, publishes: list[Publish]) -> None:
        """They are not pending any more."""
        if not self.live:
            self.hurry()
        for flush in self._flushes:
            flush.pending.difference_update(publishes)
            if not flush.pending:
                flush.over.set()

    def released(self, publish: Publish) -> None:
        """The last of its copies has ended, after itself had."""
        if publish in self.live:
            self._release(publish)

    def copy_ended(self, publish: Publish, error: PublishError | None, node: str) -> None:
        """It has succeeded without one of its copies, which has ended now or before."""
        wanted = self._wanted
        if wanted == "all" or (wanted == "errors" and error is not None):
            receipt = publish.receipt() if error is None else None
            self._ring.add(
                Report(publish.topic, publish.note, publish.key, receipt, error, publish.abandoned, node)
            )
        if not publish.under_way:
            self.released(publish)

    def _report(self, publish: Publish) -> None:
        wanted, error = self._wanted, publish.error
        if wanted == "none" or (wanted == "errors" and error is None and not publish.abandoned):
            return
        if error is not None and not isinstance(error, NsqError):
            return
        receipt = publish.receipt() if error is None else None
        self._ring.add(Report(publish.topic, publish.note, publish.key, receipt, error, publish.abandoned))
