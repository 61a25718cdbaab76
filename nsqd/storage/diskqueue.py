"""A queue in segment files, in the original's format (nsqd reference, sections 4.3 and 4.4).

``<name>.diskqueue.%06d.dat`` hold records, ``<name>.diskqueue.meta.dat`` says where reading and writing
stand: ``depth\\nreadFile,readPos\\nwriteFile,writePos\\n``. A segment that is read to its end is removed.

Appends gather during a turn of the loop and are written with one ``pwrite`` (see :mod:`nsqd.storage.disk`); fsync
and everything that follows from it happen on the disk thread. Where the original overwrites, forgets or
renames healthy data, this one keeps it: ``docs/disk.md`` tells all of it.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from nsqd.frames import payload_of_past, record_of_payload, records_of_past
from nsqd.storage.backend import DueMessage, Stored, Taken
from nsqd.storage.deferred_file import Header, Message
from nsqd.storage.disk import Disk
from nsqd.storage.kept_deferrals import KeptDeferrals
from nsqd.storage.recovery import count_between, count_messages, recover
from nsqd.storage.segment_reader import SegmentReader
from nsqd.storage.segment_writer import Entry, SegmentWriter
from nsqd.storage.segments import NOTHING, Left, Position, QueueFiles

log = logging.getLogger(__name__)


class DiskQueue:
    """One topic's or channel's queue on disk.

    ``grown`` is called when messages became readable. Nothing is opened or created before it is needed.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        *,
        disk: Disk,
        grown: Callable[[], None],
        max_bytes_per_file: int,
        sync_every: int,
        left: Left = NOTHING,
        portable: bool = False,
    ) -> None:
        """Opens what an earlier life left under ``name``.

        ``portable``: what is deferred at the end is stored as any other message, without its delay, as the
        original does. Raises OSError when what was left can't be read.
        """
        self._files = files = QueueFiles(folder, name)
        self._disk = disk
        self._grown = grown
        self._sync_every = sync_every
        self._portable = portable
        self._waiting: list[Entry] = []
        self._operations = 0  # reads and writes since the last sync
        self._syncing = self._closed = False
        self._sync_error: OSError | None = None
        self._positions_stored: tuple[int, Position, Position] | None = None  # in the file, if known
        self._kept = KeptDeferrals(files, disk)
        self._counting = self._uncounted = False  # how many records are left behind damage
        self._resets = 0  # of the depth, since when it is right
        self._to_keep: list[Message] = []
        self._keeps_file = False  # what is deferred could not be stored: the last life's file may have it
        self.pending = 0
        self.depth = 0
        read = write = Position(disk.removals.get(name, 0), 0)
        if name not in disk.removals:  # else what is there belongs to a queue that is being removed
            read, write = self._recover(left)
        self._writer = SegmentWriter(
            files,
            disk,
            write,
            max_bytes_per_file=max_bytes_per_file,
            written=self._written,
            turned=self._turned,
        )
        self._reader = SegmentReader(
            files,
            disk,
            self._writer,
            read,
            readable=grown,
            turned=self._turned,
            went_back=self._recount,
            skipped=self._count_later,
        )

    def _recover(self, left: Left) -> tuple[Position, Position]:
        segments, known = self._kept.adopt(left)
        self.depth, read, write, as_stored = known or recover(self._files, segments)
        positions = (self.depth, read, write)
        if as_stored:
            self._positions_stored = positions
        else:
            self._disk.run(partial(self._files.store_positions, *positions))
        return read, write

    # -- writing -----------------------------------------------------------------------------------

    def append(self, records: Sequence[bytes], stored: Stored) -> None:
        """Takes records for this turn's write."""
        if not self._waiting:
            self._disk.write_soon(self._write_waiting)
        self._waiting.append((list(records), sum(map(len, records)), stored))
        self.pending += len(records)

    def _write_waiting(self) -> None:
        waiting, self._waiting, self.pending = self._waiting, [], 0
        self._writer.write(waiting)

    def _written(self, count: int) -> None:
        self.depth += count
        self._count_operations(count)
        self._grown()

    def _turned(self) -> None:
        """Another segment is read or written: the next operation syncs."""
        self._operations = max(self._operations, self._sync_every)

    # -- reading -----------------------------------------------------------------------------------

    def take(self, count: int, size: int) -> Taken:
        """Up to ``count`` messages and about ``size`` bytes. Damage is passed over and reported."""
        frames = self._reader.take(count, size)
        self.depth -= len(frames)
        if self._reader.at == self._writer.at:
            self._at_tail()
        elif self.depth <= 0:  # the original stores too low a depth after an unclean stop
            self._recount()
        if frames:
            self._count_operations(len(frames))
        return Taken(frames, None)

    def _at_tail(self) -> None:
        if self.depth:
            log.error(
                "DISKQUEUE(%s) %s at tail (%d), %s, resetting 0...",
                self._files.name,
                *(
                    ("negative depth", self.depth, "metadata corruption")
                    if self.depth < 0
                    else ("positive depth", self.depth, "data loss")
                ),
            )
            self.depth = 0
            self._resets += 1
        self._reader.caught_up()

    def _recount(self) -> None:
        """Messages behind the reading position, as the segments tell."""
        read = self._reader.at
        self._resets += 1
        try:
            numbers = self._files.numbers(read.file, self._writer.at.file)
            self.depth = count_messages(self._files, numbers, read)
        except OSError:
            self.depth = 1  # so that they are looked for again

    def _count_later(self) -> None:
        """Damage was got past, and nobody knows how many records that cost: what is left is counted."""
        self._uncounted = True
        if not self._counting:
            self._counting = True
            self._disk.next_turn(self._count_rest)

    def _count_rest(self) -> None:
        self._uncounted = False
        read, write, depth, resets = self._reader.at, self._writer.at, self.depth, self._resets
        if self._closed or self._disk.ending or read >= write:
            self._counting = False
            return
        found: list[int] = []

        def counted(error: OSError | None) -> None:
            self._counting = False
            if error is None and self._resets == resets:
                behind = self._reader.at < self._writer.at
                self.depth = max(self.depth + found[0] - depth, int(behind))
            if self._uncounted:
                self._count_later()

        self._disk.run(lambda: found.append(count_between(self._files, read, write)), counted)

    def settle(self, positions: range) -> None:
        """Nothing to do: taking settles."""

    # -- deferred messages of another life ---------------------------------------------------------

    def restored(self, now: float) -> list[DueMessage]:
        """What the last life had deferred, by time; asked once. ``now`` is the loop's time."""
        return self._kept.messages(now)

    def handed_on(self, until: float) -> bool:
        """Restored messages due before ``until`` came due; returns whether others are left."""
        return self._kept.handed_on(until)

    def defer(self, messages: Sequence[DueMessage], now: float, stored: Stored) -> None:
        """Stores deferred messages for the next life when the queue is closed, which raises if that fails."""
        if self._portable:
            self._defer_portably(messages, stored)
            return
        wall = time.time_ns()
        self._to_keep += (
            Message(wall + round((due - now) * 1e9), payload_of_past(past)) for due, past in messages
        )
        stored(None)

    def _defer_portably(self, messages: Sequence[DueMessage], stored: Stored) -> None:
        def appended(error: OSError | None) -> None:
            self._keeps_file = self._keeps_file or error is not None
            stored(error)

        self.append(records_of_past([past for _, past in messages]), appended)

    # -- durability --------------------------------------------------------------------------------

    def _count_operations(self, count: int) -> None:
        if not self._operations:
            self._disk.sync_within_timeout(self.sync)
        self._operations += count
        if self._operations >= self._sync_every:
            self.sync()

    def sync(self) -> None:
        """Has the disk thread fsync the data, then store the positions; again later if one is under way."""
        if self._operations and not (self._syncing or self._closed or self._disk.ending):
            self._syncing = True
            self._operations = 0
            self._positions_stored = None
            self._disk.run(
                partial(self._sync_on_thread, self._writer.fd, self.depth, self._reader.at, self._writer.at),
                self._synced,
            )

    def _sync_on_thread(self, data: int, depth: int, read: Position, write: Position) -> None:
        if data >= 0:
            os.fsync(data)
        self._files.store_positions(depth, read, write)

    def _synced(self, error: OSError | None) -> None:
        self._syncing = False
        if error is not None:
            log.error("DISKQUEUE(%s) failed to sync - %s", self._files.name, error)
            self._disk.unhealthy(error)
            self._operations = max(self._operations, 1)  # tried again, after a while
        elif self._sync_error is not None:
            self._disk.mended(self._sync_error)
        self._sync_error = error
        if error is None and self._operations >= self._sync_every:
            self.sync()
        elif self._operations:
            self._disk.sync_within_timeout(self.sync)

    # -- end ---------------------------------------------------------------------------------------

    def _is_untouched(self) -> bool:
        """Whether nothing was ever written."""
        return self._writer.at == (0, 0) and self._writer.fd < 0

    def empty(self) -> None:
        """Drops everything; segment numbers go on, as the original's do."""
        waiting, self._waiting, self.pending = self._waiting, [], 0
        for _, _, stored in waiting:
            stored(None)
        self._kept.drop()
        reader, writer = self._reader, self._writer
        if self._is_untouched():
            return
        log.info("DISKQUEUE(%s): emptying", self._files.name)
        first, last = reader.at.file, writer.at.file
        writer.go_on_in(last + 1)
        reader.go_to(last + 1)
        self.depth = self._operations = 0
        self._resets += 1
        self._disk.run(partial(self._files.remove_all, range(first, last + 1)))

    def close(self) -> None:
        """Writes and syncs everything, then the positions. Blocks; for the end of the daemon. Raises OSError.

        Let the disk thread finish before: a sync that it has still to do would store older positions.
        """
        if self._closed:
            return
        self._closed = True
        if self._waiting:
            self._write_waiting()
        if not self._is_untouched():
            log.info("DISKQUEUE(%s): closing", self._files.name)
        self._reader.forget()
        try:
            self._writer.close()
        finally:  # a sync that fails keeps nothing else from being stored
            self._store_rest()

    def _store_rest(self) -> None:
        try:
            self._leave_read_segments()
            if self._to_keep:
                self._store_deferred()
        finally:
            self._store_last_positions()
        if not (self._to_keep or self._keeps_file):
            self._kept.remove()

    def _leave_read_segments(self) -> None:
        """Such that the original goes on here: it takes a segment that is read to its end for a damaged one."""
        reader, writer = self._reader, self._writer
        read = reader.at
        while read.file < writer.at.file and read.offset >= self._files.size(read.file):
            self._files.remove(read.file)
            read = Position(read.file + 1, 0)
        if read == writer.at and read.offset:
            self._files.remove(read.file)
            read = writer.at = Position(read.file + 1, 0)
        reader.at = read

    def _store_deferred(self) -> None:
        """Behind all others, where the original finds them, and with their times in a file of their own."""
        writer, messages = self._writer, sorted(self._to_keep)
        if writer.at.offset:
            writer.roll()
        first = writer.at.file
        writer.write_all([record_of_payload(message.payload) for message in messages])
        writer.close()
        self.depth += len(messages)
        header = Header(
            self._files.name, time.time_ns(), len(messages), first, self.depth, self._reader.at, writer.at
        )
        self._kept.store(header, messages)

    def _store_last_positions(self) -> None:
        positions = (self.depth, self._reader.at, self._writer.at)
        if positions != self._positions_stored and (positions[2] != (0, 0) or self._files.has_positions()):
            self._files.store_positions(*positions)

    def delete(self) -> None:
        """Removes the queue's files. A new queue of that name may be made at once: it begins behind these."""
        if not self._is_untouched():
            log.info("DISKQUEUE(%s): deleting", self._files.name)
        self.empty()
        self._closed = True
        self._disk.remove_queue(self._files.name, self._writer.at.file, self._files.remove_positions)
