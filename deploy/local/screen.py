"""What a person sees of the demo: notes, and a bar per count on a terminal or a line every other second."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

_LINE_EVERY = 2.0  # seconds


class Screen:
    """Shows counts that all grow towards one total; ``with`` keeps the bars on a terminal."""

    def __init__(self, console: Console, total: int, names: Mapping[str, str]) -> None:
        """``names`` maps each count to the words that describe it."""
        self._console, self._total, self._names = console, total, names
        self._next_line = 0.0
        self._shown = ""
        self._bars: dict[str, TaskID] = {}
        self._progress: Progress | None = None
        if console.is_terminal:
            self._progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                console=console,
            )

    def __enter__(self) -> Self:
        if self._progress:
            for name, words in self._names.items():
                self._bars[name] = self._progress.add_task(words, total=self._total)
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress:
            self._progress.stop()

    def note(self, text: str) -> None:
        """A line of its own, above the bars."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def update(self, counts: Mapping[str, int], *, final: bool = False) -> None:
        """Shows the counts as they are now, or will stay."""
        if self._progress:
            for name, count in counts.items():
                self._progress.update(self._bars[name], completed=count)
            return
        now = time.monotonic()
        text = ", ".join(f"{self._names[name]} {count:,}" for name, count in counts.items())
        if (final or now >= self._next_line) and text != self._shown:
            self._next_line, self._shown = now + _LINE_EVERY, text
            self._console.print(
                f"  of {self._total:,}: {text}", highlight=False, markup=False, soft_wrap=True
            )
