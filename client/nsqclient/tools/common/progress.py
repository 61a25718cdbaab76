"""What people see on a terminal while a tool works: one line that is drawn anew, with counts and rates."""

from __future__ import annotations

from types import TracebackType
from typing import IO, Self

EVERY = 0.25
"""Seconds between two drawings."""


class Progress:
    """Counts what is done; where stderr is a terminal, a line tells of it, and log lines go above that.

    The line appears with the first :meth:`show`. Elsewhere nothing is printed at all. It is drawn by a thread: a
    terminal that is stopped holds no event loop up.
    """

    def __init__(self, stream: IO[str] | None = None) -> None:
        self.count: int = 0
        """Messages, or whatever is counted."""
        self.size: int = 0
        """Bytes of these."""
        self.note: str = ""
        """What else the line says, at its end."""

    def add(self, count: int, size: int = 0) -> None:
        """So much more is done."""
        self.count += count
        self.size += size

    def show(self, what: str = "messages") -> None:
        """From now on there is a line, if this is a terminal; ``what`` is what is counted."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The line goes."""
