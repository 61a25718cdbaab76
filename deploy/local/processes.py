"""Child processes: each has a log of its own, is watched while it runs and ends within a bound."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from nsqcore.addresses import HostPort, parse_host_port

_LISTENING = re.compile(rb"(TCP|HTTP): listening on (\S+)\n")
_LOOK_EVERY = 0.02  # seconds between looks at a log: files can't be awaited
_BOUND_TO_US = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 15)  # PR_SET_PDEATHSIG, SIGTERM
if os.getppid() == int(sys.argv[1]):
    os.execvp(sys.argv[2], sys.argv[2:])
"""
"""Asks Linux for a SIGTERM when our process dies, so that not even kill -9 leaves daemons behind; then it
becomes the program. A preexec_fn would be shorter, but forking beside threads is not safe."""
_alive: set[Child] = set()


class StartFailed(Exception):
    """A process ended, or stayed silent, before it served; the text ends with its last log lines."""


@dataclass(frozen=True)
class Exit:
    """How a process ended."""

    name: str
    status: int
    """The exit status; negative for the signal that ended it."""
    killed: bool
    """Whether it ignored SIGTERM for so long that we killed it."""
    log: Path

    @property
    def clean(self) -> bool:
        """Ended by itself, with status 0."""
        return self.status == 0

    def __str__(self) -> str:
        if self.killed:
            return f"{self.name} did not end after SIGTERM and was killed (log: {self.log})"
        if self.status < 0:
            return f"{self.name} was ended by {signal.Signals(-self.status).name} (log: {self.log})"
        return f"{self.name} exited with status {self.status} (log: {self.log})"


class Child:
    """One process that we started; ``start`` may be called again after ``stop``."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        log: Path,
        *,
        on_death: Callable[[Exit], None],
        on_line: Callable[[bytes], None] | None = None,
    ) -> None:
        """``on_death`` is told of an end that nobody asked for; ``on_line`` gets each line of stdout.

        What the process writes to stderr is appended to ``log``, and its stdout too without ``on_line``.
        """
        self.name, self.argv, self.log = name, list(argv), log
        self._on_death, self._on_line = on_death, on_line
        self._process: asyncio.subprocess.Process | None = None
        self._watcher: asyncio.Task[Exit] | None = None
        self._stopping = self._killed = False
        self._log_start = 0
        self.ready = False
        """Whether it has listened since its last start."""

    @property
    def pid(self) -> int:
        """The process id of the running, or last, process; 0 before the first start."""
        return self._process.pid if self._process else 0

    async def start(self) -> None:
        """Starts the process, in a session of its own: a Ctrl-C in the terminal reaches only us."""
        self._stopping = self._killed = self.ready = False
        log = self._open_log()
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._command(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE if self._on_line else log,
                stderr=log,
                start_new_session=True,
            )
        finally:
            log.close()
        _alive.add(self)
        self._watcher = asyncio.create_task(self._watch(self._process))

    def _command(self) -> list[str]:
        if sys.platform != "linux":
            return self.argv
        return [sys.executable, "-I", "-S", "-c", _BOUND_TO_US, str(os.getpid()), *self.argv]

    def _open_log(self) -> BinaryIO:
        log = open(self.log, "ab")  # noqa: SIM115 - the process inherits it, then it is closed
        self._log_start = log.tell()
        return log

    async def _watch(self, process: asyncio.subprocess.Process) -> Exit:
        if self._on_line and process.stdout:
            async for line in process.stdout:
                self._on_line(line)
        status = await process.wait()
        _alive.discard(self)
        end = Exit(self.name, status, self._killed, self.log)
        if not self._stopping:
            self._on_death(end)
        return end

    async def listening(self, kinds: Sequence[str], timeout: float) -> dict[str, HostPort]:
        """Waits until the log tells the addresses of all ``kinds`` ("TCP", "HTTP"); raises StartFailed."""
        assert self._watcher is not None
        deadline = asyncio.get_running_loop().time() + timeout
        while True:
            ended = self._watcher.done()
            found = {
                kind.decode(): parse_host_port(address.decode())
                for kind, address in _LISTENING.findall(self._written())
            }
            if ended:
                raise StartFailed(f"{self._watcher.result()}\n{self.tail()}")
            if all(kind in found for kind in kinds):
                self.ready = True
                return found
            if asyncio.get_running_loop().time() > deadline:
                raise StartFailed(f"{self.name} did not listen within {timeout:g} s\n{self.tail()}")
            await asyncio.sleep(_LOOK_EVERY)

    def tail(self, lines: int = 5) -> str:
        """The last lines of the log since the last start."""
        text = self._written().decode("utf-8", "replace")
        return "\n".join(f"    {line}" for line in text.splitlines()[-lines:])

    def _written(self) -> bytes:
        with open(self.log, "rb") as log:
            log.seek(self._log_start)
            return log.read()

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal; does nothing when the process has ended."""
        if self._process is not None and self._process.returncode is None:
            try:
                self._process.send_signal(number)
            except ProcessLookupError:
                pass

    async def stop(self, grace: float) -> Exit | None:
        """SIGTERM, and SIGKILL after ``grace`` seconds; how it ended, or None if it did not run."""
        if self._watcher is None or self._watcher.done():
            return None
        self._stopping = True
        self.signal(signal.SIGTERM)
        done, _ = await asyncio.wait([self._watcher], timeout=grace)
        if not done:
            self.kill()
        return await self._watcher

    def kill(self) -> None:
        """SIGKILL, remembered in the Exit."""
        self._stopping = self._killed = True
        self.signal(signal.SIGKILL)


def kill_all() -> None:
    """Kills every child at once: for the person who presses Ctrl-C again."""
    for child in list(_alive):
        child.kill()
