"""A file's way to another file system: copied, synced, and there under its name at once or not at all."""

from __future__ import annotations

import errno
import filecmp
import os
import shutil
from pathlib import Path

FILE_MODE = 0o666
BLOCK = 1 << 20
"""Bytes that are copied at a time."""
_NO_NAMELESS = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT)
"""How file systems say that they have no files without a name, or can't give them one later."""


def copy_without_overwriting(source: Path, target: Path) -> None:
    """Raises FileExistsError where there is such a file; whoever sees ``target`` sees all of it."""
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    try:
        _copy_nameless(source, target)
    except OSError as e:
        if e.errno not in _NO_NAMELESS:
            raise
        _copy_beside(source, target)


def is_copy(source: Path, target: Path) -> bool:
    """Whether ``target`` was made of ``source`` by :func:`copy_without_overwriting`, which a crash has followed.

    A copy has the time of its source, to the nanosecond. Where a file system knows whole seconds only, nothing is
    taken for a copy: two files of one message each are soon alike.
    """
    old, new = source.stat(), target.lstat()
    return (
        (old.st_size, old.st_mtime_ns) == (new.st_size, new.st_mtime_ns)
        and old.st_mtime_ns % 1_000_000_000 != 0
        and filecmp.cmp(source, target, shallow=False)
    )


def _copy_nameless(source: Path, target: Path) -> None:
    """The copy has no name before it is complete, so a crash leaves nothing of it."""
    fd = os.open(target.parent, getattr(os, "O_TMPFILE", os.O_DIRECTORY) | os.O_WRONLY, FILE_MODE)
    try:
        _fill(fd, source)
        # with a folder, though the path is absolute: only then does Python have links followed
        os.link(f"/proc/self/fd/{fd}", target, src_dir_fd=fd)
    finally:
        os.close(fd)


def _copy_beside(source: Path, target: Path) -> None:
    """A copy beside the target takes its place; the place is kept by an empty file, so that it is nobody else's."""
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE)
        try:
            _fill(fd, source)
        finally:
            os.close(fd)
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE))
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _fill(fd: int, source: Path) -> None:
    with source.open("rb") as old, os.fdopen(os.dup(fd), "wb") as new:
        shutil.copyfileobj(old, new, BLOCK)
        new.flush()
        times = os.fstat(old.fileno())
        os.utime(fd, ns=(times.st_atime_ns, times.st_mtime_ns))
        os.fsync(fd)
