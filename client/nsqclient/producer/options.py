"""Settings of a producer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from nsqclient.durations import within
from nsqclient.errors import ConfigError
from nsqclient.pauses import FullJitter


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryPolicy:
    """How hard a producer tries; everything stays within the publish's timeout."""

    attempts: int = 4
    """How often a message that nodes refuse for reasons of their own (a full disk) is sent in all."""
    backoff: FullJitter = field(default_factory=lambda: FullJitter(0.05, cap=2.0))
    """The pauses between the attempts to connect to one node."""
    on_unknown: Literal["raise", "retry"] = "raise"
    """Whether a publish whose answer was lost is sent again, which may store the message twice."""

    def __post_init__(self) -> None:
        within("attempts", self.attempts, 1)
        if self.on_unknown not in ("raise", "retry"):
            raise ConfigError(f"on_unknown is {self.on_unknown!r}, want 'raise' or 'retry'")
