"""What every program of this folder is asked, and how it answers.

``python -m bench.clients.LIBRARY MODE ADDRESS TOPIC COUNT WIDTH``: MODE is ``publish`` with WIDTH publishes under way
at a time, ``batch`` with WIDTH messages in one MPUB, or ``consume`` with ``max_in_flight`` WIDTH. Ours also knows ``submit`` with WIDTH messages
pending, ``handle`` and ``app`` with WIDTH handlers. It prints one JSON line: seconds and CPU seconds from the first
message to the last answer, connecting not included.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass

BODY = b"x" * 200


@dataclass(frozen=True)
class Work:
    """One job."""

    mode: str
    address: str
    topic: str
    count: int
    """Messages in all."""
    width: int


def work() -> Work:
    """What the command line asks."""
    mode, address, topic, count, width = sys.argv[1:]
    return Work(mode, address, topic, int(count), int(width))


class Stopwatch:
    """Wall and CPU time from its making."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def report(self) -> None:
        """Prints the line."""
        figures = {"seconds": time.perf_counter() - self._wall, "cpu": time.process_time() - self._cpu}
        print(json.dumps(figures), flush=True)
