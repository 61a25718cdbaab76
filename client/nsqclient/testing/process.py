"""A real nsqd as a process on free ports, for tests that want the real thing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

START_TIMEOUT = 30.0
"""Seconds until it must listen."""
STOP_TIMEOUT = 30.0
"""Seconds that it may take to end in order."""
_LISTENING = re.compile(r": (TCP|HTTP): listening on (\S+)")


def find_nsqd() -> Path | None:
    """The program that ``NSQD`` names, else ``nsqd`` beside this Python, else on the path; None if none is there."""
    named = os.environ.get("NSQD")
    beside = str(Path(sys.executable).parent)
    path = os.pathsep.join((beside, os.environ.get("PATH", os.defpath)))
    found = shutil.which(named or "nsqd", path=path)
    return Path(found) if found else None


class NsqdProcess:
    """A nsqd that runs while the block does, on ports that were free; they stay the same over restarts.

    ::

        with NsqdProcess(find_nsqd(), tmp_path, "--msg-timeout=2s") as nsqd:
            Producer(nsqd.tcp_address)

    Starting and stopping block for as long as they take. Works with the original, too.
    """

    def __init__(self, program: Path | str, folder: Path, *flags: str) -> None:
        """``folder`` exists and becomes its data path; ``flags`` are added on its command line."""
        self.program: str = str(program)
        self.folder = folder
        self.flags: Sequence[str] = flags
        self.tcp_address: str = "127.0.0.1:0"
        """``host:port`` for producers and consumers, once it runs."""
        self.http_address: str = "127.0.0.1:0"
        """``host:port`` of its HTTP API, once it runs."""
        self._log: list[str] = []
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._listens = False
        self._decided = threading.Event()
        """Set when it listens, and when it has ended without."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def log(self) -> str:
        """What it has written to stderr so far, all its lives together."""
        return "".join(self._log)

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Returns once it listens; raises RuntimeError, which shows the log, when it does not."""
        if self.running:
            return
        self._listens = False
        self._decided.clear()
        self._process = subprocess.Popen(
            [
                self.program,
                f"--tcp-address={self.tcp_address}",
                f"--http-address={self.http_address}",
                f"--data-path={self.folder}",
                "--broadcast-address=127.0.0.1",
                *self.flags,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="backslashreplace",
        )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()
        self._decided.wait(START_TIMEOUT)
        if not self._listens:
            self.kill()
            raise RuntimeError(f"{self.program} does not listen; it says:\n{self.log}")

    def stop(self) -> None:
        """Ends it in order: what it holds in memory is written; nothing happens if it does not run."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                pass
            self.kill()

    def kill(self) -> None:
        """Ends it at once: what it holds in memory is lost."""
        if self._process is not None and self._reader is not None:
            self._process.kill()
            self._process.wait()
            self._reader.join()
            self._process = self._reader = None

    def restart(self) -> None:
        """Stops it and starts it again, on the same ports and data."""
        self.stop()
        self.start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        missing = {"TCP", "HTTP"}
        if process.stderr is None:
            return
        with process.stderr as lines:
            for line in lines:
                self._log.append(line)
                found = _LISTENING.search(line) if missing else None
                if found:
                    missing.discard(found[1])
                    if found[1] == "TCP":
                        self.tcp_address = found[2]
                    else:
                        self.http_address = found[2]
                    if not missing:
                        self._listens = True
                        self._decided.set()
        self._decided.set()
