"""A queue in segment files, in the original's format (nsqd reference, sections 4.3 and 4.4).

``<name>.diskqueue.%06d.dat`` hold records, ``<name>.diskqueue.meta.dat`` says where reading and writing
stand: ``depth\\nreadFile,readPos\\nwriteFile,writePos\\n``. A segment that is read to its end is removed.

Appends gather during a turn of the loop and are written with one ``pwrite`` (see :mod:`nsqd.disk`); fsync
and everything that follows from it happen on the disk thread. Where the original overwrites, forgets or
renames healthy data, this one keeps it: ``docs/differences.md`` has the list.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from struct import Struct

from nsqd.backend import Stored, Taken
from nsqd.disk import Disk
from nsqd.frames import RECORD_OVERHEAD, frame_of_record
from nsqd.segments import Position, QueueFiles, count_records

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
        self._syncing = self._closed = False
        self.pending = 0
        self.depth = 0
        self._read, self._write = self._restore(segments)

    # -- start -------------------------------------------------------------------------------------

    def _restore(self, segments: Sequence[int]) -> tuple[Position, Position]:
        """Reading and writing positions from the position file, mended by what the segments really hold."""
        try:
            self.depth, read, write = self._files.load_positions()
        except FileNotFoundError:
            if not segments:
                return Position(0, 0), Position(0, 0)
            read, write = Position(segments[0], 0), Position(segments[-1], 0)
            log.warning(
                "DISKQUEUE(%s) no position file: reading segments %d to %d from the start",
                self._files.name,
                read.file,
                write.file,
            )
        except ValueError as e:
            log.error("DISKQUEUE(%s) failed to retrieveMetaData - %s", self._files.name, e)
            if not segments:
                return Position(0, 0), Position(0, 0)
            read, write = Position(segments[0], 0), Position(segments[-1], 0)
        else:
            if write.offset >= self._files.size(write.file):
                return read, write
            # The segment is longer than the position file says: the last life ended without a clean stop.
            log.warning(
                "DISKQUEUE(%s) metadata writePos %d < file size of %d, skipping to new file",
                self._files.name, write.offset, self._files.size(write.file),
            )  # fmt: skip
        self.depth = sum(
            count_records(self._files.path(n), read.offset if n == read.file else 0)
            for n in segments
            if n >= read.file
        )
        if segments and read.file < segments[0]:
            read = Position(segments[0], 0)
        return read, Position(max([write.file, *segments]) + 1, 0)

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
        data = b"".join(records)
        if os.pwrite(self._write_fd, data, self._write.offset) != size:
            raise OSError(
                28, os.strerror(28), str(self._files.path(self._write.file))
            )  # ENOSPC: a short write
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
        if start.file != self._write.file and self._write_fd >= 0:
            os.close(self._write_fd)
            self._write_fd = -1
        self._files.discard(range(start.file + 1, self._write.file + 1))
        self._write = start
        try:
            self._files.cut(start)  # half a record behind the end would come to life after an unclean stop
        except OSError as e:
            log.error(
                "DISKQUEUE(%s) failed to cut %s - %s", self._files.name, self._files.path(start.file), e
            )

    def _roll(self) -> None:
        """Ends the current segment; the disk thread syncs it."""
        if self._write_fd >= 0:
            self._disk.run(partial(_sync_and_close, self._write_fd))
            self._write_fd = -1
        self._write = Position(self._write.file + 1, 0)

    # -- reading -----------------------------------------------------------------------------------

    def take(self, count: int, size: int) -> Taken:
        """Up to ``count`` messages and about ``size`` bytes. A damaged segment is set aside and reported."""
        frames: list[bytes] = []
        append = frames.append
        size_at = _I32.unpack_from
        taken = 0
        while len(frames) < count and taken < size and self._read != self._write:
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
        if frames:
            self._count_operations(len(frames))
        return Taken(frames, None)

    def _fill(self, length: int) -> bool:
        """Reads ahead at the reading position, or goes on to the next segment; False when nothing more is to be had now."""
        at = self._read
        try:
            if self._read_fd < 0:
                self._read_fd = os.open(self._files.path(at.file), os.O_RDONLY | os.O_CLOEXEC)
            end = self._write.offset if at.file == self._write.file else os.fstat(self._read_fd).st_size
            if at.offset >= end and at.file < self._write.file:
                self._next_segment(remove=True)
                return True
            if length - RECORD_OVERHEAD >= 0 and at.offset + 4 + length <= end:
                wanted = max(READ_CHUNK, length + 4)
            elif self._chunk_at + 4 > len(self._chunk) and end - at.offset >= 4 + RECORD_OVERHEAD:
                wanted = READ_CHUNK
            else:
                self._set_aside(f"record of {length} bytes does not fit before the segment's end at {end}")
                return True
            self._chunk = os.pread(self._read_fd, min(wanted, end - at.offset), at.offset)
            self._chunk_at = 0
        except FileNotFoundError as e:
            log.error(
                "DISKQUEUE(%s) reading at %d of %s - %s",
                self._files.name,
                at.offset,
                self._files.path(at.file),
                e,
            )
            self._next_segment(remove=False)
        except OSError as e:  # too many open files, say: the data is fine, so try again later
            log.error(
                "DISKQUEUE(%s) reading at %d of %s - %s",
                self._files.name,
                at.offset,
                self._files.path(at.file),
                e,
            )
            self._disk.later(self._grown)
            return False
        return True

    def _next_segment(self, *, remove: bool) -> None:
        done = self._read.file
        self._forget_read_ahead()
        if done < self._write.file:
            self._read = Position(done + 1, 0)
        else:
            self._read = self._write = Position(done + 1, 0)
        if remove:
            self._disk.run(partial(self._files.remove, done))
        self._operations = max(self._operations, self._sync_every)

    def _set_aside(self, why: str) -> None:
        """A damaged segment: what was before the damage is delivered, the file is kept under ``.bad``."""
        at = self._read
        log.error(
            "DISKQUEUE(%s) reading at %d of %s - %s",
            self._files.name,
            at.offset,
            self._files.path(at.file),
            why,
        )
        bad = self._files.set_aside(at.file)
        log.warning("DISKQUEUE(%s) jump to next file and saving bad file as %s", self._files.name, bad)
        if at.file == self._write.file and self._write_fd >= 0:
            os.close(self._write_fd)
            self._write_fd = -1
        self._next_segment(remove=False)

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
        if self._operations and not self._syncing and not self._closed:
            self._syncing = True
            self._operations = 0
            data = os.dup(self._write_fd) if self._write_fd >= 0 else -1
            self._disk.run(
                partial(self._sync_on_thread, data, self.depth, self._read, self._write), self._synced
            )

    def _sync_on_thread(self, data: int, depth: int, read: Position, write: Position) -> None:
        if data >= 0:
            _sync_and_close(data)
        self._files.store_positions(depth, read, write)

    def _synced(self, error: OSError | None) -> None:
        self._syncing = False
        if error is not None:
            log.error("DISKQUEUE(%s) failed to sync - %s", self._files.name, error)
            self._disk.unhealthy(error)
        if self._operations:
            self._disk.sync_within_timeout(self.sync)

    # -- end ---------------------------------------------------------------------------------------

    def empty(self) -> None:
        """Drops everything; segment numbers go on, as the original's do."""
        waiting, self._waiting, self.pending = self._waiting, [], 0
        for _, _, stored in waiting:
            stored(None)
        if self._write == (0, 0):
            return
        self._forget_read_ahead()
        if self._write_fd >= 0:
            os.close(self._write_fd)
            self._write_fd = -1
        first, last = self._read.file, self._write.file
        self._read = self._write = Position(last + 1, 0)
        self.depth = 0
        self._disk.run(partial(self._files.remove_all, range(first, last + 1)))

    def close(self) -> None:
        """Writes and syncs everything, then the positions. Blocks; for the end of the daemon.

        Let the disk thread finish before: a sync that it has still to do would store older positions.
        """
        self._closed = True
        if self._waiting:
            self._write_waiting()
        self._forget_read_ahead()
        if self._write_fd >= 0:
            _sync_and_close(self._write_fd)
            self._write_fd = -1
        if self._write != Position(0, 0) or self._files.has_positions():
            if (
                self._read.file < self._write.file
                and self._read.offset
                and self._read.offset >= self._files.size(self._read.file)
            ):
                self._files.remove(self._read.file)
                self._read = Position(self._read.file + 1, 0)
            self._files.store_positions(self.depth, self._read, self._write)

    def delete(self) -> None:
        """Removes the queue's files."""
        self.empty()
        self._disk.run(self._files.remove_positions)


def _sync_and_close(fd: int) -> None:
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
