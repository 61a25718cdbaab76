"""One open file: records are written, synced, and known to be there before anybody relies on it. For a thread."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from nsqclient.tools.to_file.folders import FILE_MODE, LOCK_PAUSE, lock_alone, lock_shared, sync_folder_of
from nsqclient.tools.to_file.members import member

LARGEST_MEMBER = 8 << 20
"""Bytes, uncompressed, after which a gzip member is ended without a sync."""

fdatasync: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)
"""Syncs a file's bytes, and what is needed to find them."""
write_some: Callable[[int, bytes | memoryview], int] = os.write


class Gone(Exception):
    """The file was deleted or cut by somebody; :attr:`lines` may not be in it."""

    def __init__(self, lines: list[bytes]) -> None:
        super().__init__("the file was deleted or cut by somebody else")
        self.lines = lines


class Segment:
    """A file that is written to. It holds whole lines only, whenever and however writing ends.

    Raises OSError from all that touches the disk; then nothing of what was written since the last sync may be
    taken to be there.
    """

    def __init__(self, path: Path, *, exclusive: bool, gzip_level: int) -> None:
        """Opens the file; ``exclusive`` raises FileExistsError where there is one. Level 0 means no gzip."""
        self.path = path
        self._fd = _open(path, os.O_EXCL if exclusive else 0)
        lock_shared(self._fd)
        self._level = gzip_level
        self._on_disk = os.fstat(self._fd).st_size
        """Bytes of the file, all of them of whole records."""
        self.bytes: int = self._on_disk
        """Bytes of the file before compression; of what was there before, after it."""
        self._held: list[bytes] = []
        """Records to be compressed."""
        self._held_bytes = 0
        self._unsynced: list[bytes] = []
        """Records written or held since the last sync."""
        self._named = False
        """Whether its name was synced."""
        self._empty = self._on_disk == 0
        self._torn: bool = not gzip_level and _ends_torn(self._fd)
        """Whether a record that nobody could repair is at the end; ours then begin behind a newline."""

    def write(self, lines: bytes) -> None:
        """Adds whole records, each with its newline; gzip has them in the file when it is synced."""
        self._unsynced.append(lines)
        self.bytes += len(lines)
        if not self._level:
            self._append(lines)
            return
        self._held.append(lines)
        self._held_bytes += len(lines)
        if self._held_bytes >= LARGEST_MEMBER:
            self._compress()

    def sync(self) -> None:
        """Has all that was written survive a power failure, under the name of this file.

        Raises Gone when it would not, as somebody took the file away.
        """
        if not self._unsynced:
            return
        if self._held:
            self._compress()
        self._sync()
        status = os.fstat(self._fd)
        if not status.st_nlink or status.st_size < self._on_disk:
            raise Gone(self._unsynced)
        self._unsynced = []

    def moved(self) -> bool:
        """Whether somebody gave the file another name, or deleted it; what comes next goes to a new one."""
        try:
            return not os.path.samestat(self.path.stat(), os.fstat(self._fd))
        except FileNotFoundError:
            return True

    def close(self) -> None:
        """Syncs and closes it; raises Gone as :meth:`sync`, with the file closed."""
        try:
            if self._level and self._empty and not self._held:
                self._append(member(b"", self._level))  # no bytes at all are no gzip file
                self._sync()
            self.sync()
            if not self._named:
                self._sync()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Closes it as it is."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)

    def _sync(self) -> None:
        fdatasync(self._fd)
        if not self._named:
            try:
                sync_folder_of(self.path)
            except FileNotFoundError:
                pass  # it was moved, folder and all; whoever did so saw to it
            self._named = True

    def _compress(self) -> None:
        data = self._held[0] if len(self._held) == 1 else b"".join(self._held)
        self._append(member(data, self._level))
        self._held, self._held_bytes = [], 0

    def _append(self, data: bytes) -> None:
        """Writes all of it, or leaves the file as it was."""
        if self._torn:
            data = b"\n" + data
        view, size = memoryview(data), len(data)
        done = 0
        try:
            while done < size:
                done += write_some(self._fd, view[done:])
        except OSError:
            self._cut(done)
            raise
        self._on_disk += size
        self._empty = self._torn = False

    def _cut(self, written: int) -> None:
        """Takes back a part of a record, unless another process may have written behind it."""
        if written and self._is_alone():
            os.ftruncate(self._fd, os.fstat(self._fd).st_size - written)

    def _is_alone(self) -> bool:
        try:
            return lock_alone(self._fd)
        except OSError:
            return False


def _open(path: Path, how: int) -> int:
    flags = os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | how
    try:
        return os.open(path, flags | os.O_RDWR, FILE_MODE)  # NFS locks only what is open for both
    except PermissionError:
        return os.open(path, flags | os.O_WRONLY, FILE_MODE)


def _ends_torn(fd: int) -> bool:
    """Whether a file ends without a newline, and not because a process is about to write it."""
    size = os.fstat(fd).st_size
    try:
        if not size or os.pread(fd, 1, size - 1) == b"\n":
            return False
        time.sleep(LOCK_PAUSE)
        return os.fstat(fd).st_size == size
    except OSError:
        return False  # it is open for writing only, or no file that could be read


def lines_of(bodies: Sequence[bytes]) -> bytes:
    """Each body with a newline behind it."""
    return b"\n".join(bodies) + b"\n" if bodies else b""
