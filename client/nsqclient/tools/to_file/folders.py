"""Folders and names on disk: made, synced, and taken without ever overwriting what is there."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import time
from pathlib import Path

from nsqclient.tools.to_file.copies import copy_without_overwriting, is_copy

FOLDER_MODE = 0o770
"""Less umask."""
FILE_MODE = 0o666
"""Less umask."""
LOCK_ATTEMPTS = 100
LOCK_PAUSE = 0.05
"""Seconds between two attempts to lock a file."""

_NO_LINKS = (errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK)
"""How a file system says that it can't give a file this second name."""


class StillWritten(Exception):
    """A file can't be copied yet, as what somebody else adds to it might be missing."""


def make_folder_of(path: Path) -> None:
    """Makes the folders that lead to a file, and syncs the names of those that are new."""
    folder = path.parent
    if folder.is_dir():
        return
    make_folder_of(folder)
    try:
        folder.mkdir(FOLDER_MODE)
    except FileExistsError:
        return
    sync_folder_of(folder)


def sync_folder_of(path: Path) -> None:
    """Has the name of a file or folder survive a power failure."""
    fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    except OSError as e:
        if e.errno != errno.EINVAL:  # which says that this file system has no such thing
            raise
    finally:
        os.close(fd)


def move(source: Path, target: Path) -> None:
    """Gives a file another name; raises FileExistsError where there is one.

    A crash in the middle leaves both names: calling it again then ends it. On another file system, and where there
    are no links, it is a copy that gets the name; raises StillWritten while somebody has it open.
    """
    make_folder_of(target)
    try:
        target.hardlink_to(source)
    except OSError as e:
        if isinstance(e, FileExistsError):
            if source.samefile(target):
                _end_move(source, target)
                return
        elif e.errno not in _NO_LINKS:
            raise
        _move_copy(source, target)
        return
    _end_move(source, target)


def _move_copy(source: Path, target: Path) -> None:
    fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if not _may_be_alone(fd):
            raise StillWritten
        size = os.fstat(fd).st_size
        try:
            copy_without_overwriting(source, target)
        except FileExistsError:
            if not is_copy(source, target):
                raise
        if os.fstat(fd).st_size != size:
            raise StillWritten  # by somebody who did not wait for the lock: better twice than never
        _end_move(source, target)
    finally:
        os.close(fd)


def _may_be_alone(fd: int) -> bool:
    try:
        return lock_alone(fd)
    except OSError:
        return True


def _end_move(source: Path, target: Path) -> None:
    sync_folder_of(target)
    source.unlink()


def lock_shared(fd: int) -> None:
    """Says that this process writes to the file, until ``fd`` is closed; others may, too.

    Waits while somebody repairs it, for five seconds at most. Then, and where a file system has no locks, it
    does without: locks only guard processes of this program against each other.
    """
    for _ in range(LOCK_ATTEMPTS):
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(LOCK_PAUSE)
        except OSError:
            return
        else:
            return


def lock_alone(fd: int) -> bool:
    """Whether no process that locks its files has this one open; then none will before ``fd`` is closed.

    Raises OSError where a file system has no locks, or (as NFS does) none for what is open for reading only.
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def open_alone(path: Path) -> int | None:
    """Opens a regular file that no process writes to, so that none of ours will before it is closed; None if one does.

    Raises OSError where that can't be told, too.
    """
    flags = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    fd = os.open(path, flags | os.O_RDONLY)
    try:
        try:
            alone = lock_alone(fd) and not is_written(fd)
        except OSError as e:
            if e.errno != errno.EBADF:
                raise
            os.close(fd)
            fd = -1  # in case there is no other
            fd = os.open(path, flags | os.O_RDWR)
            alone = lock_alone(fd)
        if alone:
            found, fd = fd, -1
            return found
        return None
    finally:
        if fd >= 0:
            os.close(fd)


def is_written(fd: int) -> bool:
    """Whether some process has the file open for writing, as far as the system tells.

    Programs that do not lock their files are found by a lease, which Linux grants to read only while nobody writes.
    ``fd`` is open for reading only.
    """
    if not hasattr(fcntl, "F_SETLEASE"):
        return False
    try:
        # should somebody open it just now, the signal must not end us, as that of leases does
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        return True
    except OSError:
        return False  # the file belongs to somebody else, or the file system has no leases
    return False
