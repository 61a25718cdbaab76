"""What a publish gives to its caller: a delivery to wait for, and the receipt it ends with."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Protocol


@dataclass(slots=True)
class Receipt:
    """nsqd has the message. Its ID is not known here: the protocol does not tell it to publishers."""

    topic: str
    """Where it was published."""
    nodes: tuple[str, ...]
    """The nsqds that stored it."""
    count: int
    """Messages: 1, or those of an MPUB."""
    attempts: int
    """How often it was written to a connection, all copies together."""
    queued_at: float
    """When the producer took it, on the event loop's clock (seconds)."""
    acked_at: float
    """When nsqd's OK came, on the same clock."""
    message_key: str | None = None
    """What went along for consumers to recognise a second one by."""
    degraded: bool = False
    """There were fewer nsqds than the copies asked for (``shortage="degrade"``)."""


class Delivery(Protocol):
    """A message that the producer has taken. Awaiting it gives the receipt, or raises PublishError.

    It may be awaited never, once, often, and by several tasks. Cancelling one that waits does nothing to
    the message.
    """

    topic: str
    """Where it goes."""
    note: object
    """What was given to ``submit``."""

    @property
    def done(self) -> bool:
        """Whether awaiting it would not wait."""

    def __await__(self) -> Generator[object, None, Receipt]: ...
