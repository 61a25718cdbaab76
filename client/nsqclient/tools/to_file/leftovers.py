"""Files that a crash left behind: found by their names, cut back to what is whole, and never touched while in use."""

from __future__ import annotations

import heapq
import os
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from nsqclient.tools.to_file.folders import is_written, lock_alone
from nsqclient.tools.to_file.members import is_ours, member, whole_lines, whole_members
from nsqclient.tools.to_file.naming import FileNames

NEWEST = 100
"""Files that are looked at where finished files lie, too; a crash leaves one, and it is among the newest."""


def find(folder: Path, names: FileNames) -> Iterator[str]:
    """The names, relative to ``folder``, of regular files there that a process of this host made for the topic."""
    for name in _walk(folder, "", names.parts):
        if names.is_ours(name):
            yield name


def newest(folder: Path, names: FileNames, count: int = NEWEST) -> list[str]:
    """The last ``count`` of these to be written to."""

    def written(name: str) -> int:
        try:
            return (folder / name).stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    return heapq.nlargest(count, find(folder, names), key=written)


def _walk(folder: Path, name: str, parts: Sequence[re.Pattern[str]]) -> Iterator[str]:
    try:
        entries = list((folder / name).iterdir())
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    for entry in entries:
        # numbered groups are of the whole name: a part is only a first look
        if not parts[0].fullmatch(entry.name):
            continue
        path = f"{name}/{entry.name}" if name else entry.name
        if len(parts) == 1:
            if entry.is_file() and not entry.is_symlink():
                yield path
        elif entry.is_dir():
            yield from _walk(folder, path, parts[1:])


def repair(path: Path, *, gzip: bool, marked_only: bool) -> int | None:
    """Cuts what a crash left of a file's last record; returns the bytes cut, None where it is not ours to touch.

    Such is a file that a process has open for writing, and with ``marked_only`` a gzip file that another program
    made. A gzip file without any whole member becomes an empty one, as no bytes at all can't be read. Raises OSError.
    """
    if not stat.S_ISREG(path.lstat().st_mode):
        return None
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if not lock_alone(fd) or is_written(fd):
            return None
        if gzip and marked_only and not is_ours(fd):
            return None
        size = os.fstat(fd).st_size
        end = whole_members(fd, size) if gzip else whole_lines(fd, size)
        instead = member(b"", 1) if gzip and not end else b""
        if (end < size or instead) and os.fstat(fd).st_size == size:
            _cut(path, fd, end, instead)
        return size - end
    finally:
        os.close(fd)


def _cut(path: Path, read_fd: int, end: int, instead: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        if os.path.samestat(os.fstat(fd), os.fstat(read_fd)):
            os.ftruncate(fd, end)
            os.pwrite(fd, instead, end)
            os.fsync(fd)
    finally:
        os.close(fd)
