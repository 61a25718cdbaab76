"""Runs ``python -m nsqclient`` as a process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("NSQ_")}
TIMEOUT = 40.0


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "nsqclient", *arguments]


def run(
    *arguments: str, given: bytes = b"", env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Runs it to its end."""
    environ = {**CLEAN, **(env or {})}
    return subprocess.run(
        command(*arguments),
        input=given,
        capture_output=True,
        timeout=TIMEOUT,
        check=False,
        env=environ,
        cwd=cwd,
    )


@contextmanager
def begun(
    *arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs it while the block runs; kills it at the end if it has not ended."""
    process = subprocess.Popen(
        command(*arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**CLEAN, **(env or {})},
        cwd=cwd,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()
        process.wait()
