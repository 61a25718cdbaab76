"""Settings of subscriptions that are given with a decorator."""

from __future__ import annotations

from dataclasses import dataclass

from nsqclient.durations import Seconds, within


@dataclass(frozen=True, slots=True)
class BatchOf:
    """Calls a handler with up to ``max_messages`` at a time, waiting up to ``linger`` seconds for more.

    A batch is handed out sooner when nothing more can come until some of it is answered.
    """

    max_messages: int
    linger: Seconds = 1.0

    def __post_init__(self) -> None:
        within("max_messages", self.max_messages, 1)
        within("linger", self.linger, 0)
