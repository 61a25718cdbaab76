"""The live table that a terminal shows: drawn anew in place for each report."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from nsqclient.tools.stat.counts import Row
from nsqclient.tools.stat.forms import Report

REMEMBERED = 24
"""Depths that the line beside them shows."""
GROWING = 5
"""Reports in which a depth must not have fallen, and have risen in all, to be shown as a growing one."""
_NOTES = 4
_BARS = "▁▂▃▄▅▆▇█"
_COLUMNS = (
    *("in/s", "out/s", "depth", "disk", "in flight", "deferred"),
    *("requeued", "timed out", "messages", "clients"),
)


class LiveTable:
    """Shows reports on a console."""

    def __init__(self, topic: str, console: Console) -> None:
        self._topic = topic
        self._depths: dict[str, deque[int]] = {}
        self._notes: deque[str] = deque(maxlen=_NOTES)
        self._live = Live(console=console, auto_refresh=False)
        self._report: Report | None = None

    def begin(self) -> None:
        """Takes the place on the screen."""
        self._live.start()
        self._draw()

    def show(self, report: Report) -> None:
        """Draws a report."""
        self._report = report
        for row in report.rows:
            self._depths.setdefault(row.channel, deque(maxlen=REMEMBERED)).append(row.depth)
        self._draw()

    def note(self, text: str) -> None:
        """Shows a line below the table; the last few stay."""
        self._notes.append(f"{time.strftime('%H:%M:%S')} {text}")
        self._draw()

    def close(self) -> None:
        """Leaves the last table on the screen."""
        self._live.stop()

    def _draw(self) -> None:
        if self._live.is_started:
            self._live.update(self.drawn(), refresh=True)

    def drawn(self) -> RenderableType:
        """What is on the screen now."""
        return Group(self._table(), *(Text(note, style="yellow") for note in self._notes))

    def _table(self) -> Table:
        table = Table(title=self._title(), title_justify="left", title_style="", header_style="bold")
        table.add_column("topic")
        table.add_column("channel")
        for name in _COLUMNS:
            table.add_column(name, justify="right")
        table.add_column("depth so far")
        for row in self._report.rows if self._report is not None else ():
            table.add_row(self._topic, self._name(row), *self._cells(row), spark(self._depths[row.channel]))
        return table

    def _title(self) -> Text:
        report = self._report
        if report is None:
            return Text("the first rates come one interval from now", style="dim")
        title = Text(time.strftime("%H:%M:%S", time.localtime(report.time)))
        title.append(f"  {report.nodes - len(report.missing)} of {report.nodes} nsqds")
        if report.missing:
            title.append(f", without {', '.join(report.missing)}", style="bold red")
        return title

    def _name(self, row: Row) -> Text:
        name = Text(row.channel)
        if row.paused:
            name.append(" paused", style="bold magenta")
        return name

    def _cells(self, row: Row) -> list[Text]:
        return [
            Text(_rate(row.ingress), style="green" if row.ingress else ""),
            Text(_rate(row.egress), style="green" if row.egress and row.egress > 0 else ""),
            Text(f"{row.depth:,}", style=tendency(self._depths[row.channel])),
            Text(f"{row.backend_depth:,}"),
            Text(f"{row.in_flight_count:,}"),
            Text(f"{row.deferred_count:,}"),
            Text(f"{row.requeue_count:,}"),
            Text(f"{row.timeout_count:,}", style="yellow" if row.timeout_count else ""),
            Text(f"{row.message_count:,}"),
            Text(f"{row.client_count:,}", style="" if row.client_count else "red"),
        ]


def tendency(depths: Sequence[int]) -> str:
    """The colour of a depth: red when it has been growing for a while, yellow when it has just grown."""
    recent = list(depths)[-GROWING:]
    if len(recent) == GROWING and recent == sorted(recent) and recent[-1] > recent[0]:
        return "bold red"
    return "yellow" if len(recent) > 1 and recent[-1] > recent[-2] else ""


def spark(depths: Sequence[int]) -> str:
    """A bar for each depth, the highest being full."""
    top = max(depths, default=0)
    return "".join(_BARS[depth * (len(_BARS) - 1) // top if top else 0] for depth in depths)


def _rate(rate: float | None) -> str:
    return "" if rate is None else f"{round(rate):,}"
