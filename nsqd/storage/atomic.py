"""Replaces a small file so that after a crash it holds the old text or the new one, never half of it."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from secrets import randbelow

_UNFINISHED = re.compile(r".+\.dat\.\d+\.tmp")


def remove_unfinished(folder: Path) -> None:
    """Removes what a crash in the midst of :func:`write_atomically` left there. Raises OSError."""
    for path in folder.iterdir():
        if _UNFINISHED.fullmatch(path.name):
            path.unlink()


def write_atomically(path: Path, data: bytes | Iterable[bytes]) -> None:
    """Writes the data, or its pieces, beside, fsyncs, renames, fsyncs the folder. Blocks; raises OSError and leaves no rest behind.

    The name beside is the original's, ``<name>.<number>.tmp``.
    """
    beside = path.with_name(f"{path.name}.{randbelow(1 << 63)}.tmp")
    try:
        fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with open(fd, "wb", closefd=False) as file:
                file.writelines((data,) if isinstance(data, bytes) else data)
            os.fsync(fd)
        finally:
            os.close(fd)
        beside.rename(path)
    except OSError:
        with suppress(OSError):
            beside.unlink()
        raise
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Has the folder's own list of names survive a loss of power. Blocks; raises OSError."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    except OSError as e:
        if e.errno != errno.EINVAL:  # some network file systems have no such thing
            raise
    finally:
        os.close(folder)
