"""What people see on a terminal while a tool works: one line that is drawn anew, with counts and rates."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from io import StringIO
from types import TracebackType
from typing import Self, TextIO

EVERY = 0.25
"""Seconds between two drawings."""
WINDOW = 5.0
"""Seconds that rates are measured over."""
WAIT = 1.0
"""Seconds that the end waits for a terminal that takes nothing."""
_CLEAR = "\r\x1b[2K"


class Progress:
    """Counts what is done; where stderr is a terminal, a line tells of it, and log lines go above that.

    The line comes with :meth:`show` and goes with the end of the ``with`` block, which leaves a summary. Elsewhere
    nothing is printed. It is drawn by a thread: a terminal that is stopped holds no event loop up.
    """

    def __init__(self) -> None:
        self.count: int = 0
        """Messages, or whatever is counted."""
        self.size: int = 0
        """Bytes of these."""
        self.note: str = ""
        """What else the line says, at its end."""
        self._line: _Line | None = None

    def add(self, count: int, size: int = 0) -> None:
        """So much more is done."""
        self.count += count
        self.size += size

    def show(self, what: str = "messages") -> None:
        """From now on there is a line, if this is a terminal; ``what`` is what is counted."""
        if self._line is None and sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb":
            self._line = _Line(sys.stderr, lambda: (self.count, self.size, self.note), what)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The line goes."""
        line, self._line = self._line, None
        if line is not None:
            line.end()


class Rates:
    """How fast counts have grown lately."""

    def __init__(self, now: float) -> None:
        self._seen: deque[tuple[float, int, int]] = deque([(now, 0, 0)])

    def at(self, now: float, count: int, size: int) -> tuple[float, float]:
        """Per second, over the last ``WINDOW`` seconds; takes these counts in."""
        self._seen.append((now, count, size))
        while len(self._seen) > 2 and self._seen[1][0] <= now - WINDOW:
            self._seen.popleft()
        then, before, bytes_before = self._seen[0]
        seconds = max(now - then, 1e-9)
        return (count - before) / seconds, (size - bytes_before) / seconds


def amount(size: float) -> str:
    """``512 B``, ``1.5 kB``, ``20.0 MB``: bytes for people."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


class _Line:
    """The line on a terminal, and the log above it."""

    def __init__(self, stream: TextIO, counts: Callable[[], tuple[int, int, str]], what: str) -> None:
        self._stream = stream
        self._counts = counts
        self._what = what
        self._began = time.monotonic()
        self._rates = Rates(self._began)
        self._drawn = ""
        self._lock = threading.Lock()
        self._over = threading.Event()
        above = _Above(self.above)
        self._handlers = [
            handler
            for handler in logging.getLogger().handlers
            if isinstance(handler, logging.StreamHandler) and handler.stream is stream
        ]
        for handler in self._handlers:
            handler.setStream(above)
        self._thread = threading.Thread(target=self._draw, name="nsqclient progress", daemon=True)
        self._thread.start()

    def above(self, text: str) -> None:
        """Writes whole lines above the line."""
        with self._lock:
            self._write(f"{_CLEAR}{text}{self._drawn}" if self._drawn else text)

    def end(self) -> None:
        """Takes the line away and leaves a summary in its place."""
        self._over.set()
        self._thread.join(WAIT)
        for handler in self._handlers:
            handler.setStream(self._stream)
        count, size, _ = self._counts()
        seconds = time.monotonic() - self._began
        with self._lock:
            told = f"{count:,} {self._what}, {amount(size)}, in {seconds:.1f} s ({count / seconds:,.0f}/s)\n"
            self._write((_CLEAR if self._drawn else "") + (told if count else ""))

    def _draw(self) -> None:
        from rich.console import Console  # takes long to import, and only a terminal needs it
        from rich.text import Text

        while not self._over.wait(EVERY):
            count, size, note = self._counts()
            rate, byte_rate = self._rates.at(time.monotonic(), count, size)
            text = Text()
            text.append(f"{count:,}", "bold").append(f" {self._what}  ")
            text.append(f"{rate:,.0f}/s", "green").append(f"  {amount(byte_rate)}/s", "cyan")
            text.append(f"  {amount(size)}", "dim").append(f"  {note}" if note else "")
            width = self._width()
            page = StringIO()
            text.truncate(max(1, width - 1), overflow="ellipsis")
            Console(file=page, force_terminal=True, width=width).print(text, end="")
            with self._lock:
                self._drawn = page.getvalue()
                self._write(_CLEAR + self._drawn)

    def _width(self) -> int:
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or 80
        except OSError:  # the terminal has gone
            return 80

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:  # the terminal has gone, and with it all who could read
            pass


class _Above(StringIO):
    """What log handlers write to while there is a line."""

    def __init__(self, write: Callable[[str], None]) -> None:
        super().__init__()
        self._write_lines = write

    def write(self, text: str) -> int:
        """Each event's lines come at once."""
        self._write_lines(text)
        return len(text)
