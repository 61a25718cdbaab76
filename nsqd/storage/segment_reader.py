"""The reading end of a disk queue: reads ahead, goes from segment to segment, and gets past damage.

Where a record can't be one, reading goes on at the next plausible record (:mod:`nsqd.storage.salvage`); the bytes of
such a segment are kept as ``.bad``. What merely can't be read for the moment is tried again later.
"""

from __future__ import annotations

import errno
import logging
import os
import re
from collections.abc import Callable
from functools import partial
from struct import Struct

from nsqcore.golang import go_reason
from nsqd.frames import RECORD_OVERHEAD, frame_of_record
from nsqd.storage.disk import Disk
from nsqd.storage.salvage import HEADER, WINDOW, next_record
from nsqd.storage.segment_writer import SegmentWriter
from nsqd.storage.segments import Position, QueueFiles

log = logging.getLogger(__name__)
_I32 = Struct(">i")
_has_id = re.compile(rb"[0-9a-f]{16}").match
READ_CHUNK = 256 * 1024


class SegmentReader:
    """Takes records from where the last life, or the last take, ended."""

    def __init__(
        self,
        files: QueueFiles,
        disk: Disk,
        writer: SegmentWriter,
        at: Position,
        *,
        readable: Callable[[], None],
        turned: Callable[[], None],
        went_back: Callable[[], None],
        skipped: Callable[[], None],
    ) -> None:
        """``readable`` is told when a pause is over, ``turned`` that another segment is read, ``went_back``
        that the last life's position was wrong, ``skipped`` that damage was got past: records may be lost."""
        self.at = at
        """The next record."""
        self.fd = -1
        """Of the segment that is read, while it is open."""
        self._files = files
        self._disk = disk
        self._writer = writer
        self._readable = readable
        self._turned = turned
        self._went_back = went_back
        self._skipped = skipped
        self._chunk, self._chunk_at = b"", 0  # what was read ahead, and how far into it reading is
        self._behind = 0  # bytes of the record before this one, while it is known where that began
        self._resting = False
        self._doubted = False  # what stands here is no record, though its length could be one's
        self._searching: int | None = None  # from where on the next record is looked for
        self._unproven: Position | None = at  # an earlier life's word; no record was seen there yet

    def take(self, count: int, size: int) -> list[bytes]:
        """Frames of up to ``count`` records and about ``size`` bytes; fewer when damage is being got past."""
        frames: list[bytes] = []
        append = frames.append
        size_at = _I32.unpack_from
        taken = 0
        while len(frames) < count and taken < size and self.at != self._writer.at and not self._resting:
            chunk, at, end = self._chunk, self._chunk_at, len(self._chunk)
            before = len(frames)
            limit = count - before
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
            if at == start:
                if limit <= 0 or not self._fill(length):
                    break
                continue
            taken += at - start
            self._chunk_at = at
            self.at = Position(self.at.file, self.at.offset + at - start)
            last = frames[-1]
            if _has_id(last, 18):  # the last one of a run tells whether it is one of records
                self._behind = len(last) - 4
            else:
                self._doubt(frames, before)
        return frames

    def _doubt(self, frames: list[bytes], before: int) -> None:
        """Takes back what has no id: the lengths that led there were no lengths."""
        offset = self.at.offset
        while len(frames) > before and not _has_id(frames[-1], 18):
            offset -= len(frames.pop()) - 4
        if len(frames) > before:
            self._behind = len(frames[-1]) - 4
        self.at = Position(self.at.file, offset)
        self.caught_up()
        self._doubted = True

    def _fill(self, length: int) -> bool:
        """Reads ahead at the reading position, or goes on to the next segment; False when nothing more is to be had now."""
        at = self.at
        try:
            if self._searching is None:
                damage = "no id stands there" if self._doubted else self._read_ahead(at, length)
                if not damage:
                    return True
                self._report(at, damage)
                if self._unproven == at and self._goes_back(at):
                    return True
                self._begin_search(at)
            return self._search()
        except FileNotFoundError as e:
            self._searching = None
            self._report(at, e)
            self.go_to(self._next_number(at.file))
            self._skipped()
        except OSError as e:  # too many open files, say: the data is fine, so try again later
            self._report(at, e)
            self._resting = True
            self._disk.later(self._rested)
            return False
        return True

    def _read_ahead(self, at: Position, length: int) -> str:
        """Has the record at ``at``, of ``length`` bytes if that is known, in the chunk; or says what is wrong with it.

        Raises OSError.
        """
        writer = self._writer
        if self.fd < 0:
            if at.file == writer.at.file and writer.fd >= 0:
                self.fd = os.dup(writer.fd)
            else:
                self.fd = os.open(self._files.path(at.file), os.O_RDONLY | os.O_CLOEXEC)
            log.info("DISKQUEUE(%s): readOne() opened %s", self._files.name, self._files.path(at.file))
        end = writer.at.offset if at.file == writer.at.file else os.fstat(self.fd).st_size
        if at.offset >= end and at.file < writer.at.file:
            self.go_to(at.file + 1)
            self._disk.run(partial(self._files.remove, at.file))
            return ""
        known = len(self._chunk) - self._chunk_at >= 4
        needed = 4 + (length if known else RECORD_OVERHEAD)
        if needed < HEADER or at.offset + needed > end:
            return f"no record of {needed - 4} bytes is possible before the end at {end}"
        try:
            self._chunk = os.pread(self.fd, min(max(READ_CHUNK, needed), end - at.offset), at.offset)
        except OSError as e:
            if e.errno == errno.EIO:  # the medium is damaged: waiting would hold up all that is behind
                return go_reason(e)
            raise
        self._chunk_at = 0
        return "" if len(self._chunk) >= needed else f"the file ends before {at.offset + needed}"

    # -- damage ------------------------------------------------------------------------------------

    def _goes_back(self, at: Position) -> bool:
        """Whether it is the position that is wrong, not the segment: then reading goes on with the record before it."""
        self._unproven = None
        start = self._files.boundary(at)
        if start == at.offset:
            return False
        log.warning("DISKQUEUE(%s) no record begins there: going back to %d", self._files.name, start)
        self.forget()
        self.at = Position(at.file, start)
        self._went_back()
        return True

    def _begin_search(self, at: Position) -> None:
        """Keeps the damaged segment's bytes, and has nothing more written to it.

        The search begins within the record before: what is taken for damage may be the middle of a healthy one,
        if that one's length grew.
        """
        self._bad = self._files.keep_as_bad(self._files.path(at.file))
        if at.file == self._writer.at.file:
            self._writer.go_on_in(at.file + 1)
        self._chunk, self._chunk_at, self._doubted = b"", 0, False
        self._searching = at.offset - self._behind + HEADER if self._behind else at.offset + 1

    def _search(self) -> bool:
        """Looks through one window for the next record; False when it takes more turns of the loop."""
        at, start = self.at, self._searching
        assert start is not None
        end = os.fstat(self.fd).st_size
        try:
            found = next_record(self.fd, start, end)
        except OSError as e:
            if e.errno != errno.EIO:
                raise
            found = None
        if found is None and start + WINDOW < end:
            self._searching = start + WINDOW
            self._resting = True
            self._disk.next_turn(self._rested)
            return False
        to = max(at.offset, end) if found is None else found
        log.error(
            "DISKQUEUE(%s) skipped %d bytes at %d of %s, which is kept as %s; going on at %d",
            self._files.name,
            max(to - at.offset, 0),
            at.offset,
            self._files.path(at.file),
            self._bad,
            to,
        )
        self._searching, self._behind = None, 0
        self.at = Position(at.file, to)
        self._skipped()
        return True

    def _next_number(self, missing: int) -> int:
        """The first segment behind one that is missing; many may be."""
        last = self._writer.at.file
        numbers = self._files.numbers(missing + 1, last)
        return numbers[0] if numbers else max(last, missing + 1)

    def _report(self, at: Position, why: str | OSError) -> None:
        log.error(
            "DISKQUEUE(%s) reading at %d of %s - %s",
            self._files.name,
            at.offset,
            self._files.path(at.file),
            why,
        )

    def _rested(self) -> None:
        self._resting = False
        self._readable()

    # -- going on ----------------------------------------------------------------------------------

    def go_to(self, number: int) -> None:
        """Goes on at the start of that segment, or where writing will when it was the current one that is left."""
        self.forget()
        if number > self._writer.at.file:
            self._writer.go_on_in(number)
        self.at = Position(number, 0)
        self._turned()

    def caught_up(self) -> None:
        """What was read ahead is of no more use."""
        self._chunk, self._chunk_at = b"", 0

    def forget(self) -> None:
        """Lets go of the segment and of what was read ahead."""
        self.caught_up()
        self._behind, self._doubted, self._searching = 0, False, None
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
