"""The demo's consumer processes: three share the channel ``index``, one writes the channel ``archive``."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from deploy.local.processes import Child, Exit
from deploy.local.reports import Counts, Report

INDEX, ARCHIVE = "index", "archive"
_STOP_GRACE = 20.0


class Worker:
    """One consumer process."""

    def __init__(
        self, name: str, role: str, folder: Path, arguments: Sequence[str], deaths: asyncio.Queue[Exit]
    ) -> None:
        self.name, self.role = name, role
        self.counts = Counts()
        self.subscribed = asyncio.Event()
        self.report_path = folder / f"{name}.report"
        argv = [
            sys.executable,
            "-m",
            "deploy.local.consumer",
            role,
            *arguments,
            f"--report={self.report_path}",
        ]
        self.child = Child(
            name, argv, folder / f"{name}.log", on_death=deaths.put_nowait, on_line=self._on_line
        )

    def _on_line(self, line: bytes) -> None:
        self.counts = Counts.read(line)
        self.subscribed.set()


class Crew:
    """All consumer processes of the demo."""

    def __init__(
        self, folder: Path, topic: str, lookupds: Sequence[str], deaths: asyncio.Queue[Exit]
    ) -> None:
        """``lookupds`` are HTTP addresses, ``host:port``."""
        arguments = [f"--topic={topic}", *(f"--lookupd={address}" for address in lookupds)]
        self.archive_folder = folder / ARCHIVE
        self.unclean: list[Exit] = []
        self.workers = [Worker(f"{INDEX}-{number}", INDEX, folder, arguments, deaths) for number in (1, 2, 3)]
        arguments = [*arguments, f"--archive={self.archive_folder}"]
        self.workers.append(Worker(f"{ARCHIVE}-1", ARCHIVE, folder, arguments, deaths))

    async def start(self) -> None:
        """Starts all of them; they look for nsqd by themselves."""
        for worker in self.workers:
            await worker.child.start()

    async def subscribed(self) -> None:
        """Waits until all of them are; for as long as it takes."""
        for worker in self.workers:
            await worker.subscribed.wait()

    async def stop(self) -> None:
        """Ends all of them; who does not end properly is noted in ``unclean``. Twice is fine."""
        ends = await asyncio.gather(*(worker.child.stop(_STOP_GRACE) for worker in self.workers))
        self.unclean += [end for end in ends if end and not end.clean]

    def delivered(self, role: str) -> int:
        """Messages that the consumers of one channel have got so far, repetitions included."""
        return sum(worker.counts.delivered for worker in self.workers if worker.role == role)

    def seconds(self, role: str) -> float:
        """From the first to the last message of a channel."""
        counts = [worker.counts for worker in self.workers if worker.role == role and worker.counts.delivered]
        if not counts:
            return 0.0
        return max(count.last for count in counts) - min(count.first for count in counts)

    def reports(self, role: str) -> list[Report]:
        """What the stopped consumers of a channel wrote down; nothing from one that was killed."""
        paths = [worker.report_path for worker in self.workers if worker.role == role]
        return [Report.load(path) for path in paths if path.exists()]
