"""The writing end of a disk queue: appends to the current segment, and begins the next one when it is full."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from nsqd.storage.backend import Stored
from nsqd.storage.disk import Disk
from nsqd.storage.segments import Position, QueueFiles, write_at

log = logging.getLogger(__name__)

Entry = tuple[Sequence[bytes], int, Stored]
"""One publisher's records, their bytes, and who is told what became of them."""


class SegmentWriter:
    """Writes what gathered in a turn of the loop with one system call, mostly.

    A failed write fails exactly its publishers, and leaves nothing of theirs behind.
    """

    def __init__(
        self,
        files: QueueFiles,
        disk: Disk,
        at: Position,
        *,
        max_bytes_per_file: int,
        written: Callable[[int], None],
        turned: Callable[[], None],
    ) -> None:
        """``written`` is told how many records are in the segments now, before their publishers are;
        ``turned``, that another segment was begun."""
        self.at = at
        """Where the next record will stand."""
        self.fd = -1
        """Of the current segment, while it is open."""
        self._files = files
        self._disk = disk
        self._max_file = max_bytes_per_file
        self._written = written
        self._turned = turned

    def write(self, waiting: Iterable[Entry]) -> None:
        """Writes it all: what fits into the current segment together, the rest publisher by publisher."""
        together: list[Entry] = []
        size = 0
        for entry in waiting:
            if self.at.offset + size + entry[1] > self._max_file:
                self._write_together(together, size)
                together, size = [], 0
                self._write_apart(entry[0], entry[2])
            else:
                together.append(entry)
                size += entry[1]
        self._write_together(together, size)

    def _write_together(self, entries: list[Entry], size: int) -> None:
        if not entries:
            return
        start = self.at
        records = entries[0][0] if len(entries) == 1 else [record for entry in entries for record in entry[0]]
        try:
            self._write_run(records, size)
        except OSError as e:
            self._failed(start, e)
            if len(entries) == 1:
                _tell(entries[0][2], e)
                return
            for each, _, stored in entries:  # some may still fit
                self._write_apart(each, stored)
            return
        self._written(len(records))
        for _, _, stored in entries:
            _tell(stored, None)

    def _write_apart(self, records: Sequence[bytes], stored: Stored) -> None:
        try:
            self.write_all(records)
        except OSError as e:
            _tell(stored, e)
            return
        self._written(len(records))
        _tell(stored, None)

    def write_all(self, records: Sequence[bytes]) -> None:
        """Records that may go over the end of the segment. Raises OSError, and none of them stays."""
        start, done = self.at, 0
        try:
            while done < len(records):
                run, size, space = done, 0, self._max_file - self.at.offset
                while run < len(records) and (
                    size + len(records[run]) <= space or self.at.offset + size == 0
                ):
                    size += len(records[run])
                    run += 1
                if run > done:
                    self._write_run(records[done:run], size)
                    done = run
                if done < len(records):
                    self.roll()
        except OSError as e:
            self._failed(start, e)
            raise

    def _write_run(self, records: Sequence[bytes], size: int) -> None:
        if self.fd < 0:
            self.fd = self._files.open_for_writing(self.at)
            log.info("DISKQUEUE(%s): writeOne() opened %s", self._files.name, self._files.path(self.at.file))
        write_at(self.fd, b"".join(records), self.at.offset)
        self.at = Position(self.at.file, self.at.offset + size)
        self._disk.healthy()

    def _failed(self, start: Position, error: OSError) -> None:
        """Goes back to where the failed publisher's records began."""
        log.error(
            "DISKQUEUE(%s) failed to write to %s - %s",
            self._files.name,
            self._files.path(self.at.file),
            error,
        )
        self._disk.unhealthy(error)
        if start.file != self.at.file or not start.offset:
            self._let_go(os.close)
        self._files.discard(range(start.file + (start.offset > 0), self.at.file + 1))
        self.at = start
        try:
            if start.offset:  # half a record behind the end would come to life after an unclean stop
                self._files.cut(start)
        except OSError as e:
            log.error(
                "DISKQUEUE(%s) failed to cut %s - %s", self._files.name, self._files.path(start.file), e
            )

    def roll(self) -> None:
        """Ends the current segment; the disk thread syncs it, and the position behind it as soon as there is one."""
        self._let_go(_sync_and_close)
        self.at = Position(self.at.file + 1, 0)
        self._turned()

    def go_on_in(self, number: int) -> None:
        """Leaves the current segment as it is; what is written next begins that one."""
        self._let_go(os.close)
        self.at = Position(number, 0)
        self._turned()

    def _let_go(self, close: Callable[[int], None]) -> None:
        """Closed by the disk thread, so behind every sync that was asked for: that needs no descriptor of its own."""
        if self.fd >= 0:
            self._disk.run(partial(close, self.fd), self._closed)
            self.fd = -1

    def _closed(self, error: OSError | None) -> None:
        if error is not None:
            log.error("DISKQUEUE(%s) failed to sync - %s", self._files.name, error)
            self._disk.unhealthy(error)

    def close(self) -> None:
        """Syncs and closes the current segment. Blocks; raises OSError."""
        if self.fd >= 0:
            fd, self.fd = self.fd, -1
            _sync_and_close(fd)


def _tell(stored: Stored, error: OSError | None) -> None:
    """Told apart from each other: trouble with one publisher's answer must not cost the others theirs."""
    try:
        stored(error)
    except Exception:
        log.exception("DISK: an answer failed")


def _sync_and_close(fd: int) -> None:
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
