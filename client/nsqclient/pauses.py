"""Random pauses between attempts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nsqclient.durations import Seconds, to_seconds, within

Chance = Callable[[], float]
"""Draws a random number in [0, 1)."""


@dataclass(frozen=True, slots=True)
class FullJitter:
    """Random pauses that grow: from 0 to ``base`` x 2^n seconds for the n-th (from 0), at most ``cap``.

    The randomness keeps clients that lost the same nsqd from coming back all at once.
    """

    base: Seconds = 0.1
    """The longest that the first pause can be; seconds."""
    cap: Seconds = 30.0
    """The longest that any can be; seconds."""

    def __post_init__(self) -> None:
        within("cap", self.cap, within("base", self.base, 0.001))

    def ceiling(self, attempt: int) -> float:
        """The longest the pause can be, in seconds."""
        return min(to_seconds(self.cap), to_seconds(self.base) * 2.0 ** min(attempt, 64))

    def delay(self, attempt: int, chance: float) -> float:
        """The pause in seconds; ``chance`` is a random number in [0, 1)."""
        return chance * self.ceiling(attempt)
