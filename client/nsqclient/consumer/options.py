"""Settings of a consumer; what becomes of messages that fail is in :mod:`nsqclient.consumer.failures`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from nsqclient.durations import Seconds, within
from nsqclient.errors import ConfigError

BackoffCause = Literal["exception", "requeue", "lease_lost"] | Callable[[BaseException], bool]
"""What counts as a failure; a function is asked about exceptions."""


class Strategy(Protocol):
    """How long a back-off level lasts."""

    def calculate(self, level: int) -> Seconds:
        """The pause of ``level``, from 1 on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Backoff:
    """How a consumer slows down while handlers fail.

    Each failure raises a level by one and each success lowers it. At level n everything stops for
    ``multiplier`` x 2^n seconds, then one message is tried. A level whose pause exceeds
    ``max_duration`` is not entered; level 1 always is, with its pause cut. 0 switches back-off off.
    """

    multiplier: Seconds = 1.0
    """Half of the first pause; seconds."""
    max_duration: Seconds = 120.0
    """The longest pause; seconds."""
    strategy: Literal["exponential", "full_jitter"] | Strategy = "exponential"
    """``full_jitter`` draws each pause from between 0 and the exponential one. An object with a
    ``calculate`` says by itself how long each level lasts."""
    scope: Literal["consumer", "node"] = "consumer"
    """Whether a failure stops everything, or the nsqd alone that sent the message."""

    def __post_init__(self) -> None:
        within("multiplier", self.multiplier, 0, 3600)
        within("max_duration", self.max_duration, 0, 3600)
        if isinstance(self.strategy, str):
            _one_of("strategy", self.strategy, "exponential", "full_jitter")
        elif not callable(getattr(self.strategy, "calculate", None)):
            raise ConfigError(f"strategy {self.strategy!r} has no method calculate(level)")
        _one_of("scope", self.scope, "consumer", "node")


@dataclass(frozen=True, kw_only=True, slots=True)
class FlowControl:
    """How many messages come from where, and when none do."""

    spread: Literal["fair", "eager"] = "fair"
    """``fair``: the cap is shared among the nsqds, and kept. ``eager``: any nsqd may fill it alone, and all
    are stopped once it is full; up to one message per nsqd but one may then exceed it."""
    backoff: Backoff | Literal["consumer", "node"] | None = field(default_factory=Backoff)
    """The name of a scope means the defaults with that scope; None never slows down."""
    backoff_on: tuple[BackoffCause, ...] = ("exception", "requeue")
    """What counts as a failure: exceptions of handlers, requeues by hand, answers that nsqd refused as they
    came too late. A function among them is asked about exceptions instead of counting them all."""
    rate: float | None = None
    """Messages handed out per second at most; None: as fast as they come."""
    low_rdy_idle: Seconds = 0.05
    """How long a nsqd that sends nothing keeps its turn while there are more nsqds than the cap."""

    def __post_init__(self) -> None:
        _one_of("spread", self.spread, "fair", "eager")
        if isinstance(self.backoff, str):
            _one_of("backoff", self.backoff, "consumer", "node")
        for cause in self.backoff_on:
            if not callable(cause):
                _one_of("backoff_on", cause, "exception", "requeue", "lease_lost")
        check_rate(self.rate)
        within("low_rdy_idle", self.low_rdy_idle, 0.001, 300)

    @property
    def rules(self) -> Backoff | None:
        """The back-off, with the name of a scope spelled out."""
        return Backoff(scope=self.backoff) if isinstance(self.backoff, str) else self.backoff


@dataclass(frozen=True, kw_only=True, slots=True)
class Leases:
    """How long a message may be worked on.

    nsqd takes a message back that is neither answered nor touched for its message timeout
    (``ConnectionOptions.msg_timeout``), and whatever is done after its maximum (``--max-msg-timeout``).
    """

    auto_touch: bool = False
    """Touches every message that is held before its time runs out."""
    limit: Seconds | None = None
    """How long after its delivery a message is no longer touched automatically, so that a handler that
    hangs does not keep it; None: nsqd's own maximum."""
    margin: Seconds = 0.2
    """Seconds by which a lease is taken to be shorter: how long messages and answers may travel. At most half of
    the lease is taken off."""

    def __post_init__(self) -> None:
        within("margin", self.margin, 0)
        if self.limit is not None:
            within("limit", self.limit, 0)


def check_rate(rate: float | None) -> None:
    """Raises ConfigError unless it is a number of messages per second, or None."""
    if rate is not None:
        within("rate", rate, 0.001, 1e9)


def _one_of(name: str, value: object, *wanted: str) -> None:
    if value not in wanted:
        raise ConfigError(f"{name} is {value!r}, want {' or '.join(map(repr, wanted))}")
