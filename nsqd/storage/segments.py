"""The files of one disk queue: names, positions, opening, removing. No queue logic in here.

Components of a path are joined, never formatted: a ``%`` in the data path is just a letter.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from struct import Struct
from typing import NamedTuple

from nsqd.frames import RECORD_OVERHEAD
from nsqd.storage.atomic import write_atomically
from nsqd.storage.salvage import WINDOW, next_record

_I32 = Struct(">i")
_COUNT_CHUNK = 1 << 20
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
_META = re.compile(rb"(-?\d+)\n(\d+),(\d+)\n(\d+),(\d+)\n")


class Position(NamedTuple):
    """A place in a queue: which segment, and how many bytes into it."""

    file: int
    offset: int


class QueueFiles:
    """The files of the queue ``name`` (``topic`` or ``topic:channel``) in ``folder``."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self._folder = folder
        self._prefix = f"{name}.diskqueue."
        self._meta = folder / f"{self._prefix}meta.dat"
        self.deferred_path = folder / f"{self._prefix}deferred.dat"
        """Of the file of deferred messages."""

    def path(self, number: int) -> Path:
        """The segment of that number."""
        return self._folder / f"{self._prefix}{number:06d}.dat"

    def numbers(self, first: int, last: int) -> list[int]:
        """Those of the segments from ``first`` to ``last`` that there are, in order; looks through the folder."""
        pattern = re.compile(re.escape(self._prefix) + r"(\d{6,})\.dat")
        found = (pattern.fullmatch(path.name) for path in self._folder.iterdir())
        return sorted(n for match in found if match and first <= (n := int(match[1])) <= last)

    def size(self, number: int) -> int:
        """Bytes of a segment; 0 when there is none."""
        try:
            return self.path(number).stat().st_size
        except FileNotFoundError:
            return 0

    def boundary(self, at: Position) -> int:
        """The last place at or before ``at`` where a record begins, by the lengths from the segment's start on.

        Reads all of them; raises OSError.
        """
        start = 0
        with self.path(at.file).open("rb") as file:
            while len(head := file.read(4)) == 4:
                end = start + 4 + _I32.unpack(head)[0]
                if end < start + 4 + RECORD_OVERHEAD or end > at.offset:
                    break
                start = file.seek(end)
        return start

    def open_for_writing(self, at: Position) -> int:
        """A descriptor of the segment; a new segment starts empty, whatever an earlier failure left there."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | (0 if at.offset else os.O_TRUNC)
        return os.open(self.path(at.file), flags, 0o600)

    def cut(self, at: Position) -> None:
        """Ends the segment there; nothing behind that place is left. Raises OSError."""
        with suppress(FileNotFoundError):
            os.truncate(self.path(at.file), at.offset)

    def remove(self, number: int) -> None:
        """Removes a segment that may be gone already."""
        self.path(number).unlink(missing_ok=True)

    def remove_all(self, numbers: range) -> None:
        """Removes segments and the position file."""
        for number in numbers:
            self.remove(number)
        self.remove_positions()

    def discard(self, numbers: range) -> None:
        """Removes segments that a failed write began; what can't be removed is overwritten later."""
        for number in numbers:
            with suppress(OSError):
                self.remove(number)

    def keep_as_bad(self, path: Path) -> Path:
        """Gives a damaged file a second name, ``.bad``, under which its bytes stay; never that of another file.

        Raises OSError.
        """
        for n in count():
            bad = Path(f"{path}.bad{f'.{n}' if n else ''}")
            with suppress(FileNotFoundError):
                if bad.samefile(path):
                    return bad
                continue
            try:
                os.link(path, bad)
            except FileNotFoundError:  # removed by somebody, but still open
                pass
            except OSError as e:
                if e.errno not in _NO_LINKS:
                    raise
                shutil.copyfile(path, bad)
            return bad
        raise AssertionError("unreachable")

    def has_positions(self) -> bool:
        """Whether there is a position file."""
        return self._meta.exists()

    def load_positions(self) -> tuple[int, Position, Position]:
        """Depth, reading and writing position; raises FileNotFoundError, or ValueError when it is garbage."""
        text = self._meta.read_bytes()
        match = _META.fullmatch(text)
        if match is None:
            raise ValueError(f"{self._meta} holds {text[:60]!r}, not a depth and two positions")
        depth, *numbers = map(int, match.groups())
        return depth, Position(*numbers[:2]), Position(*numbers[2:])

    def store_positions(self, depth: int, read: Position, write: Position) -> None:
        """Replaces the position file. Blocks for an fsync."""
        write_atomically(self._meta, b"%d\n%d,%d\n%d,%d\n" % (depth, *read, *write))

    def remove_positions(self) -> None:
        """Removes the position file."""
        self._meta.unlink(missing_ok=True)


_LEFT = re.compile(r"(.+)\.diskqueue\.(?:(\d{6,})|deferred)\.dat")


class Left(NamedTuple):
    """What an earlier life left of a queue."""

    segments: Sequence[int] = ()
    """Their numbers, in order."""
    deferred: bool = False
    """Whether there is a file of deferred messages."""


NOTHING = Left()


def inventory(folder: Path) -> dict[str, Left]:
    """What is in ``folder``, by the name of its queue. Raises OSError."""
    segments: dict[str, list[int]] = {}
    deferred: set[str] = set()
    for path in folder.iterdir():
        match = _LEFT.fullmatch(path.name)
        if match:
            numbers = segments.setdefault(match[1], [])
            if match[2]:
                numbers.append(int(match[2]))
            else:
                deferred.add(match[1])
    return {name: Left(sorted(numbers), name in deferred) for name, numbers in segments.items()}


def write_at(fd: int, data: bytes, offset: int) -> None:
    """Writes all of ``data`` there, or raises OSError; some of it may be written then."""
    done = os.pwrite(fd, data, offset)
    while done < len(data):  # at 2 GB, or where the disk gets full; then the next try says so
        more = os.pwrite(fd, memoryview(data)[done:], offset + done)
        if not more:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done += more


def count_records(path: Path, start: int, stop: int | None = None) -> int:
    """Whole records in a segment from ``start`` on, up to ``stop`` or its end; damage is passed over as in reading.

    0 when there is no such file; raises OSError.
    """
    try:
        file = path.open("rb", buffering=0)
    except FileNotFoundError:
        return 0
    with file:
        fd, end = file.fileno(), file.seek(0, os.SEEK_END) if stop is None else stop
        total, at = 0, start
        while True:
            more, at = _count_run(fd, at, end)
            total += more
            found, at = None, at + 1
            while found is None and at < end:
                found = next_record(fd, at, end)
                at += WINDOW
            if found is None:
                return total
            at = found


def _count_run(fd: int, at: int, end: int) -> tuple[int, int]:
    """Records from ``at`` up to the end or to the first that can't be one: how many, and where that is."""
    total = 0
    while end - at >= 4:
        chunk, place = os.pread(fd, _COUNT_CHUNK, at), 0
        while len(chunk) - place >= 4:
            (length,) = _I32.unpack_from(chunk, place)
            if length < RECORD_OVERHEAD or at + place + 4 + length > end:
                return total, at + place
            total += 1
            place += 4 + length
        if not place:
            break
        at += place
    return total, at
