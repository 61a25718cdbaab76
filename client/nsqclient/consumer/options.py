"""Settings of a consumer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nsqclient.durations import Seconds, to_seconds, within
from nsqclient.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class Backoff:
    """How a consumer slows down while handlers fail.

    Each failure raises a level by one and each success lowers it. At level n everything stops for
    ``multiplier`` x 2^n seconds, then one message is tried. A level whose pause exceeds
    ``max_duration`` is not entered; level 1 always is, with its pause cut.
    """

    multiplier: Seconds = 1.0
    max_duration: Seconds = 120.0
    strategy: Literal["exponential", "full_jitter"] = "exponential"
    """``full_jitter`` draws each pause from between 0 and the exponential one."""

    def __post_init__(self) -> None:
        within("multiplier", self.multiplier, 0, 3600)
        within("max_duration", self.max_duration, 0, 3600)
        if self.strategy not in ("exponential", "full_jitter"):
            raise ConfigError(f"strategy is {self.strategy!r}, want 'exponential' or 'full_jitter'")


@dataclass(frozen=True, slots=True)
class LinearRequeue:
    """The delay of a requeue that names none: ``step`` seconds times the attempts, at most ``cap``."""

    step: Seconds = 90.0
    cap: Seconds = 900.0

    def __post_init__(self) -> None:
        within("step", self.step, 0)
        within("cap", self.cap, 0)

    def delay(self, attempts: int) -> float:
        """Seconds until the next delivery, after ``attempts`` deliveries."""
        return min(to_seconds(self.step) * attempts, to_seconds(self.cap))
