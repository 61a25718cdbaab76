"""A process that a test has started: its signals and its end; what is read of it is up to those who start it."""

from __future__ import annotations

import signal
import subprocess
from abc import ABC, abstractmethod
from typing import Any

TIMEOUT_S = 30.0
"""Seconds for whatever is waited for; generous, as machines may be slow."""


class Child(ABC):
    """It runs as soon as there is :attr:`_process`, which who inherits from this starts."""

    _process: subprocess.Popen[Any]

    def __init__(self, name: str) -> None:
        self.name = name
        self.status: int | None = None
        """The exit status once it has ended; minus the signal's number when a signal ended it."""

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal, and doesn't wait for what comes of it."""
        self._process.send_signal(number)

    def poll(self) -> int | None:
        """The exit status, or None while it runs; doesn't wait."""
        return self._process.poll()

    def wait(self, timeout: float = TIMEOUT_S) -> int:
        """Waits until the process has ended and all it wrote is read; returns the exit status.

        Raises AssertionError, after killing it, when it goes on.
        """
        try:
            self.status = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} went on for {timeout} s:\n{self.told()}") from None
        self._read_to_end()
        return self.status

    def stop(self, timeout: float = TIMEOUT_S) -> int:
        """Asks it to end (SIGTERM) and waits as :meth:`wait`; twice is fine."""
        if self.status is None:
            self.signal(signal.SIGTERM)
        return self.wait(timeout)

    def kill(self) -> None:
        """Ends it as a crash would (SIGKILL)."""
        self._process.kill()
        self.wait()

    @abstractmethod
    def told(self) -> str:
        """What it has written, for whoever reads of a failure."""

    @abstractmethod
    def _read_to_end(self) -> None:
        """It has ended: reads the rest, and closes what leads to it."""
