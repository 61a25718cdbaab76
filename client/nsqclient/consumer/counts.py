"""How many messages a consumer received, and what became of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Counts:
    """Of a whole consumer."""

    received: int = 0
    finished: int = 0
    requeued: int = 0
    lost: int = 0
    """Messages that nsqd took back: their connection ended, or their time ran out."""
    broken: int = 0
    """Messages whose envelope could not be read."""
