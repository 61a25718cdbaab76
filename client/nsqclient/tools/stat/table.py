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
_COLUMNS = ("in/s", "out/s", "depth", "disk", "inflt", "def", "req", "t-o", "msgs", "clients")
"""Short, as a terminal may have no more than 80 columns."""
_UNITS = ("k", "M", "G", "T")
WIDE = 110
"""Columns that a terminal must have to be shown the depths so far as well."""
SHORTEST = 8
"""Columns that a channel's name has in any case."""


class LiveTable:
    """Shows reports on a console."""

    def __init__(self, topic: str, console: Console) -> None:
        self._topic = topic
        self._console = console
        self._depths: dict[str, deque[int]] = {}
        self._notes: deque[str] = deque(maxlen=_NOTES)
        self._live = Live(console=console, auto_refresh=False)
        self._report: Report | None = None

    def begin(self) -> None:
        """Takes the place on the screen."""
        self._live.start()
        self.draw()

    def show(self, report: Report) -> None:
        """Draws a report."""
        self._report = report
        for row in report.rows:
            self._depths.setdefault(row.channel, deque(maxlen=REMEMBERED)).append(row.depth)
        self.draw()

    def note(self, text: str) -> None:
        """Puts a line below the table, from the next drawing on; the last few stay."""
        self._notes.append(f"{time.strftime('%H:%M:%S')} {text}")

    def close(self) -> None:
        """Leaves the last table on the screen."""
        self._live.stop()

    def draw(self) -> None:
        """Draws what is known, if it has begun."""
        if self._live.is_started:
            self._live.update(self.drawn(), refresh=True)

    def drawn(self) -> RenderableType:
        """What is on the screen now."""
        return Group(
            self._title(), self._table(), *(Text(note, style="yellow") for note in list(self._notes))
        )

    def _table(self) -> Table:
        wide = self._console.width >= WIDE
        rows = self._report.rows if self._report is not None else ()
        cells = [self._cells(row) for row in rows]
        table = Table(box=None, header_style="bold underline", padding=(0, 1, 0, 0), pad_edge=False)
        widths = [max(len(name), *(len(row[n]) for row in cells), 0) for n, name in enumerate(_COLUMNS)]
        left = self._console.width - sum(widths) - len(widths)  # a name gives way to numbers
        names = [self._name(row) for row in rows]
        longest = max(len("channel"), *(len(name) for name in names), 0)
        table.add_column(
            "channel", no_wrap=True, width=longest if wide else min(longest, max(left, SHORTEST))
        )
        for column, width in zip(_COLUMNS, widths, strict=True):
            table.add_column(column, justify="right", width=width)
        if wide:
            table.add_column("depth so far", width=REMEMBERED)
        for row, name, counts in zip(rows, names, cells, strict=True):
            bars = [spark(self._depths[row.channel])] if wide else []
            table.add_row(name, *counts, *bars)
        return table

    def _title(self) -> Text:
        title = Text.assemble("topic ", (self._topic, "bold"))
        report = self._report
        if report is None:
            return title.append("  the first rates come one interval from now", style="dim")
        title.append(f"  {time.strftime('%H:%M:%S', time.localtime(report.time))}")
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
            Text("" if row.ingress is None else short(row.ingress), style="green" if row.ingress else ""),
            Text("" if row.egress is None else short(row.egress), style="green" if row.egress else ""),
            Text(short(row.depth), style=tendency(self._depths[row.channel])),
            Text(short(row.backend_depth)),
            Text(short(row.in_flight_count)),
            Text(short(row.deferred_count)),
            Text(short(row.requeue_count)),
            Text(short(row.timeout_count), style="yellow" if row.timeout_count else ""),
            Text(short(row.message_count)),
            Text(short(row.client_count), style="" if row.client_count else "red"),
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


def short(number: float) -> str:
    """A number in at most seven characters: ``99,999``, ``123.5k``, ``12.0M``."""
    whole = round(number)
    if abs(whole) < 100_000:
        return f"{whole:,}"
    for unit in _UNITS[:-1]:
        number /= 1000
        if abs(number) < 999.95:
            return f"{number:.1f}{unit}"
    return f"{number / 1000:.0f}{_UNITS[-1]}"
