"""The line on a terminal while a tool works, and that nobody else sees it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time

import pytest

from nsqclient.tools.common.progress import Rates, amount
from tests.support.child import TIMEOUT_S
from tests.support.tools import CLEAN

PROGRAM = """
import asyncio, logging, sys
from nsqclient.tools.common.lines import LineFormatter
from nsqclient.tools.common.running import run_until_done
from nsqcore import logs
from nsqcore.logs import LogLevel

logs.install(LineFormatter(), LogLevel("info"))

async def work(running):
    running.progress.show()
    for number in range(12):
        running.progress.add(1000, 200_000)
        running.progress.note = "note %d" % number
        await asyncio.sleep(0.1)
        logging.info("line %d of the log %s", number, "x" * number * 10)
    return 0

sys.exit(run_until_done(work))
"""


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2e7, "20.0 MB"), (3e15, "3000.0 TB")]
)
def test_amounts_are_for_people(size: float, text: str) -> None:
    assert amount(size) == text


def test_rates_are_those_of_the_last_seconds() -> None:
    rates = Rates(0.0)
    assert rates.at(1.0, 100, 1000) == (100, 1000)
    assert rates.at(2.0, 100, 1000) == (50, 500)
    assert rates.at(7.0, 100, 1000) == (0, 0)
    assert rates.at(8.0, 700, 7000) == (100, 1000)


def run_on_terminal(width: int, **env: str) -> bytes:
    """What the program writes to a terminal of that width."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdin=subprocess.DEVNULL,
        stderr=theirs,
        env={**CLEAN, "TERM": "xterm", **env},
    )
    os.close(theirs)
    written, deadline = b"", time.monotonic() + TIMEOUT_S
    try:
        while time.monotonic() < deadline and (data := os.read(ours, 1 << 16)):
            written += data
    except OSError:  # the end, on Linux
        pass
    os.close(ours)
    assert process.wait(TIMEOUT_S) == 0
    return written


def seen_at_the_end(written: bytes, width: int) -> list[str]:
    """The lines as a terminal shows them."""
    lines = [""]
    for part in re.split(r"(\r\n|\r\x1b\[2K)", re.sub(r"\x1b\[[0-9;]*m", "", written.decode())):
        if part == "\r\n":
            lines.append("")
        elif part.startswith("\r"):
            lines[-1] = ""
        else:
            lines[-1] += part
    return lines


def test_on_a_terminal_there_is_a_line_and_the_log_above_it() -> None:
    written = run_on_terminal(100)
    plain = re.sub(rb"\x1b\[[0-9;]*m", b"", written)
    drawn = re.findall(
        rb"\r\x1b\[2K([\d,]+) messages  ([\d,]+)/s  ([\d.]+ \w+)/s  [\d.]+ \w+  note \d+", plain
    )
    assert len(drawn) >= 3
    assert [int(count.replace(b",", b"")) for count, _, _ in drawn] == sorted(
        int(count.replace(b",", b"")) for count, _, _ in drawn
    )
    assert b"\x1b[1m" in written, "it has no colour"
    lines = seen_at_the_end(written, 100)
    for number in range(12):
        (line,) = [line for line in lines if f"line {number} of" in line]
        assert re.fullmatch(
            rf"\d+/\d+/\d+ \d+:\d+:\d+ INF line {number} of the log x{{{number * 10}}} *", line
        )
    assert re.fullmatch(r"12,000 messages, 2\.4 MB, in \d\.\d s \([\d,]+/s\)", lines[-2])
    assert lines[-1] == ""
    assert not any("note" in line for line in lines), "the line is still there"


def test_the_line_never_fills_more_than_a_line() -> None:
    plain = re.sub(rb"\x1b\[[0-9;]*m", b"", run_on_terminal(30)).decode()
    drawn = [part for part in re.split(r"\r\n|\r\x1b\[2K", plain) if " messages " in part]
    assert drawn
    assert max(map(len, drawn)) < 30
    assert any(line.endswith("…") for line in drawn)


def test_a_terminal_that_can_not_move_its_cursor_has_plain_lines_only() -> None:
    written = run_on_terminal(80, TERM="dumb")
    assert b"\x1b" not in written
    assert written.count(b"\r\n") == 12


def test_elsewhere_nothing_is_printed() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=TIMEOUT_S, check=True
    )
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 12
    assert "messages" not in done.stderr
