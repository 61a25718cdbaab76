"""Memory first, then disk: the queue of a topic or a channel.

Strictly first in, first out: memory is the head, and as long as the disk part holds a backlog, new messages
go behind it. What comes back from consumers does not pass through here.
"""

from __future__ import annotations

from collections import deque
from itertools import islice

from nsqd.frames import Batch, records_of_fresh
from nsqd.storage.backend import Backend, Stored

FLUSH_RUN = 10_000
FLUSH_BYTES = 16 << 20


class Budget:
    """Bytes of queued messages that all queues of the process may keep in memory together.

    A frame that several channels share counts once in each.
    """

    __slots__ = ("limit", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0


class MessageQueue:
    """Fresh frames in the order in which they were published.

    ``limit`` counts queued messages in memory; what is in flight or deferred is not in here.
    """

    __slots__ = ("_budget", "_limit", "backend", "bytes", "largest", "memory")

    def __init__(self, backend: Backend, *, limit: int, budget: Budget) -> None:
        self.backend = backend
        self.memory: deque[bytes] = deque()
        self.bytes = 0
        """Of the frames in memory."""
        self.largest = 0
        """No frame in memory is longer."""
        self._limit = limit
        self._budget = budget

    @property
    def depth(self) -> int:
        """Messages in memory and on disk."""
        return len(self.memory) + self.backend.depth + self.backend.pending

    @property
    def backend_depth(self) -> int:
        """Messages on disk."""
        return self.backend.depth + self.backend.pending

    def put(self, batch: Batch) -> list[bytes] | None:
        """Takes a batch into memory; returns the frames that have to go to the backend, None mostly."""
        spilled: list[bytes] | None = None
        frames, memory, size = batch.frames, self.memory, batch.size
        budget, backend = self._budget, self.backend
        room = self._limit - len(memory)
        if backend.depth or backend.pending or budget.used + size > budget.limit:
            room = 0
        if room < len(frames):
            room = max(room, 0)
            size = sum(map(len, islice(frames, room)))
            frames, spilled = frames[:room], frames[room:]
        memory.extend(frames)
        self.bytes += size
        budget.used += size
        if batch.largest > self.largest:
            self.largest = batch.largest
        return spilled

    def spill(self, frames: list[bytes], stored: Stored) -> None:
        """Gives fresh frames to the backend, behind all there are."""
        self.backend.append(records_of_fresh(frames), stored)

    def keep(self, frames: list[bytes]) -> None:
        """Takes frames into memory whatever the limits say: the disk failed them, and nothing may be lost."""
        size = sum(map(len, frames))
        self.memory.extend(frames)
        self.bytes += size
        self._budget.used += size
        self.largest = max(self.largest, *map(len, frames))

    def take(self, count: int, size: int) -> list[bytes]:
        """Takes frames from memory: ``count``, which it must hold, or fewer of about ``size`` bytes, at least one.

        The caller then tells :meth:`released` how many bytes these were: it joins them anyway, so that it
        learns for nothing what would cost a look at every frame here.
        """
        take = self.memory.popleft
        if count == 1:
            return [take()]
        if self.largest * count <= size:
            return [take() for _ in range(count)]
        run: list[bytes] = []
        while len(run) < count and size > 0:
            frame = take()
            size -= len(frame)
            run.append(frame)
        return run

    def released(self, size: int) -> None:
        """That many bytes of frames left memory."""
        self.bytes -= size
        self._budget.used -= size
        if not self.memory:
            self.largest = 0

    def drop(self) -> deque[bytes]:
        """Empties the queue; returns what was in memory, for the caller to let go of in slices."""
        dropped, self.memory = self.memory, deque()
        self.released(self.bytes)
        self.backend.empty()
        return dropped

    def flush(self, stored: Stored) -> None:
        """Moves memory to the backend; ``stored`` is told of every part."""
        while self.memory:  # in runs, each let go of as a frame when it has become a record
            run: list[bytes] = []
            size = 0
            while self.memory and len(run) < FLUSH_RUN and size < FLUSH_BYTES:
                run.append(self.memory.popleft())
                size += len(run[-1])
            self.spill(run, stored)
        self.released(self.bytes)
