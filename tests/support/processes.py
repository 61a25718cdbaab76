"""The daemons as real processes on free ports: start, read the log, stop, check how it ended.

::

    with spawn("nsqlookupd", "--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0") as d:
        http.client.HTTPConnection(d.http)

A program that is no module of ours is given as its path. Give every listener port 0: a fixed port may
be taken by another test. Both calls that wait (:func:`spawn` and :meth:`DaemonProcess.stop`) block; from
a coroutine that must go on meanwhile, use ``await asyncio.to_thread(d.stop)``.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.child import Child

START_TIMEOUT_S = 30.0
"""Generous: how fast a daemon starts is tested where it is promised, not wherever one is needed."""

ROOT = Path(__file__).parents[2]
LISTENERS: Mapping[str, Sequence[str]] = {"nsqadmin": ("HTTP",)}
"""Which ``X: listening on`` lines mean that a program serves; TCP and HTTP for those not named here."""

_LISTENING = re.compile(r": (\w+): listening on (\S+)\n")


class DaemonProcess(Child):
    """A daemon that runs. ``tcp`` and ``http`` are its real ``host:port`` addresses."""

    def __init__(
        self, program: str | Path, flags: Sequence[str], env: Mapping[str, str] | None, cwd: Path
    ) -> None:
        super().__init__(str(program))
        self.tcp = ""
        self.http = ""
        self._log: list[str] = []
        self._news = threading.Condition()
        self._ended = False
        self._process = subprocess.Popen(
            [str(program), *flags] if isinstance(program, Path) else [sys.executable, "-m", program, *flags],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="backslashreplace",
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
            cwd=cwd,
        )
        self._reader = threading.Thread(target=self._read, name=f"log of {self.name}", daemon=True)
        self._reader.start()

    @property
    def log(self) -> str:
        """What it has written to stderr so far."""
        with self._news:
            return "".join(self._log)

    def listening(self, listener: str) -> str:
        """The address of ``X: listening on ADDRESS``; empty while there is no such line."""
        found = [address for name, address in _LISTENING.findall(self.log) if name == listener]
        return found[-1] if found else ""

    def wait_for_log(self, text: str, timeout: float = START_TIMEOUT_S, *, times: int = 1) -> None:
        """Waits until ``text`` has been logged ``times`` times; raises AssertionError that shows the log.

        At once when the process has ended without it.
        """
        deadline = time.monotonic() + timeout
        with self._news:
            while "".join(self._log).count(text) < times:
                left = deadline - time.monotonic()
                if self._ended or left <= 0:
                    state = "ended" if self._ended else f"ran {timeout} s"
                    raise AssertionError(
                        f"{self.name} {state} without logging {text!r}:\n{''.join(self._log)}"
                    )
                self._news.wait(left)

    def told(self) -> str:
        """Its log."""
        return self.log

    def _read_to_end(self) -> None:
        self._reader.join()
        if self._process.stderr is not None:
            self._process.stderr.close()

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            with self._news:
                self._log.append(line)
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()


@contextmanager
def spawn(
    program: str | Path,
    *flags: str,
    listeners: Sequence[str] | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path = ROOT,
) -> Iterator[DaemonProcess]:
    """Runs ``python -m program flags``, or the program at a path, and waits until it listens.

    At the end a daemon that still runs is stopped, and must exit with status 0 and have logged no
    traceback; one that the test has stopped or killed by itself is only checked for tracebacks. What
    a failing test raises gets the log as a note. ``listeners`` are the names in ``X: listening on``
    to wait for, when they are not the usual ones.
    """
    daemon = DaemonProcess(program, flags, env, cwd)
    usual = LISTENERS.get(program.name if isinstance(program, Path) else program, ("TCP", "HTTP"))
    try:
        for listener in usual if listeners is None else listeners:
            daemon.wait_for_log(f" {listener}: listening on ")
        daemon.tcp, daemon.http = daemon.listening("TCP"), daemon.listening("HTTP")
        yield daemon
        if daemon.status is None:
            assert daemon.stop() == 0, f"exit status {daemon.status}"
        assert "Traceback" not in daemon.log, "there is a traceback in the log"
    except BaseException as e:
        if daemon.status is None:
            daemon.kill()
        e.add_note(f"---- log of {daemon.name} ----\n{daemon.log}")
        raise


def run_to_end(
    module: str, *flags: str, timeout: float = START_TIMEOUT_S, cwd: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """Runs ``python -m module flags`` until it ends by itself, for its status, stdout and stderr."""
    return subprocess.run(
        [sys.executable, "-m", module, *flags],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=cwd,
        check=False,
    )
