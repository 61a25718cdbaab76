"""Settings: what becomes of messages that fail, and of those that come too late."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from nsqclient.checks import check_name
from nsqclient.consumer.message import Message
from nsqclient.durations import Seconds, to_seconds, within
from nsqclient.errors import ConfigError
from nsqclient.producer.producer import Producer

GiveUpHook = Callable[[Message, BaseException | None], object]
"""Called with a message that is given up and what it failed with last, which is None when it was requeued
by hand or never handed out; what it returns is awaited if it can be. It must be quick otherwise."""


@dataclass(frozen=True, slots=True)
class LinearRequeue:
    """The delay of a requeue that names none: ``step`` seconds times the attempts, at most ``cap``."""

    step: Seconds = 90.0
    """Seconds for each attempt."""
    cap: Seconds = 900.0
    """The longest delay, in seconds."""

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
    message that fails is given up. One that was delivered more often, without an answer from here, is given
    up before it is handed out, as it may be what kills the process.
    """

    attempts: int = 5
    """Deliveries of a message, after which one that fails is given up; 0 is any number."""
    requeue: LinearRequeue = field(default_factory=LinearRequeue)
    """When a message that failed comes again, unless somebody said when."""
    give_up: Literal["finish", "dead_letter"] | GiveUpHook = "finish"
    """What is done to give a message up: it is logged and finished, or published to the ``dead_letter``
    topic (naming one implies this) and then finished, or finished when the function has run. If that
    fails the message is requeued, and given up again when it comes."""
    dead_letter: str | None = None
    """The topic of what is given up, of messages whose handlers raise DeadLetter, and of expired ones."""
    dead_letter_producer: Producer | None = None
    """Publishes dead letters; it is yours to open and to close. None: one of the consumer's own, with its
    target and connection options, made when it is needed."""
    on_expired: Literal["dead_letter", "drop", "run"] | None = None
    """What is done with a message whose sender's deadline has passed. None: it becomes a dead letter if
    there is a topic for them, and is dropped otherwise. ``run`` handles it all the same."""

    def __post_init__(self) -> None:
        within("attempts", self.attempts, 0, 65535)
        if self.give_up not in ("finish", "dead_letter") and not callable(self.give_up):
            raise ConfigError(f"give_up is {self.give_up!r}, want 'finish', 'dead_letter' or a function")
        if self.on_expired not in (None, "dead_letter", "drop", "run"):
            raise ConfigError(f"on_expired is {self.on_expired!r}, want 'dead_letter', 'drop' or 'run'")
        if self.dead_letter is not None:
            check_name("topic", self.dead_letter)
        elif "dead_letter" in (self.give_up, self.on_expired):
            raise ConfigError("no topic for dead letters is given: dead_letter=")
        elif self.dead_letter_producer is not None:
            raise ConfigError("dead_letter_producer is of no use without a topic: dead_letter=")

    @property
    def hook(self) -> GiveUpHook | None:
        """The function among the ways to give up."""
        return self.give_up if callable(self.give_up) else None

    @property
    def expiry(self) -> Literal["dead_letter", "drop", "run"]:
        """``on_expired`` with None decided."""
        return self.on_expired or ("drop" if self.dead_letter is None else "dead_letter")
