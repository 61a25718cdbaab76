"""What a bridge needs of a message from NSQ."""

from __future__ import annotations

from typing import Protocol


class Answerable(Protocol):
    """A message that is held: nsqclient's, or a test's."""

    attempts: int
    timestamp_ns: int
    body: bytes

    @property
    def id(self) -> str:
        """Its ID at its nsqd."""

    @property
    def node(self) -> str:
        """Its nsqd."""

    def finish(self) -> object:
        """It is done."""

    def requeue(self, delay: float | None = None, *, backoff: bool = True) -> object:
        """It is to come again."""

    def touch(self) -> object:
        """It needs more time."""
