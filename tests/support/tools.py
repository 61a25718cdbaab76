"""The command-line tools as processes: run to their end, or started, watched and stopped.

::

    assert run_tool("to_nsq", "--topic=t", f"--nsqd-tcp-address={nsqd.tcp}", stdin=b"1\n2\n").status == 0

    with start_tool("nsq_tail", "--topic=t", f"--nsqd-tcp-address={nsqd.tcp}") as tail:
        tail.wait_for_out(b"hello\n")
        assert tail.stop() == 0

A tool that is a program at a path, as the originals are, is given as that path. No variable ``NSQ_...`` of this
machine reaches one; ``env`` adds what the test wants. What waits has a limit, and shows the output when it is
reached; from a coroutine that must go on meanwhile use ``asyncio.to_thread``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from tests.support.child import TIMEOUT_S, Child

PACKAGES: Mapping[str, str] = {
    "nsq_to_file": "to_file",
    "nsq_to_http": "to_http",
    "nsq_to_nsq": "to_nsq",
    "nsq_tail": "tail",
    "nsq_stat": "stat",
    "to_nsq": "from_stdin",
}
"""In ``nsqclient.tools``."""
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("NSQ")}


class Ended(NamedTuple):
    """What became of a tool."""

    status: int
    """Minus the number of the signal that ended it, if one did."""
    out: bytes
    err: str


class ToolProcess(Child):
    """A tool that runs. ``out`` and ``err`` are what it has written so far."""

    def __init__(
        self, tool: str | Path, args: Sequence[str], env: Mapping[str, str] | None, cwd: Path | None
    ) -> None:
        super().__init__(str(tool))
        self._news = threading.Condition()
        self._got = {"out": b"", "err": b""}
        self._unread = threading.Event()
        self._process = subprocess.Popen(
            command_of(tool, args),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**CLEAN, **(env or {})},
            cwd=cwd,
        )
        stdin, stdout, stderr = self._process.stdin, self._process.stdout, self._process.stderr
        assert stdin is not None
        assert stdout is not None
        assert stderr is not None
        self.stdin: IO[bytes] = stdin
        self._readers = [
            threading.Thread(target=self._read, args=(which, stream), daemon=True)
            for which, stream in (("out", stdout), ("err", stderr))
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, which: str, stream: IO[bytes]) -> None:
        with stream:
            while data := os.read(stream.fileno(), 1 << 16):
                with self._news:
                    self._got[which] += data
                    self._news.notify_all()
                if which == "out" and self._unread.is_set():
                    return

    @property
    def out(self) -> bytes:
        """What it has written to standard output."""
        with self._news:
            return self._got["out"]

    @property
    def err(self) -> str:
        """What it has written to stderr."""
        with self._news:
            return self._got["err"].decode("utf-8", "backslashreplace")

    def wait_for_err(self, text: str, *, times: int = 1, timeout: float = TIMEOUT_S) -> None:
        """Until ``text`` stands ``times`` times in ``err``; raises AssertionError that shows what there is."""
        self._wait(lambda: self.err.count(text) >= times, f"{text!r} on stderr", timeout)

    def wait_for_out(self, data: bytes, *, times: int = 1, timeout: float = TIMEOUT_S) -> None:
        """Until ``data`` stands ``times`` times in ``out``; raises AssertionError that shows what there is."""
        self._wait(lambda: self.out.count(data) >= times, f"{data!r} on stdout", timeout)

    def _wait(self, there: Callable[[], bool], what: str, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        with self._news:
            while not there():
                left = deadline - time.monotonic()
                over = not any(reader.is_alive() for reader in self._readers)
                if over or left <= 0:
                    state = "ended" if over else f"ran {timeout} s"
                    raise AssertionError(f"{self.name} {state} without {what}:\n{self.told()}")
                self._news.wait(min(left, 0.1))

    def told(self) -> str:
        """The end of its output, and all of stderr."""
        return f"--- out ---\n{self._got['out'][-4000:]!r}\n--- err ---\n{self.err}"

    def close_out(self) -> None:
        """Nobody reads its standard output any more, once it has written something to it."""
        self._unread.set()

    def wait_until_unread(self, timeout: float = TIMEOUT_S) -> None:
        """After :meth:`close_out`, until what it writes next breaks the pipe; raises AssertionError."""
        self._readers[0].join(timeout)
        assert not self._readers[0].is_alive(), f"{self.name} has written nothing:\n{self.told()}"

    def _read_to_end(self) -> None:
        for reader in self._readers:
            reader.join()
        try:
            self.stdin.close()
        except BrokenPipeError:  # what was written to its input and not read
            pass


@contextmanager
def start_tool(
    tool: str | Path, *args: str, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Iterator[ToolProcess]:
    """Runs a tool while the block runs; what still runs at its end is killed. Its input stays open.

    What a failing test raises gets the output as a note; a traceback in it is a failure, too.
    """
    process = ToolProcess(tool, args, env, cwd)
    try:
        yield process
    except BaseException as e:
        if process.status is None:
            process.kill()
        e.add_note(f"---- {process.name} ----\n{process.told()}")
        raise
    if process.status is None:
        process.kill()
    assert "Traceback" not in process.err, process.err


def run_tool(
    tool: str | Path,
    *args: str,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = TIMEOUT_S,
) -> Ended:
    """Runs a tool to its end; raises AssertionError when it goes on for ``timeout`` seconds."""
    try:
        done = subprocess.run(
            command_of(tool, args),
            input=stdin,
            capture_output=True,
            env={**CLEAN, **(env or {})},
            cwd=cwd,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as e:
        raise AssertionError(f"{tool} went on for {timeout} s:\n{e.stdout!r}\n{e.stderr!r}") from None
    err = done.stderr.decode("utf-8", "backslashreplace")
    assert "Traceback" not in err, err
    return Ended(done.returncode, done.stdout, err)


def command_of(tool: str | Path, args: Sequence[str]) -> list[str]:
    """What starts a tool: by its classic name, ``nsq`` and what follows, a module of Python's, or a path."""
    if isinstance(tool, Path):
        return [str(tool), *args]
    if tool == "nsq":
        return [sys.executable, "-m", "nsqclient", *args]
    module = f"nsqclient.tools.{PACKAGES[tool]}" if tool in PACKAGES else tool
    return [sys.executable, "-m", module, *args]
