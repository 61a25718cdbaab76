"""A queue in segment files, in the original's format (nsqd reference, sections 4.3 and 4.4).

``<name>.diskqueue.%06d.dat`` hold records, ``<name>.diskqueue.meta.dat`` says where reading and writing
stand: ``depth\\nreadFile,readPos\\nwriteFile,writePos\\n``. A segment that is read to its end is removed.

Appends gather during a turn of the loop and are written with one ``pwrite`` (see :mod:`nsqd.disk`); fsync
and everything that follows from it happen on the disk thread. Where the original overwrites, forgets or
renames healthy data, this one keeps it: ``docs/differences.md`` has the list.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from struct import Struct

from nsqd.backend import Stored, Taken
from nsqd.disk import Disk
from nsqd.frames import RECORD_OVERHEAD, frame_of_record
from nsqd.recovery import count_messages, recover
from nsqd.segments import Position, QueueFiles, write_at

log = logging.getLogger(__name__)
_I32 = Struct(">i")
READ_CHUNK = 256 * 1024


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
        segments: Sequence[int] = (),
    ) -> None:
        """Opens what an earlier life left under ``name``: ``segments`` are the numbers of its files.

        Raises OSError when it can't be read.
        """
        self._files = QueueFiles(folder, name)
        self._disk = disk
        self._grown = grown
        self._max_file = max_bytes_per_file
        self._sync_every = sync_every
        self._waiting: list[tuple[list[bytes], int, Stored]] = []
        self._write_fd = self._read_fd = -1
        self._chunk, self._chunk_at = b"", 0  # what was read ahead, and how far into it reading is
        self._operations = 0  # reads and writes since the last sync
        self._syncing = self._closed = self._resting = False
        self._sync_error: OSError | None = None
        self._positions_stored: tuple[int, Position, Position] | None = None  # in the file, if known
        self.pending = 0
        self.depth = 0
        self._read = self._write = Position(disk.removals.get(name, 0), 0)
        if name not in disk.removals:  # else what is there belongs to a queue that is being removed
            self._recover(segments)
        self._unproven: Position | None = self._read  # an earlier life's word; no record was seen there yet

    def _recover(self, segments: Sequence[int]) -> None:
        self.depth, self._read, self._write, as_stored = recover(self._files, segments)
        positions = (self.depth, self._read, self._write)
        if as_stored:
            self._positions_stored = positions
        else:
            self._disk.run(partial(self._files.store_positions, *positions))

    # -- writing -----------------------------------------------------------------------------------

    def append(self, records: Sequence[bytes], stored: Stored) -> None:
        """Takes records for this turn's write."""
        if not self._waiting:
            self._disk.write_soon(self._write_waiting)
        self._waiting.append((list(records), sum(map(len, records)), stored))
        self.pending += len(records)

    def _write_waiting(self) -> None:
        """Writes what gathered in this turn: one system call, unless a segment gets full or a write fails."""
        waiting, self._waiting, self.pending = self._waiting, [], 0
        together: list[tuple[list[bytes], int, Stored]] = []
        size = 0
        for entry in waiting:
            if self._write.offset + size + entry[1] > self._max_file:
                self._write_together(together, size)
                together, size = [], 0
                self._write_apart(entry[0], entry[2])
            else:
                together.append(entry)
                size += entry[1]
        self._write_together(together, size)

    def _write_together(self, entries: list[tuple[list[bytes], int, Stored]], size: int) -> None:
        """What fits into the current segment, of one publisher or of many."""
        if not entries:
            return
        start = self._write
        records = entries[0][0] if len(entries) == 1 else [record for entry in entries for record in entry[0]]
        try:
            self._write_run(records, size)
        except OSError as e:
            self._write_failed(start, e)
            if len(entries) == 1:
                entries[0][2](e)
                return
            for each, _, stored in entries:  # a write fails exactly its publishers: some may still fit
                self._write_apart(each, stored)
            return
        self._written(len(records))
        for _, _, stored in entries:
            stored(None)

    def _write_apart(self, records: list[bytes], stored: Stored) -> None:
        """Records of one publisher that go over the end of the segment; none of them stays if one fails."""
        start, done = self._write, 0
        try:
            while done < len(records):
                run, size, space = done, 0, self._max_file - self._write.offset
                while run < len(records) and (
                    size + len(records[run]) <= space or self._write.offset + size == 0
                ):
                    size += len(records[run])
                    run += 1
                if run > done:
                    self._write_run(records[done:run], size)
                    done = run
                if done < len(records):
                    self._roll()
        except OSError as e:
            self._write_failed(start, e)
            stored(e)
            return
        self._written(len(records))
        stored(None)

    def _write_run(self, records: list[bytes], size: int) -> None:
        if self._write_fd < 0:
            self._write_fd = self._files.open_for_writing(self._write)
        write_at(self._write_fd, b"".join(records), self._write.offset)
        self._write = Position(self._write.file, self._write.offset + size)

    def _written(self, count: int) -> None:
        self._disk.healthy()
        self.depth += count
        self._count_operations(count)
        self._grown()

    def _write_failed(self, start: Position, error: OSError) -> None:
        """Goes back to where the failed publisher's records began."""
        log.error(
            "DISKQUEUE(%s) failed to write to %s - %s",
            self._files.name,
            self._files.path(self._write.file),
            error,
        )
        self._disk.unhealthy(error)
        if start.file != self._write.file or not start.offset:
            self._let_go_of_write_file(os.close)
        self._files.discard(range(start.file + (start.offset > 0), self._write.file + 1))
        self._write = start
        try:
            if start.offset:  # half a record behind the end would come to life after an unclean stop
                self._files.cut(start)
        except OSError as e:
            log.error(
                "DISKQUEUE(%s) failed to cut %s - %s", self._files.name, self._files.path(start.file), e
            )

    def _roll(self) -> None:
        """Ends the current segment; the disk thread syncs it, and the position behind it as soon as there is one."""
        self._let_go_of_write_file(_sync_and_close)
        self._write = Position(self._write.file + 1, 0)
        self._operations = max(self._operations, self._sync_every)

    def _let_go_of_write_file(self, close: Callable[[int], None]) -> None:
        """Closed by the disk thread, so behind every sync that was asked for: that needs no descriptor of its own."""
        if self._write_fd >= 0:
            self._disk.run(partial(close, self._write_fd), self._let_go)
            self._write_fd = -1

    def _let_go(self, error: OSError | None) -> None:
        if error is not None:
            log.error("DISKQUEUE(%s) failed to sync - %s", self._files.name, error)
            self._disk.unhealthy(error)

    # -- reading -----------------------------------------------------------------------------------

    def take(self, count: int, size: int) -> Taken:
        """Up to ``count`` messages and about ``size`` bytes. A damaged segment is set aside and reported."""
        frames: list[bytes] = []
        append = frames.append
        size_at = _I32.unpack_from
        taken = 0
        while len(frames) < count and taken < size and self._read != self._write and not self._resting:
            chunk, at, end = self._chunk, self._chunk_at, len(self._chunk)
            limit = count - len(frames)
            start, length = at, 0
            while limit > 0 and end - at >= 4:
                (length,) = size_at(chunk, at)
                if length < RECORD_OVERHEAD or end - at < length + 4:
                    break
                append(frame_of_record(chunk[at : at + 4 + length]))
                at += 4 + length
                limit -= 1
                if taken + at - start >= size:
                    break
            taken += at - start
            self._chunk_at = at
            self._read = Position(self._read.file, self._read.offset + at - start)
            if at == start and (limit <= 0 or not self._fill(length)):
                break
        self.depth -= len(frames)
        if self._read == self._write:
            self._at_tail()
        elif self.depth <= 0:  # the original stores too low a depth after an unclean stop
            self._recount()
        if frames:
            self._count_operations(len(frames))
        return Taken(frames, None)

    def _fill(self, length: int) -> bool:
        """Reads ahead at the reading position, or goes on to the next segment; False when nothing more is to be had now."""
        at = self._read
        try:
            damage = self._read_ahead(at, length)
            if damage:
                self._report(at, damage)
                if self._unproven == at and self._goes_back(at):
                    return True
                bad = self._files.set_aside(at.file)
                log.warning(
                    "DISKQUEUE(%s) jump to next file and saving bad file as %s", self._files.name, bad
                )
                self._next_segment(at.file + 1)
        except FileNotFoundError as e:
            self._report(at, str(e))
            self._next_segment(self._next_number(at.file))
        except OSError as e:  # too many open files, say: the data is fine, so try again later
            self._report(at, str(e))
            self._resting = True
            self._disk.later(self._rested)
            return False
        return True

    def _read_ahead(self, at: Position, length: int) -> str:
        """Has the record at ``at``, of ``length`` bytes if that is known, in the chunk; or says what is wrong with it.

        Raises OSError.
        """
        if self._read_fd < 0:
            if at.file == self._write.file and self._write_fd >= 0:
                self._read_fd = os.dup(self._write_fd)
            else:
                self._read_fd = os.open(self._files.path(at.file), os.O_RDONLY | os.O_CLOEXEC)
        end = self._write.offset if at.file == self._write.file else os.fstat(self._read_fd).st_size
        if at.offset >= end and at.file < self._write.file:
            self._next_segment(at.file + 1)
            self._disk.run(partial(self._files.remove, at.file))
            return ""
        known = len(self._chunk) - self._chunk_at >= 4
        needed = 4 + (length if known else RECORD_OVERHEAD)
        if needed < 4 + RECORD_OVERHEAD or at.offset + needed > end:
            return f"no record of {needed - 4} bytes is possible before the end at {end}"
        try:
            self._chunk = os.pread(self._read_fd, min(max(READ_CHUNK, needed), end - at.offset), at.offset)
        except OSError as e:
            if e.errno == errno.EIO:  # the medium is damaged: waiting would hold up all that is behind
                return str(e)
            raise
        self._chunk_at = 0
        return "" if len(self._chunk) >= needed else f"the file ends before {at.offset + needed}"

    def _goes_back(self, at: Position) -> bool:
        """Whether it is the position that is wrong, not the segment: then reading goes on with the record before it."""
        self._unproven = None
        start = self._files.boundary(at)
        if start == at.offset:
            return False
        log.warning("DISKQUEUE(%s) no record begins there: going back to %d", self._files.name, start)
        self._forget_read_ahead()
        self._read = Position(at.file, start)
        self._recount()
        return True

    def _next_number(self, missing: int) -> int:
        """The first segment behind one that is missing; many may be."""
        numbers = self._files.numbers(missing + 1, self._write.file)
        return numbers[0] if numbers else max(self._write.file, missing + 1)

    def _report(self, at: Position, why: str) -> None:
        log.error(
            "DISKQUEUE(%s) reading at %d of %s - %s",
            self._files.name,
            at.offset,
            self._files.path(at.file),
            why,
        )

    def _recount(self) -> None:
        """Messages behind the reading position, as the segments tell."""
        try:
            numbers = self._files.numbers(self._read.file, self._write.file)
            self.depth = count_messages(self._files, numbers, self._read)
        except OSError:
            self.depth = 1  # so that they are looked for again

    def _rested(self) -> None:
        self._resting = False
        self._grown()

    def _next_segment(self, number: int) -> None:
        """Goes on reading there, or where writing will go on when it was the current segment that is left."""
        self._forget_read_ahead()
        if number > self._write.file:
            self._let_go_of_write_file(os.close)
            self._write = Position(number, 0)
        self._read = Position(number, 0)
        self._operations = max(self._operations, self._sync_every)

    def _at_tail(self) -> None:
        if self.depth:
            kind = "negative" if self.depth < 0 else "positive"
            log.error(
                "DISKQUEUE(%s) %s depth at tail (%d), data was lost, resetting 0...",
                self._files.name,
                kind,
                self.depth,
            )
            self.depth = 0
        self._chunk, self._chunk_at = b"", 0

    def _forget_read_ahead(self) -> None:
        self._chunk, self._chunk_at = b"", 0
        if self._read_fd >= 0:
            os.close(self._read_fd)
            self._read_fd = -1

    def settle(self, positions: range) -> None:
        """Nothing to do: taking settles."""

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
                partial(self._sync_on_thread, self._write_fd, self.depth, self._read, self._write),
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

    def empty(self) -> None:
        """Drops everything; segment numbers go on, as the original's do."""
        waiting, self._waiting, self.pending = self._waiting, [], 0
        for _, _, stored in waiting:
            stored(None)
        self._forget_read_ahead()
        if self._write == (0, 0) and self._write_fd < 0:
            return
        self._let_go_of_write_file(os.close)
        first, last = self._read.file, self._write.file
        self._read = self._write = Position(last + 1, 0)
        self.depth = 0
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
        self._forget_read_ahead()
        try:
            if self._write_fd >= 0:
                _sync_and_close(self._write_fd)
        finally:
            self._write_fd = -1
            self._store_last_positions()

    def _store_last_positions(self) -> None:
        """Such that the original goes on there: it takes a segment that is read to its end for a damaged one."""
        read, write = self._read, self._write
        while read.file < write.file and read.offset >= self._files.size(read.file):
            self._files.remove(read.file)
            read = Position(read.file + 1, 0)
        if read == write and write.offset:
            self._files.remove(write.file)
            read = write = Position(write.file + 1, 0)
        positions = (self.depth, read, write)
        if positions != self._positions_stored and (write != (0, 0) or self._files.has_positions()):
            self._files.store_positions(*positions)

    def delete(self) -> None:
        """Removes the queue's files. A new queue of that name may be made at once: it begins behind these."""
        self.empty()
        self._closed = True
        self._disk.remove_queue(self._files.name, self._write.file, self._files.remove_positions)


def _sync_and_close(fd: int) -> None:
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
