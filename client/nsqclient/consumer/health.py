"""How a consumer stands, for probes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Health:
    """The answer to a liveness and a readiness probe."""

    live: bool
    """Whether it can go on: it has not failed and is not closed. If not, restart the process."""
    ready: bool
    """Whether messages can come: it is open and a nsqd is connected."""
    reasons: tuple[str, ...]
    """What is wrong, for people; a nsqd that can't be reached is named although others do."""
