"""One topic: takes messages and copies each to all channels; keeps them while there is no channel to take them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from math import inf
from typing import Any

from nsqd.channel import Channel
from nsqd.errors import EXITING, Refused
from nsqd.frames import FRAME_OVERHEAD, Batch
from nsqd.message_queue import Budget, MessageQueue
from nsqd.storage.backend import Backend, Stored
from nsqd.storage.ticket import Ticket

DRAIN_RUN = 2000
"""Messages that go from the topic's own queue to the channels in one turn of the loop, at least."""
DRAIN_BYTES = 4 << 20


class Topic:
    """Messages go straight to the channels; the topic's own queue is used only while they can't.

    That is: while the topic is paused, has no channel, or has not started because nsqlookupd is being asked
    which channels it should have. What gathered meanwhile goes first, in slices, and new messages queue
    behind it until it is gone.
    """

    def __init__(
        self,
        name: str,
        *,
        limit: int,
        budget: Budget,
        make_backend: Callable[[Callable[[], None]], Backend],
        discard: Callable[[deque[Any]], None],
    ) -> None:
        """Parameters as of :class:`Channel`; the topic begins not started: call :meth:`start`."""
        self.name = name
        self.channels: dict[str, Channel] = {}
        self.paused = False
        self.started = False
        self.exiting = False
        self.message_count = self.message_bytes = 0
        self.deferred: list[tuple[float, bytes]] = []
        """(Due, past frame) of deferred messages that no channel took yet."""
        self._loop = asyncio.get_running_loop()
        self.backend = make_backend(self._drain_soon)
        self.queue = MessageQueue(self.backend, limit=limit, budget=budget)
        self._discard = discard
        self._direct: list[Channel] = []  # the channels, while nothing keeps messages from them; else empty
        self._draining = False
        self._put_since_drain = 0
        self.deferred += self.backend.restored(self._loop.time())
        self._restored = bool(self.deferred)  # some of them are kept by the backend, too

    def __repr__(self) -> str:
        return f"<Topic {self.name} depth={self.depth} channels={list(self.channels)}>"

    @property
    def depth(self) -> int:
        """Messages that no channel has got yet."""
        return self.queue.depth + len(self.deferred)

    # -- in ----------------------------------------------------------------------------------------

    def put(self, batch: Batch) -> Ticket | None:
        """Takes fresh messages: None when that is done, a ticket while it waits for the disk.

        Raises Refused when the topic is being deleted or the daemon stops.
        """
        if self.exiting:
            raise Refused(EXITING)
        ticket: Ticket | None = None
        for channel in self._direct:
            spilled = channel.put(batch)
            if spilled:
                ticket = ticket or Ticket()
                channel.queue.spill(spilled, ticket.wait_for())
        if not self._direct:
            spilled = self.queue.put(batch)
            self._put_since_drain += len(batch.frames)
            if spilled:
                ticket = Ticket()
                self.queue.spill(spilled, ticket.wait_for())
        count = len(batch.frames)
        self.message_count += count
        self.message_bytes += batch.size - FRAME_OVERHEAD * count
        return ticket

    def put_deferred(self, past: bytes, body_size: int, delay: float) -> None:
        """Takes a message for delivery ``delay`` seconds from now, whenever a channel gets it."""
        if self.exiting:
            raise Refused(EXITING)
        due = self._loop.time() + delay
        if self._direct:
            for channel in self._direct:
                channel.put_deferred(past, due)
        else:
            self.deferred.append((due, past))
        self.message_count += 1
        self.message_bytes += body_size

    # -- to the channels ---------------------------------------------------------------------------

    def start(self) -> None:
        """The channels that the topic should begin with are there: messages may go to them."""
        self.started = True
        self._open()

    def add_channel(self, channel: Channel) -> None:
        """A new channel; the first one gets what gathered so far."""
        self.channels[channel.name] = channel
        self._open()

    def remove_channel(self, channel: Channel) -> None:
        """A channel is gone; without any, messages gather in the topic again."""
        del self.channels[channel.name]
        self._open()

    def pause(self, paused: bool) -> None:
        """Holds messages back from the channels, or lets them go."""
        self.paused = paused
        self._open()

    def _open(self) -> None:
        """Decides anew whether messages may go straight to the channels."""
        channels = (
            list(self.channels.values()) if self.started and not self.paused and not self.exiting else []
        )
        if channels and (self.queue.depth or self.deferred):
            self._direct = []
            self._drain_soon()
        else:
            self._direct = channels

    def _drain_soon(self) -> None:
        if not self._draining:
            self._draining = True
            self._loop.call_soon(self._drain)

    def _drain(self) -> None:
        """Moves a slice of the topic's own queue to the channels; at least twice what came in meanwhile."""
        self._draining = False
        channels = list(self.channels.values())
        if not channels or not self.started or self.paused or self.exiting:
            return
        for due, past in self.deferred:
            for channel in channels:
                channel.put_deferred(past, due)
        self.deferred.clear()
        if self._restored:
            self._restored = self.backend.handed_on(inf)
        count = max(DRAIN_RUN, 2 * self._put_since_drain)
        self._put_since_drain = 0
        queue = self.queue
        if queue.memory:
            frames = queue.take(min(count, len(queue.memory)), DRAIN_BYTES)
            queue.released(sum(map(len, frames)))
        else:
            frames = self.backend.take(count, DRAIN_BYTES).frames
        if frames:
            sizes = list(map(len, frames))
            batch = Batch(frames, sum(sizes), max(sizes))
            for channel in channels:
                channel.put_unwatched(batch)
        if not queue.depth:
            self._open()
        elif frames and (queue.memory or self.backend.depth):  # the disk tells by itself when it can be read
            self._drain_soon()

    # -- what operators do -------------------------------------------------------------------------

    def empty(self) -> None:
        """Drops what no channel has got yet."""
        self._discard(self.queue.drop())
        self.deferred.clear()
        self._open()

    def delete(self) -> None:
        """Drops everything, its files too."""
        self.exiting = True
        self._direct = []
        self._discard(self.queue.drop())
        self.deferred.clear()
        self.backend.delete()

    def flush(self, stored: Stored) -> None:
        """Takes no more messages and moves what it holds to disk; ``stored`` is told of every part."""
        self.exiting = True
        self._direct = []
        self.queue.flush(stored)
        if self.deferred:
            self.backend.defer(self.deferred, self._loop.time(), stored)
            self.deferred = []
