"""Files that a crash left behind: found by their names, cut back to what is whole, and never touched while in use.

Only what was certainly never synced is thrown away: the beginning of a last record or member. What may have been
good once is kept beside the file when it is cut off, and a file with something whole behind what is not is left as
it is.
"""

from __future__ import annotations

import heapq
import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from nsqclient.tools.to_file.folders import FILE_MODE, open_alone, sync_folder_of
from nsqclient.tools.to_file.members import BLOCK, Rest, is_gzip, is_ours, member, whole_lines, whole_members
from nsqclient.tools.to_file.naming import GZIP_SUFFIX, FileNames

TORN_SUFFIX = ".torn"
"""Of files that hold what was cut off another; a number follows where there is one already."""
NEWEST = 100
"""Files that are looked at where finished files lie, too; a crash leaves one, and it is among the newest."""


def find(folder: Path, names: FileNames) -> Iterator[str]:
    """The names, relative to ``folder``, of regular files there that a process of this host made for the topic."""
    for name in _walk(folder, "", names.parts):
        if names.is_ours(name):
            yield name


def newest(folder: Path, names: FileNames, most: int = NEWEST) -> list[str]:
    """The last ``most`` of these to be written to."""

    def written(name: str) -> int:
        try:
            return (folder / name).stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    return heapq.nlargest(most, find(folder, names), key=written)


def _walk(folder: Path, name: str, parts: Sequence[re.Pattern[str]]) -> Iterator[str]:
    try:
        entries = os.listdir(folder / name)  # noqa: PTH208 - of 100,000 names most are not worth a Path
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    for entry in filter(parts[0].fullmatch, entries):
        # numbered groups are of the whole name: a part is only a first look
        path = f"{name}/{entry}" if name else entry
        if len(parts) > 1:
            yield from _walk(folder, path, parts[1:])
        elif _is_regular(folder / path):
            yield path


def _is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        return False


@dataclass(frozen=True)
class Repaired:
    """What became of a file that nobody else has open."""

    end: int
    """Bytes of it that are whole."""
    cut: int = 0
    """Bytes behind them that were cut off."""
    kept: Path | None = None
    """Where these are, unless they were certainly never synced."""
    damaged: bool = False
    """Nothing was cut, as there are whole members again behind what is not."""


def repair(path: Path, *, gzip: bool, marked_only: bool) -> Repaired | None:
    """Cuts off what a crash left of a file's last record; None for a file that is not ours to touch.

    Such is a file that a process has open for writing, and with ``marked_only`` a gzip file that another program
    made. A gzip file without any whole member becomes an empty one, as no bytes at all can't be read. A file named
    .gz that begins as one is taken for one even without ``gzip``. Raises OSError.
    """
    if not stat.S_ISREG(path.lstat().st_mode):
        return None
    fd = open_alone(path)
    if fd is None:
        return None
    try:
        gzip = gzip or (path.name.endswith(GZIP_SUFFIX) and is_gzip(fd))
        if gzip and marked_only and not is_ours(fd):
            return None
        size = os.fstat(fd).st_size
        end, rest = whole_members(fd, size) if gzip else whole_lines(fd, size)
        if rest is Rest.DAMAGED:
            return Repaired(end, damaged=True)
        kept = _keep(path, fd, end) if rest is Rest.DOUBTFUL else None
        instead = member(b"", 1) if gzip and not end else b""
        if (end < size or instead) and os.fstat(fd).st_size == size:
            _cut(path, fd, end, instead)
        return Repaired(end, size - end, kept)
    finally:
        os.close(fd)


def _keep(path: Path, read_fd: int, at: int) -> Path:
    """Puts all from there on into a file of its own beside the other, safe when this returns."""
    for number in count(1):
        kept = path.with_name(path.name + TORN_SUFFIX + (f".{number}" if number > 1 else ""))
        try:
            fd = os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
        except FileExistsError:
            continue
        break
    with open(fd, "wb") as file:
        while data := os.pread(read_fd, BLOCK, at):
            file.write(data)
            at += len(data)
        file.flush()
        os.fsync(fd)
    sync_folder_of(kept)
    return kept


def _cut(path: Path, read_fd: int, end: int, instead: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        if os.path.samestat(os.fstat(fd), os.fstat(read_fd)):
            os.ftruncate(fd, end)
            os.pwrite(fd, instead, end)
            os.fsync(fd)
    finally:
        os.close(fd)
