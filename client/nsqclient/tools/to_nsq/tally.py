"""Counts what becomes of messages, and tells of what goes wrong: at most one line a second of each kind."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

EVERY = 1.0
"""Seconds between two lines of one kind."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Kind:
    said_at: float
    unsaid: int = 0


class Seldom:
    """Log lines of which one a second is enough; the next one says how many were left out."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kinds: dict[str, _Kind] = {}

    def say(self, level: int, kind: str, text: str, facts: Mapping[str, object]) -> None:
        """Logs the text, unless one of its kind was logged within the second; ``facts`` are for the record."""
        now = self._clock()
        last = self._kinds.get(kind)
        if last is not None and now - last.said_at < EVERY:
            last.unsaid += 1
            return
        more = f" (and {last.unsaid} more like this)" if last is not None and last.unsaid else ""
        self._kinds[kind] = _Kind(now)
        log.log(level, "%s%s", text, more, extra=facts)


@dataclass(slots=True)
class Tally:
    """Of all topics together."""

    relayed: int = 0
    """Messages that were confirmed, by all destinations if it is to be all, and finished."""
    filtered: int = 0
    """Messages that were finished as they don't match."""
    unreadable: int = 0
    """Messages that are no JSON objects: finished, or dead letters."""
    failed: int = 0
    """Attempts that came to nothing, of one message or several."""
    seldom: Seldom = field(default_factory=Seldom)

    def __str__(self) -> str:
        parts = [f"{self.relayed} messages relayed"]
        if self.filtered:
            parts.append(f"{self.filtered} filtered out")
        if self.unreadable:
            parts.append(f"{self.unreadable} were no JSON objects")
        if self.failed:
            parts.append(f"{self.failed} times one failed and was requeued")
        return ", ".join(parts)
