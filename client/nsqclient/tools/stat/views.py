"""Where reports go: as lines to standard output, or into a table on the terminal."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextlib import suppress

from nsqclient.tools.stat.forms import Csv, Form, JsonLines, Report, Rows
from nsqclient.tools.stat.output import apart, write_out

CLOSE_S = 1.0
"""Seconds that a terminal has to take the last table."""


class Lines:
    """Text on standard output, notes elsewhere."""

    def __init__(self, form: Form, tell: Callable[[str], None]) -> None:
        """``tell`` gets the notes, those too that come before the beginning, but not if it never begins:
        then the reason for that is all there is to say."""
        self._form = form
        self._tell = tell
        self._held: list[str] = []
        self._begun = False

    def note(self, text: str) -> None:
        """Tells it."""
        if self._begun:
            self._tell(text)
        else:
            self._held.append(text)

    async def begin(self) -> None:
        """Writes the heading."""
        if heading := self._form.heading():
            await write_out(heading.encode())
        self._begun = True
        for text in self._held:
            self._tell(text)

    async def show(self, report: Report) -> None:
        """Writes a report."""
        await write_out(self._form.text(report).encode())

    async def wait(self) -> None:
        """Nothing is written."""

    async def close(self) -> None:
        """Nothing is left to do."""


class Screen:
    """A live table. A terminal that is held up (Ctrl-S) holds up the table alone."""

    def __init__(self, topic: str) -> None:
        from rich.console import Console  # slow to import, and of no use to scripts

        from nsqclient.tools.stat.table import LiveTable

        self._table = LiveTable(topic, Console(file=sys.stdout))
        self.note: Callable[[str], None] = self._table.note

    async def begin(self) -> None:
        """Takes the place on the screen."""
        await apart(self._table.begin)

    async def show(self, report: Report) -> None:
        """Draws a report."""
        await apart(lambda: self._table.show(report))

    async def wait(self) -> None:
        """Draws the notes, at least."""
        await apart(self._table.draw)

    async def close(self) -> None:
        """Leaves the last table on the screen, unless the terminal takes nothing."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await apart(self._table.close)


def view_of(form: str, topic: str, *, several: bool, tell: Callable[[str], None]) -> Lines | Screen:
    """The view that ``--format`` names; ``several`` channels make rows tell which they are of."""
    if form == "auto":
        form = "table" if sys.stdout.isatty() else "text"
    if form == "table":
        return Screen(topic)
    forms: dict[str, Callable[[], Form]] = {
        "text": lambda: Rows(several=several),
        "json": JsonLines,
        "csv": Csv,
    }
    return Lines(forms[form](), tell)
