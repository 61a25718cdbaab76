"""Where a disk queue goes on after a restart: its position file, checked against the segments there are.

A position file that fits the segments is obeyed. Otherwise the last life ended without a clean stop, or
somebody had his hands in the folder: then everything that may not have been read is read (again), and
writing begins in a new segment, for behind the end of the last one there may be half a record.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple

from nsqd.storage.segments import Position, QueueFiles, count_records

log = logging.getLogger(__name__)


class Recovered(NamedTuple):
    """What a queue begins with; ``as_stored`` when that is what its position file says."""

    depth: int
    read: Position
    write: Position
    as_stored: bool


START = Position(0, 0)
"""Of a queue that never was."""


def recover(files: QueueFiles, segments: Sequence[int]) -> Recovered:
    """Reads the position file and looks at the segments, whose numbers are given in order. Changes nothing.

    Raises OSError when something is there that can't be read.
    """
    read = START
    try:
        depth, read, write = files.load_positions()
    except FileNotFoundError:
        if not segments:
            return Recovered(0, START, START, as_stored=True)
        log.warning("DISKQUEUE(%s) no position file: reading from segment %d on", files.name, segments[0])
    except ValueError as e:
        log.error("DISKQUEUE(%s) failed to retrieveMetaData - %s", files.name, e)
    else:
        size = files.size(write.file)
        misplaced = read.offset > files.size(read.file)
        if size == write.offset and not misplaced and fits(depth, read, write, segments):
            return Recovered(depth, read, write, as_stored=True)
        log.warning(
            "DISKQUEUE(%s) metadata writePos %d %s file size of %d, skipping to new file",
            files.name, write.offset, "<" if write.offset < size else "does not go with", size,
        )  # fmt: skip
        if read > write:
            read = START
        elif misplaced:
            read = Position(read.file, 0)
        elif _is_whole(depth, read, write, size, segments):
            begun = [number for number in segments if number >= write.file]
            depth += count_messages(files, begun, write)
            return Recovered(depth, read, Position(segments[-1] + 1, 0), as_stored=False)
    write = Position(segments[-1] + 1 if segments else 0, 0)
    left = [number for number in segments if number >= read.file]
    if read.file not in left:
        read = Position(left[0], 0) if left else write
    return Recovered(count_messages(files, left, read), read, write, as_stored=False)


def _is_whole(depth: int, read: Position, write: Position, size: int, segments: Sequence[int]) -> bool:
    """Whether all is there of what the positions tell, so that only what was written later must be counted.

    Counting takes two seconds per gigabyte, and the depth that is stored is right for the positions beside it.
    """
    if size < write.offset or (depth > 0) != (read < write):
        return False
    needed = range(read.file, write.file + (write.offset > 0))
    return bool(segments) and write.file <= segments[-1] and set(needed).issubset(segments)


def fits(depth: int, read: Position, write: Position, segments: Sequence[int]) -> bool:
    """Whether a queue of these segments may stand there."""
    last = segments[-1] if segments else -1
    if read == write:
        return depth == 0 and last <= write.file
    return depth > 0 and read < write and read.file in segments and last <= write.file <= last + 1


def count_messages(files: QueueFiles, segments: Sequence[int], read: Position) -> int:
    """Messages in these segments from ``read`` on; raises OSError."""
    return sum(count_records(files.path(n), read.offset if n == read.file else 0) for n in segments)


def count_between(files: QueueFiles, read: Position, write: Position) -> int:
    """Messages from ``read`` up to ``write``; raises OSError."""
    segments = files.numbers(read.file, write.file - 1)
    if read.file == write.file:
        return count_records(files.path(read.file), read.offset, write.offset)
    return count_messages(files, segments, read) + count_records(files.path(write.file), 0, write.offset)
