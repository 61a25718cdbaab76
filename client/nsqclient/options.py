"""Settings with their defaults and checks. Durations are seconds, as numbers or ``timedelta``."""

from __future__ import annotations

import math
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from nsqclient.errors import ConfigError
from nsqcore.version import suite_version

Seconds = float | timedelta
"""A length of time: seconds, or a ``timedelta``."""

Chance = Callable[[], float]
"""Draws a random number in [0, 1)."""


def to_seconds(value: Seconds) -> float:
    """The number of seconds in ``value``; raises ConfigError for what is not finite."""
    number = value.total_seconds() if isinstance(value, timedelta) else float(value)
    if not math.isfinite(number):
        raise ConfigError(f"a duration is a finite number of seconds, not {value}")
    return number


def _within(name: str, value: Seconds, low: float, high: float = math.inf) -> float:
    number = to_seconds(value)
    if not low <= number <= high:
        bounds = f"at least {low:g}" if high == math.inf else f"from {low:g} to {high:g}"
        raise ConfigError(f"{name} is {number:g}, want {bounds}")
    return number


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What the nsqds accept. nsqd does not announce these, so raise them together with its flags."""

    max_msg_size: int = 1 << 20
    """Bytes of one message (nsqd: ``--max-msg-size``)."""
    max_body_size: int = 5 << 20
    """Bytes of one MPUB with its length fields (nsqd: ``--max-body-size``)."""
    max_delay: Seconds = 3600.0
    """The longest delay of a publish or a requeue (nsqd: ``--max-req-timeout``)."""

    def __post_init__(self) -> None:
        _within("max_msg_size", self.max_msg_size, 1)
        _within("max_body_size", self.max_body_size, 9)
        _within("max_delay", self.max_delay, 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class ConnectionOptions:
    """What every connection asks of its nsqd, and how long it waits for it."""

    heartbeat: Seconds = 30.0
    """How often nsqd asks whether we are there: 1 to 60 seconds, and at most ``read_timeout``."""
    msg_timeout: Seconds | None = None
    """How long a message may stay unanswered, 1 second to 15 minutes; None takes nsqd's default."""
    output_buffer_size: int = 16384
    """Bytes that nsqd gathers before it sends messages: 64 to 65536, or -1 to send each at once."""
    output_buffer_timeout: Seconds = 0.25
    """How long nsqd lets messages wait in that buffer: 25 ms to 30 seconds."""
    sample_rate: int = 0
    """Receive about this percentage, 1 to 99; the rest is lost to the channel. 0 receives everything."""
    client_id: str | None = None
    """How this client appears in nsqd's statistics; None is the host name up to its first dot."""
    hostname: str | None = None
    """None is the name of this machine."""
    user_agent: str | None = None
    """None is ``nsqclient/<version>``."""
    dial_timeout: Seconds = 1.0
    """For the TCP connection."""
    handshake_timeout: Seconds = 10.0
    """For each answer while a connection is being set up; a SUB may have to wait for nsqlookupd."""
    read_timeout: Seconds = 60.0
    """A connection on which nothing arrives for so long, not even heartbeats, is given up."""
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        _within("read_timeout", self.read_timeout, 0.1)
        heartbeat = _within("heartbeat", self.heartbeat, 1, 60)
        if heartbeat > to_seconds(self.read_timeout):
            raise ConfigError("heartbeat is longer than read_timeout: an idle connection would be given up")
        if self.msg_timeout is not None:
            _within("msg_timeout", self.msg_timeout, 1, 900)
        if self.output_buffer_size != -1:
            _within("output_buffer_size", self.output_buffer_size, 64, 65536)
        _within("output_buffer_timeout", self.output_buffer_timeout, 0.025, 30)
        _within("sample_rate", self.sample_rate, 0, 99)
        _within("dial_timeout", self.dial_timeout, 0.001)
        _within("handshake_timeout", self.handshake_timeout, 0.001)

    def identify(self) -> dict[str, object]:
        """The body of IDENTIFY; times are milliseconds, 0 stands for nsqd's default."""
        hostname = socket.gethostname() if self.hostname is None else self.hostname
        client_id = hostname.partition(".")[0] if self.client_id is None else self.client_id
        return {
            "client_id": client_id,
            "hostname": hostname,
            "user_agent": f"nsqclient/{suite_version()}" if self.user_agent is None else self.user_agent,
            "feature_negotiation": True,
            "heartbeat_interval": to_ms(self.heartbeat),
            "output_buffer_size": self.output_buffer_size,
            "output_buffer_timeout": to_ms(self.output_buffer_timeout),
            "sample_rate": self.sample_rate,
            "msg_timeout": 0 if self.msg_timeout is None else to_ms(self.msg_timeout),
        }


def to_ms(value: Seconds) -> int:
    """Whole milliseconds, the wire's unit, rounded to the nearest."""
    return round(to_seconds(value) * 1000)


@dataclass(frozen=True, slots=True)
class FullJitter:
    """Random pauses that grow: from 0 to ``base`` x 2^n seconds for the n-th (from 0), at most ``cap``.

    The randomness keeps clients that lost the same nsqd from coming back all at once.
    """

    base: Seconds = 0.1
    cap: Seconds = 30.0

    def __post_init__(self) -> None:
        _within("cap", self.cap, _within("base", self.base, 0.001))

    def ceiling(self, attempt: int) -> float:
        """The longest the pause can be, in seconds."""
        return min(to_seconds(self.cap), to_seconds(self.base) * 2.0 ** min(attempt, 64))

    def delay(self, attempt: int, chance: float) -> float:
        """The pause in seconds; ``chance`` is a random number in [0, 1)."""
        return chance * self.ceiling(attempt)


@dataclass(frozen=True, kw_only=True, slots=True)
class Retry:
    """How hard a producer tries; everything stays within the publish's timeout."""

    attempts: int = 4
    """How often a message that nodes refuse for reasons of their own (a full disk) is sent in all."""
    backoff: FullJitter = FullJitter(0.05, cap=2.0)
    """The pauses between the attempts to connect to one node."""
    on_unknown: Literal["raise", "retry"] = "raise"
    """Whether a publish whose answer was lost is sent again, which may store the message twice."""

    def __post_init__(self) -> None:
        _within("attempts", self.attempts, 1)
        if self.on_unknown not in ("raise", "retry"):
            raise ConfigError(f"on_unknown is {self.on_unknown!r}, want 'raise' or 'retry'")


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
        _within("multiplier", self.multiplier, 0, 3600)
        _within("max_duration", self.max_duration, 0, 3600)
        if self.strategy not in ("exponential", "full_jitter"):
            raise ConfigError(f"strategy is {self.strategy!r}, want 'exponential' or 'full_jitter'")


@dataclass(frozen=True, slots=True)
class LinearRequeue:
    """The delay of a requeue that names none: ``step`` seconds times the attempts, at most ``cap``."""

    step: Seconds = 90.0
    cap: Seconds = 900.0

    def __post_init__(self) -> None:
        _within("step", self.step, 0)
        _within("cap", self.cap, 0)

    def delay(self, attempts: int) -> float:
        """Seconds until the next delivery, after ``attempts`` deliveries."""
        return min(to_seconds(self.step) * attempts, to_seconds(self.cap))
