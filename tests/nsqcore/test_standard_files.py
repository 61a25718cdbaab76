"""A program that was started with its standard files closed."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import ROOT

CLOSING = 'exec "$0" "$@"'
DAEMONS = {
    "nsqd": ("--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0"),
    "nsqlookupd": ("--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0"),
    "nsqadmin": ("--http-address=127.0.0.1:0", "--nsqd-http-address=127.0.0.1:1"),
}


def without(closed: str, *command: str) -> list[str]:
    """The command line that starts a Python program with the descriptors of ``<&- >&- 2>&-`` closed."""
    return ["/bin/sh", "-c", f"{CLOSING} {closed}", sys.executable, *command]


def test_files_that_are_opened_get_other_numbers() -> None:
    program = (
        "import os, sys; from nsqcore.standard_files import ensure_standard_files as ensure; ensure();"
        "sys.stdout.write('a'); sys.stderr.write('b'); sys.exit(10 * (sys.stdin.read() == '') + os.open('.', 0))"
    )
    ended = subprocess.run(without("<&- >&- 2>&-", "-c", program), cwd=ROOT, timeout=20, check=False)
    assert ended.returncode == 13


def test_those_that_are_open_stay_as_they_are() -> None:
    program = "from nsqcore.standard_files import ensure_standard_files as ensure; ensure(); print(input())"
    ended = subprocess.run(
        [sys.executable, "-c", program],
        input="told\n",
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert (ended.stdout, ended.stderr) == ("told\n", "")


@pytest.mark.parametrize("daemon", DAEMONS)
def test_a_daemon_without_standard_input_and_output_ends_in_order(daemon: str, tmp_path: Path) -> None:
    process = subprocess.Popen(
        without("<&- >&-", "-m", daemon, *DAEMONS[daemon]), stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )
    with process:
        assert process.stderr is not None
        log = ""
        while "HTTP: listening" not in log:
            line = process.stderr.readline()
            assert line, log
            log += line
        process.send_signal(signal.SIGTERM)
        log += process.stderr.read()
        assert process.wait(20) == 0, log


@pytest.mark.parametrize("module", ["nsqclient.tools.from_stdin", "nsqclient"])
def test_a_tool_without_any_ends_in_order(module: str, tmp_path: Path) -> None:
    words = ["from-stdin"] if module == "nsqclient" else []
    command = ["-m", module, *words, "--topic=t", "--nsqd-tcp-address=127.0.0.1:1"]
    ended = subprocess.run(without("<&- >&- 2>&-", *command), cwd=tmp_path, timeout=20, check=False)
    assert ended.returncode == 0
