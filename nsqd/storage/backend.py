"""What a topic or channel needs of its storage, and the storage of those that have none.

The disk queue is the destructive case: what is taken is gone from it. The interface also fits a log that
keeps messages until they are settled; hence the positions that :meth:`Backend.take` returns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

Stored = Callable[[OSError | None], None]
"""Called once when an append is on disk (None) or failed (why)."""


DueMessage = tuple[float, bytes]
"""When a deferred message is due, loop time, and its past frame."""


class Taken(NamedTuple):
    """Messages taken from a backend."""

    frames: list[bytes]
    """Frames to send."""
    positions: range | None
    """Where they stand, for :meth:`Backend.settle`; None where taking has settled them."""


class Backend(Protocol):
    """Storage of one queue; all of it is called in the loop and does not block for long."""

    @property
    def depth(self) -> int:
        """Messages that can be taken now."""

    @property
    def pending(self) -> int:
        """Messages appended in this turn of the loop, not yet written."""

    def append(self, records: Sequence[bytes], stored: Stored) -> None:
        """Takes disk records at the end of the queue; they are written with all others of this turn.

        All of them are stored, or none, and ``stored`` is told which.
        """

    def take(self, count: int, size: int) -> Taken:
        """Up to ``count`` messages and about ``size`` bytes, at least one if there is one."""

    def settle(self, positions: range) -> None:
        """The messages there are done with, for ever."""

    def restored(self, now: float) -> list[DueMessage]:
        """What the last life had deferred and not delivered, by time; asked once, first. ``now`` is the loop's time."""

    def handed_on(self, until: float) -> bool:
        """Restored messages that are due before ``until`` need not be kept any more; returns whether others are left."""

    def defer(self, messages: Sequence[DueMessage], now: float, stored: Stored) -> None:
        """Takes what is deferred at the end, to be stored by :meth:`close` at the latest."""

    def sync(self) -> None:
        """Asks for what is written to survive a loss of power soon; does not wait for it."""

    def empty(self) -> None:
        """Drops everything; waiting appends are answered as stored."""

    def close(self) -> None:
        """Writes and syncs everything, and the position; the backend is not used again. Raises OSError."""

    def delete(self) -> None:
        """Removes every trace; the backend is not used again."""


class NullBackend:
    """The backend of ephemeral topics and channels: whatever does not fit into memory is dropped."""

    depth = 0
    pending = 0

    def __init__(self) -> None:
        self.dropped = 0

    def append(self, records: Sequence[bytes], stored: Stored) -> None:
        """Drops them, as users of ``#ephemeral`` expect; counted in ``dropped``."""
        self.dropped += len(records)
        stored(None)

    def take(self, count: int, size: int) -> Taken:
        """Nothing."""
        return Taken([], None)

    def settle(self, positions: range) -> None:
        """Nothing to do."""

    def restored(self, now: float) -> list[DueMessage]:
        """Nothing."""
        return []

    def handed_on(self, until: float) -> bool:
        """Nothing is left."""
        return False

    def defer(self, messages: Sequence[DueMessage], now: float, stored: Stored) -> None:
        """Drops them."""
        self.dropped += len(messages)
        stored(None)

    def sync(self) -> None:
        """Nothing to do."""

    def empty(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""

    def delete(self) -> None:
        """Nothing to do."""
