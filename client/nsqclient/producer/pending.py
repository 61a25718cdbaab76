"""One publish on its way, and what is known of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from nsqclient.errors import Outcome


@dataclass(frozen=True, slots=True)
class Receipt:
    """nsqd has the message. Its ID is not known here: the protocol does not tell it to publishers."""

    topic: str
    nodes: tuple[str, ...]
    """The nsqds that stored it."""
    count: int
    """Messages: 1, or those of an MPUB."""
    attempts: int
    """How often it was written to a connection."""
    queued_at: float
    """When the producer took it, on the event loop's clock (seconds)."""
    acked_at: float
    """When nsqd's OK came, on the same clock."""


class Pending:
    """A publish that waits to be written, or for its answer."""

    __slots__ = (
        "attempts",
        "bucket",
        "command",
        "count",
        "done",
        "failures",
        "maybe_stored",
        "node",
        "on_wire",
        "queued_at",
        "topic",
    )

    def __init__(
        self, topic: str, command: bytes, count: int, done: asyncio.Future[Receipt], queued_at: float
    ) -> None:
        self.topic = topic
        self.command = command
        self.count = count
        self.done = done
        """Whoever waits for it. Once it is done nobody does, and nothing is sent any more."""
        self.queued_at = queued_at
        self.bucket = 0
        """Where its deadline is kept."""
        self.node = ""
        """The nsqd it was written to last."""
        self.attempts = 0
        self.failures = 0
        """How many of the attempts came to nothing by their own fault, and count against the limit."""
        self.on_wire = False
        """Written, and not answered."""
        self.maybe_stored = False
        """An answer to an earlier attempt was lost."""

    @property
    def outcome(self) -> Outcome:
        """What to say if it ends now without an answer."""
        return "unknown" if self.on_wire or self.maybe_stored else "not_sent"

    def receipt(self, now: float) -> Receipt:
        """For an OK that came now."""
        return Receipt(self.topic, (self.node,), self.count, self.attempts, self.queued_at, now)
