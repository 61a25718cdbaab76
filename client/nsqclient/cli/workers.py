"""Several processes of the same kind: signals go to all, and all end together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run_workers(count: int, command: Sequence[str], lifeline: str) -> int:
    """Runs ``count`` processes of ``command`` until all have ended; returns the worst exit status.

    Each finds in the variable ``lifeline`` the descriptor of a pipe that ends when this process does,
    however it does. A worker that ends by itself makes the others end in order, and the status at least 1.
    """
    reading, writing = os.pipe()
    told: list[int] = []
    workers: list[subprocess.Popen[bytes]] = []

    def tell(number: int, frame: FrameType | None = None) -> None:
        told.append(number)
        for worker in workers:
            worker.send_signal(number)  # one that has ended is left alone

    before = {number: signal.signal(number, tell) for number in _SIGNALS}
    try:
        for _ in range(count):
            # a session of its own: the terminal's Ctrl-C would reach it twice, as two signals
            workers.append(
                subprocess.Popen(
                    command,
                    env={**os.environ, lifeline: str(reading)},
                    pass_fds=[reading],
                    start_new_session=True,
                )
            )
        return _wait(workers, told, tell)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(writing)
        os.close(reading)


def _wait(workers: list[subprocess.Popen[bytes]], told: list[int], tell: object) -> int:
    ...
