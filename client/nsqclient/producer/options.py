"""Settings of a producer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from nsqclient.durations import Seconds, to_seconds, within
from nsqclient.errors import ConfigError
from nsqclient.pauses import FullJitter


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryPolicy:
    """How hard a producer tries; everything stays within the publish's timeout."""

    attempts: int = 4
    """How often a message that nodes refuse for reasons of their own (a full disk) is sent in all."""
    backoff: FullJitter = field(default_factory=lambda: FullJitter(0.05, cap=2.0))
    """The pauses between the attempts to connect to one node."""
    on_unknown: Literal["auto", "raise", "retry"] = "auto"
    """Whether a publish whose answer was lost is sent again, which may store the message twice.

    ``auto`` does so when a message key goes with it, by which consumers can tell the second one.
    """

    def __post_init__(self) -> None:
        within("attempts", self.attempts, 1)
        _one_of("on_unknown", self.on_unknown, ("auto", "raise", "retry"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Gathers what is published to one topic into one MPUB; each caller has its own result all the same.

    A batch leaves when the first of it has waited ``linger``, or when it is full. Messages with a delay
    are sent by themselves, as NSQ has no MPUB for them.
    """

    linger: Seconds = 0.002
    """How long the first message waits for others: at most half of the time that it has in all. Who waits for
    room (``max_pending``) or for a flush is not kept waiting: batches leave at once."""
    max_messages: int = 500
    """With so many it leaves at once."""
    max_bytes: int = 1 << 20
    """Bytes of one MPUB with its length fields; ``Limits.max_body_size`` holds as well."""

    def __post_init__(self) -> None:
        within("linger", self.linger, 0, 60)
        within("max_messages", self.max_messages, 1)
        within("max_bytes", self.max_bytes, 9)

    @property
    def seconds(self) -> float:
        """``linger`` as a number."""
        return to_seconds(self.linger)


class Node(Protocol):
    """A nsqd as a producer sees it now."""

    @property
    def address(self) -> str:
        """As it was given or discovered."""

    @property
    def zone(self) -> str:
        """As nsqlookupd tells it; empty when unknown."""

    @property
    def region(self) -> str:
        """As nsqlookupd tells it; empty when unknown."""

    @property
    def pending(self) -> int:
        """Publishes written to it that have no answer yet."""

    @property
    def rtt(self) -> float | None:
        """Seconds from the write of a recent publish to its answer; None before the first."""


Pick = Callable[[str, Sequence[Node]], Node]
"""Chooses for a topic one of the nodes that take publishes now; called by the loop, so it must be quick."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Routing:
    """Which nsqds a message goes to."""

    pick: Literal["round_robin", "sticky", "least_pending", "nearest"] | Pick = "round_robin"
    """``sticky`` stays with one node until that fails; ``least_pending`` takes the one with the fewest
    unanswered publishes; ``nearest`` one of our zone, else of our region, else any."""
    copies: int = 1
    """To how many different nsqds, in different zones where these are known, each message goes.

    Every channel then sees it so many times: consumers need ``dedup``, and the producer ``headers``.
    """
    min_acks: int | None = None
    """How many of the copies must be stored for the publish to succeed; None is all of them."""
    shortage: Literal["fail", "degrade"] = "fail"
    """With fewer nsqds than ``copies``: wait until the timeout and fail, or make fewer copies, though
    not fewer than ``min_acks`` where that is given."""

    def __post_init__(self) -> None:
        if not callable(self.pick):
            _one_of("pick", self.pick, ("round_robin", "sticky", "least_pending", "nearest"))
        within("copies", self.copies, 1)
        if self.min_acks is not None:
            within("min_acks", self.min_acks, 1, self.copies)
        _one_of("shortage", self.shortage, ("fail", "degrade"))


def _one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        words = ", ".join(map(repr, allowed))
        raise ConfigError(f"{name} is {value!r}, want one of {words}")
