"""How the past is asked for: which thing, which figure, how far back; and what comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol

from nsqadmin.history.snapshot import Snapshot


class Metric(Enum):
    """A figure that has a past. Counts are messages, rates messages per second, latencies nanoseconds."""

    PUBLISHED = "published"
    FINISHED = "finished"
    DEPTH = "depth"
    """All that waits: of a topic, its own queue and its channels'."""
    IN_FLIGHT = "in-flight"
    DEFERRED = "deferred"
    REQUEUED = "requeued"
    TIMED_OUT = "timed-out"
    CLIENTS = "clients"
    LATENCY_HIGH = "latency-high"
    """The highest percentile that the nodes keep, and the highest of any node."""
    LATENCY_LOW = "latency-low"
    """The lowest percentile that the nodes keep, averaged over nodes."""


class Key(NamedTuple):
    """What a series is about: ``kind`` is ``cluster``, ``topic``, ``channel`` or ``node``."""

    kind: str
    name: str = ""
    """The topic's name, or the node's ``broadcast_address:http_port``."""
    channel: str = ""


CLUSTER = Key("cluster")


@dataclass(frozen=True, slots=True)
class Series:
    """One figure over time: evenly spaced, the newest last.

    ``values[i]`` was measured at ``end - (len(values) - 1 - i) * step`` (Unix seconds, ``step`` in seconds);
    None where nothing was measured.
    """

    metric: Metric
    end: float
    step: float
    values: Sequence[float | None]


class History(Protocol):
    """What pages ask of the sampler."""

    @property
    def interval(self) -> float:
        """Seconds between samples, as they are taken now; more than was asked for where that would cost too much."""
        ...

    @property
    def newest(self) -> Snapshot | None:
        """The newest sample if there is one, without waiting."""
        ...

    async def latest(self) -> Snapshot:
        """The newest sample; waits for the first one, and for a moment for one that a change has called for.

        Waits no longer than a daemon's time-out; raises Unreachable when there is no list of nodes to be had
        and never was one.
        """
        ...

    async def next(self, after: int) -> Snapshot:
        """The first sample whose ``number`` is above ``after``; waits for it."""
        ...

    def series(self, key: Key, metric: Metric, seconds: float, points: int = 120) -> Series:
        """The last ``seconds`` in at most ``points`` values; all None where nothing is known."""
        ...
