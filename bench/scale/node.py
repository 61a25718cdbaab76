"""A nsqd to be measured: its memory, and an end that is quick and certain."""

from __future__ import annotations

import resource
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from types import FrameType

from bench.__main__ import Daemon

POINT_S = 110.0
"""Seconds that one point may take."""


class Node(Daemon):
    """A nsqd on free ports."""

    def memory_mb(self) -> float:
        """Resident memory now, MB."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
            (line,) = (line for line in file if line.startswith("VmRSS:"))
        return int(line.split()[1]) / 1024

    def create(self, topics: list[str], channels: list[str]) -> None:
        """Creates these topics, each with these channels, over one connection."""
        connection = HTTPConnection(self.http, timeout=30)
        try:
            for topic in topics:
                paths = [f"/topic/create?topic={topic}"]
                paths += [f"/channel/create?topic={topic}&channel={channel}" for channel in channels]
                for path in paths:
                    connection.request("POST", path)
                    answer = connection.getresponse()
                    answer.read()
                    if answer.status != 200:
                        raise SystemExit(f"bench: {path} was answered with {answer.status}")
        finally:
            connection.close()


@contextmanager
def node(**flags: object) -> Iterator[Node]:
    """A nsqd which keeps everything in memory unless ``flags`` say otherwise.

    It is killed at the end: an orderly one would write millions of messages to a folder that is removed next.
    """
    given = {"mem_queue_size": 20_000_000} | flags
    with tempfile.TemporaryDirectory(prefix="nsq-bench-") as folder:
        found = Node(
            f"{sys.executable} -m nsqd",
            folder,
            {name.replace("_", "-"): value for name, value in given.items()},
        )
        try:
            yield found
        finally:
            found.process.kill()
            found.process.wait(60)


@contextmanager
def time_limit(seconds: float = POINT_S) -> Iterator[None]:
    """Raises TimeoutError in the body once it has taken so long, whatever it waits for."""

    def late(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"it took longer than {seconds:g} s")

    former = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)


def raise_file_limit() -> None:
    """Lets this process, and the daemons that it starts, have as many connections as the system permits."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
