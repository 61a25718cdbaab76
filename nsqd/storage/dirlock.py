"""One nsqd per data folder."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from nsqcore.errors import StartError
from nsqcore.golang import go_reason


class DirLock:
    """An exclusive lock on the folder itself, as the original takes it: there is no lock file to be left over."""

    def __init__(self, folder: Path) -> None:
        """Raises StartError when the folder can't be opened or another nsqd has it."""
        try:
            self._fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as e:
            raise StartError(f"failed to lock data-path: {go_reason(e)}") from None
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as e:
            os.close(self._fd)
            raise StartError(
                f"failed to lock data-path: cannot flock directory {folder} - {go_reason(e)}"
                " (possibly in use by another instance of nsqd)"
            ) from None

    def release(self) -> None:
        """Gives the folder free; twice is fine."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
