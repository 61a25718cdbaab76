"""Daemons and tools, ours and the original ones, side by side."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any

from tests.support.fetch import fetch_json
from tests.support.needs import original
from tests.support.processes import ROOT, DaemonProcess, spawn

TOOL_TIMEOUT_S = 30.0
TOOL_MODULES = {
    "nsq_tail": "tail",
    "nsq_to_file": "to_file",
    "nsq_to_http": "to_http",
    "nsq_to_nsq": "to_nsq",
    "nsq_stat": "stat",
    "to_nsq": "from_stdin",
}
"""Where ours are, in ``nsqclient.tools``."""
_FREE = ("--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0")


class Kind(Enum):
    """Who wrote a program."""

    OURS = "ours"
    ORIGINAL = "original"

    def program(self, name: str) -> str | Path:
        """What to spawn; skips the test when an original is wanted and there is none."""
        return original(name) if self is Kind.ORIGINAL else name

    @property
    def other(self) -> Kind:
        return Kind.OURS if self is Kind.ORIGINAL else Kind.ORIGINAL


@contextmanager
def nsqlookupd(kind: Kind) -> Iterator[DaemonProcess]:
    """A nsqlookupd that forgets no node while a test lasts."""
    with spawn(kind.program("nsqlookupd"), *_FREE) as daemon:
        yield daemon


@contextmanager
def nsqd(
    kind: Kind, folder: Path, lookupds: Iterable[DaemonProcess] = (), *flags: str
) -> Iterator[DaemonProcess]:
    """A nsqd that is known to these nsqlookupds as soon as it is handed over."""
    folder.mkdir(exist_ok=True)
    known = [f"--lookupd-tcp-address={lookupd.tcp}" for lookupd in lookupds]
    always = (f"--data-path={folder}", "--broadcast-address=127.0.0.1")
    with spawn(kind.program("nsqd"), *_FREE, *always, *known, *flags) as daemon:
        yield daemon


@contextmanager
def nsqadmin(kind: Kind, lookupds: Iterable[DaemonProcess]) -> Iterator[DaemonProcess]:
    """A nsqadmin over the nodes that these nsqlookupds know."""
    flags = [f"--lookupd-http-address={lookupd.http}" for lookupd in lookupds]
    with spawn(kind.program("nsqadmin"), "--http-address=127.0.0.1:0", *flags) as daemon:
        yield daemon


def run_tool(
    name: str,
    *flags: str,
    lines: Iterable[bytes] = (),
    stdin: bytes = b"",
    kind: Kind = Kind.ORIGINAL,
) -> list[bytes]:
    """Runs a tool to its end, with ``stdin`` and these lines as its input; returns the lines of its output.

    Raises AssertionError when it fails or goes on for too long.
    """
    try:
        ended = subprocess.run(
            [*tool_command(name, kind), *flags],
            input=stdin + b"".join(line + b"\n" for line in lines),
            capture_output=True,
            timeout=TOOL_TIMEOUT_S,
            cwd=ROOT,
            check=False,
        )
    except subprocess.TimeoutExpired as e:
        raise AssertionError(f"{name} went on, it wrote {e.stdout!r} and {e.stderr!r}") from None
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()


def tool_command(name: str, kind: Kind) -> list[str | Path]:
    """What runs a tool; skips the test when an original is wanted and there is none."""
    if kind is Kind.ORIGINAL:
        return [original(name)]
    return [sys.executable, "-m", f"nsqclient.tools.{TOOL_MODULES[name]}"]


@contextmanager
def tool(name: str, *flags: str, kind: Kind = Kind.ORIGINAL) -> Iterator[DaemonProcess]:
    """A tool that goes on until the block ends, and then ends in order."""
    program = original(name) if kind is Kind.ORIGINAL else f"nsqclient.tools.{TOOL_MODULES[name]}"
    with spawn(program, *flags, listeners=()) as daemon:
        yield daemon


def topic_stats(daemon: DaemonProcess, topic: str) -> dict[str, Any]:
    """What a nsqd tells of a topic; empty when it has none of that name."""
    topics = fetch_json(daemon.http, f"/stats?format=json&include_mem=false&topic={topic}")["topics"] or [{}]
    assert isinstance(topics[0], dict)
    return topics[0]


def channel_names(daemon: DaemonProcess, topic: str) -> set[str]:
    """The channels that a nsqd has of a topic."""
    return {channel["channel_name"] for channel in topic_stats(daemon, topic).get("channels") or ()}
