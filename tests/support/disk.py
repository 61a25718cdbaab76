"""Disk queues whose turns, disk thread and timers move only when the test says so.

::

    with Rig(tmp_path, max_bytes_per_file=100) as rig:
        queue = rig.open()
        answers = rig.append(queue, b"one", b"two")
        rig.turn()
        assert answers == [None]
        assert rig.take(queue) == [b"one", b"two"]
        queue = rig.crash()      # nothing of what the disk thread had still to do is done
        assert rig.take(queue) == [b"one", b"two"]
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from struct import pack
from types import TracebackType
from typing import Self

from nsqd.storage import segment_writer
from nsqd.storage.disk import Disk
from nsqd.storage.diskqueue import DiskQueue
from nsqd.storage.segments import NOTHING, inventory

Job = tuple[Callable[[], object], Callable[[OSError | None], None] | None]
OVERHEAD = 30
"""Bytes of a record that are not body, its length included."""
A, B, C, D, E, F, G = (letter * 10 for letter in (b"a", b"b", b"c", b"d", b"e", b"f", b"g"))
"""Bodies."""
SIZE = OVERHEAD + len(A)
"""Bytes of the record of one of these."""


def record(body: bytes, *, attempts: int = 0, timestamp: int = 0x1702030405060708, number: int = 0) -> bytes:
    """A disk record by hand: length, timestamp, attempts, id, body."""
    return pack(">iqH16s", len(body) + 26, timestamp, attempts, b"%016x" % number) + body


def body_of(frame: bytes) -> bytes:
    """The body of a frame."""
    return frame[34:]


class ManualDisk(Disk):
    """Does nothing by itself; what it was asked to do waits in order."""

    def __init__(self) -> None:
        self.error = None
        self.removals = {}
        self.writes: deque[Callable[[], None]] = deque()
        self.jobs: deque[Job] = deque()
        self.timers: list[Callable[[], None]] = []
        self.retries: list[Callable[[], None]] = []
        self.turns: list[Callable[[], None]] = []

    def write_soon(self, write: Callable[[], None]) -> None:
        self.writes.append(write)

    def write_now(self) -> None:
        while self.writes:
            self.writes.popleft()()

    def sync_within_timeout(self, sync: Callable[[], None]) -> None:
        self.timers.append(sync)

    def later(self, again: Callable[[], None]) -> None:
        self.retries.append(again)

    def next_turn(self, again: Callable[[], None]) -> None:
        self.turns.append(again)

    def run(self, job: Callable[[], object], done: Callable[[OSError | None], None] | None = None) -> None:
        self.jobs.append((job, done))

    def work(self, count: int = 1 << 30) -> None:
        """The disk thread does that many jobs, those that they lead to included."""
        while self.jobs and count > 0:
            count -= 1
            job, done = self.jobs.popleft()
            error: OSError | None = None
            try:
                job()
            except OSError as e:
                error = e
            if done is not None:
                done(error)

    def timeout(self) -> None:
        """The sync timeout is over."""
        timers, self.timers = self.timers, []
        for sync in timers:
            sync()

    def turn(self) -> None:
        """The next turn of the loop has come."""
        turns, self.turns = self.turns, []
        for again in turns:
            again()

    def retry(self) -> None:
        """The pause after a failed read is over."""
        retries, self.retries = self.retries, []
        for again in retries:
            again()


class Rig:
    """A folder, a disk, and one queue in it at a time; closes what the test leaves open."""

    def __init__(
        self, folder: Path, name: str = "t", *, max_bytes_per_file: int = 1 << 20, sync_every: int = 1 << 30
    ) -> None:
        self.folder = folder
        self.name = name
        self.disk = ManualDisk()
        self.grown = 0
        """How often the queue said that there is more to read."""
        self._max_bytes_per_file = max_bytes_per_file
        self._sync_every = sync_every
        self._open: list[DiskQueue] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._drop()

    def open(self, *, leftovers: bool = True, portable: bool = False) -> DiskQueue:
        """The queue, on what the folder holds; ``leftovers`` False as for a name that is made anew at run time."""
        queue = DiskQueue(
            self.folder,
            self.name,
            disk=self.disk,
            grown=self._count_grown,
            left=inventory(self.folder).get(self.name, NOTHING) if leftovers else NOTHING,
            max_bytes_per_file=self._max_bytes_per_file,
            sync_every=self._sync_every,
            portable=portable,
        )
        self._open.append(queue)
        return queue

    def reopen(self, queue: DiskQueue) -> DiskQueue:
        """As a clean stop and start."""
        self.disk.write_now()
        self.disk.work()
        queue.close()
        self.disk.work()
        self._open.remove(queue)
        self.disk = ManualDisk()
        return self.open()

    def crash(self) -> DiskQueue:
        """As a kill and a start: nothing that waits is done any more."""
        self._drop()
        self.disk = ManualDisk()
        return self.open()

    def _drop(self) -> None:
        """Gives the descriptors back, as the end of a process does."""
        for job, _ in self.disk.jobs:
            if isinstance(job, partial) and job.func in (os.close, segment_writer._sync_and_close):
                os.close(*job.args)
        for queue in self._open:
            for end in (queue._writer, queue._reader):
                if end.fd >= 0:
                    os.close(end.fd)
                    end.fd = -1
        self._open.clear()

    def _count_grown(self) -> None:
        self.grown += 1

    # -- what is done with a queue -----------------------------------------------------------------

    def append(self, queue: DiskQueue, *bodies: bytes) -> list[OSError | None]:
        """One publisher's messages; the list gets the outcome once there is one."""
        answers: list[OSError | None] = []
        queue.append([record(body) for body in bodies], answers.append)
        return answers

    def put(self, queue: DiskQueue, *bodies: bytes) -> None:
        """Messages that are stored when it returns."""
        answers = self.append(queue, *bodies)
        self.disk.write_now()
        assert answers == [None]

    def take(self, queue: DiskQueue, count: int = 1 << 30, size: int = 1 << 30) -> list[bytes]:
        """The bodies of a take."""
        return [body_of(frame) for frame in queue.take(count, size).frames]

    # -- files -------------------------------------------------------------------------------------

    def segment(self, number: int) -> Path:
        """A segment's path."""
        return self.folder / f"{self.name}.diskqueue.{number:06d}.dat"

    @property
    def meta(self) -> Path:
        """The position file's path."""
        return self.folder / f"{self.name}.diskqueue.meta.dat"

    def files(self) -> list[str]:
        """What is in the folder, without the queue's name in front."""
        return sorted(path.name.removeprefix(f"{self.name}.diskqueue.") for path in self.folder.iterdir())


def descriptors() -> int:
    """How many files this process has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())
