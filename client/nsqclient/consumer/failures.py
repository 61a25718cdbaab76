"""Settings: what becomes of messages that fail."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from nsqclient.consumer.message import Message
from nsqclient.durations import Seconds, to_seconds, within

GiveUpHook = Callable[[Message, BaseException | None], Awaitable[object]]
"""Called with a message that is given up and what it failed with last, which is None when it was requeued
by hand or never handed out."""


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Failures:
    """What happens to messages that fail.

    A message that fails comes again after ``requeue`` says. After ``attempts`` deliveries (0: any number) a
    message that fails is given up: it is logged and finished, or, with ``give_up``, finished when that has
    run; if it raises, the message is requeued. A message that was delivered more often, without an answer
    from here, is given up before it is handed out, as it may be what kills the process.
    """

    attempts: int = 5
    requeue: LinearRequeue = field(default_factory=LinearRequeue)
    give_up: GiveUpHook | None = None

    def __post_init__(self) -> None:
        within("attempts", self.attempts, 0, 65535)
