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
    crew = _Crew()
    before = {number: signal.signal(number, crew.tell) for number in _SIGNALS}
    reading, writing = os.pipe()
    try:
        crew.start(count, command, {**os.environ, lifeline: str(reading)}, reading)
        return crew.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(writing)
        os.close(reading)


class _Crew:
    """The processes, and the signals they were told."""

    def __init__(self) -> None:
        self._workers: list[subprocess.Popen[bytes]] = []
        self._told: list[int] = []
        self._started = False

    def start(self, count: int, command: Sequence[str], environ: dict[str, str], lifeline: int) -> None:
        """Starts all; signals that come meanwhile reach them afterwards."""
        for _ in range(count):
            # in a session of its own, or Ctrl-C would reach it twice: from the terminal and from here
            worker = subprocess.Popen(command, env=environ, pass_fds=[lifeline], start_new_session=True)
            self._workers.append(worker)
        self._started = True
        for number in self._told:
            self._send(number)

    def tell(self, number: int, frame: FrameType | None = None) -> None:
        """A signal came, or is given as if it had come."""
        self._told.append(number)
        if self._started:
            self._send(number)

    def wait(self) -> int:
        """Until all have ended; the exit status."""
        status = 0
        running = list(self._workers)
        while running:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)  # goes on after a signal was handled
            for worker in [worker for worker in running if worker.poll() is not None]:
                running.remove(worker)
                status = max(status, self._status(worker))
        return status

    def _status(self, worker: subprocess.Popen[bytes]) -> int:
        code = worker.returncode
        if not self._told:
            sys.stderr.write(f"nsq: worker {worker.pid} ended by itself ({code}), the others end too\n")
            self.tell(signal.SIGTERM)
            return max(1, _shell_status(code))
        # one that had not begun to heed signals has nothing to do in order, either
        return 0 if -code in self._told[:1] else _shell_status(code)

    def _send(self, number: int) -> None:
        for worker in self._workers:
            worker.send_signal(number)  # does nothing to one that has ended


def _shell_status(code: int) -> int:
    return code if code >= 0 else 128 - code
