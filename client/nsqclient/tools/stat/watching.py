"""The watch over a topic: poll, count, show, and again one interval later, whatever happens to the nsqds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Protocol

from nsqclient.tools.common.failures import Refused
from nsqclient.tools.stat.counts import Rates, Reading, Row
from nsqclient.tools.stat.forms import Report
from nsqclient.tools.stat.nodes import Nodes


class View(Protocol):
    """Where reports go."""

    async def begin(self) -> None:
        """Called once, when the first poll has succeeded."""

    async def show(self, report: Report) -> None:
        """Called for each report."""

    async def wait(self) -> None:
        """Called for each poll that makes no report."""

    def note(self, text: str) -> None:
        """A line about what changed."""


class Watch:
    """Reports on channels of a topic at a steady pace."""

    def __init__(
        self, topic: str, channels: Sequence[str], nodes: Nodes, view: View, interval: float
    ) -> None:
        """Without ``channels`` all are reported, those too that come later; ``interval`` is seconds."""
        self._topic = topic
        self._channels = list(dict.fromkeys(filter(None, channels)))
        self._nodes = nodes
        self._view = view
        self._interval = interval
        self._rates = Rates()
        self._trouble = ""
        self._absent: set[str] = set()
        self._paused: set[str] = set()

    async def run(self, count: int | None) -> None:
        """Returns after ``count`` reports; raises Refused when the first poll finds nothing to watch.

        Polls that find nothing later make no report: the view is told, and it goes on.
        """
        loop = asyncio.get_running_loop()
        due = loop.time()
        self._note_paused(await self._first())
        await self._view.begin()
        reports = 0
        while count is None or reports < count:
            due = next_due(due, loop.time(), self._interval)
            await asyncio.sleep(due - loop.time())
            rows = await self._poll()
            if not rows:
                await self._view.wait()
            else:
                await self._view.show(
                    Report(
                        time=time.time(),
                        topic=self._topic,
                        rows=rows,
                        nodes=self._nodes.count,
                        missing=self._nodes.missing,
                    )
                )
                reports += 1

    async def _first(self) -> list[Row]:
        readings, _ = await self._nodes.poll()
        if trouble := self._nodes.trouble():
            raise Refused(f"ERROR: {trouble}")
        rows = self._rates.rows(readings, self._wanted(readings))
        for channel in self._channels:
            if channel not in {row.channel for row in rows}:
                silent = ", ".join(self._nodes.missing)
                raise Refused(
                    f"ERROR: failed to find channel({channel}) in stats metadata for topic({self._topic})"
                    + (f"; there is no answer from {silent}" if silent else "")
                )
        return rows

    async def _poll(self) -> list[Row]:
        readings, gone = await self._nodes.poll()
        self._rates.forget(gone)
        rows = self._rates.rows(readings, self._wanted(readings))
        self._note_trouble()
        if not self._trouble and not self._nodes.missing:
            self._note_absent(rows)
        self._note_paused(rows)
        return rows

    def _wanted(self, readings: Sequence[Reading]) -> Sequence[str]:
        return self._channels or sorted({name for reading in readings for name in reading.channels})

    def _note_trouble(self) -> None:
        trouble = self._nodes.trouble()
        if trouble and not self._trouble:
            self._view.note(f"{trouble}; there are no rows until this is over")
        self._trouble = trouble

    def _note_absent(self, rows: Sequence[Row]) -> None:
        """Only told when all nsqds have answered, as another one may have the channel."""
        absent = set(self._channels) - {row.channel for row in rows}
        for channel in sorted(absent - self._absent):
            self._view.note(
                f"no nsqd has channel({channel}) of topic({self._topic}) any more; it has no rows"
            )
        self._absent = absent

    def _note_paused(self, rows: Sequence[Row]) -> None:
        for row in rows:
            name = f"channel({row.channel}) of topic({self._topic})"
            if row.paused and row.channel not in self._paused:
                self._paused.add(row.channel)
                self._view.note(f"{name} is paused")
            elif not row.paused and row.channel in self._paused:
                self._paused.remove(row.channel)
                self._view.note(f"{name} is not paused any more")


def next_due(due: float, now: float, interval: float) -> float:
    """When the next poll is due: whole intervals after the last one was, and not before ``now``."""
    return due + interval * (1 + max(now - due, 0.0) // interval)
