"""How many publishes ended in which way, and what users are told of a producer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from nsqclient.errors import NsqError, Outcome


@dataclass(slots=True)
class Counts:
    """Publishes by what became of them."""

    stored: int = 0
    rejected: int = 0
    not_sent: int = 0
    unknown: int = 0
    unheard: int = 0
    """Those failed ones for which nobody waited."""

    def failed(self, outcome: Outcome) -> None:
        """One more."""
        setattr(self, outcome, getattr(self, outcome) + 1)


@dataclass(frozen=True, slots=True)
class ProducerStats:
    """Counts of publishes since the producer was made, an MPUB being one; and what is pending now."""

    stored: int
    """Publishes that a nsqd has confirmed; one of ``publish_many`` is one."""
    rejected: int
    """Publishes that a nsqd refused."""
    not_sent: int
    """Publishes that certainly no nsqd has."""
    unknown: int
    """Publishes that may be stored or not."""
    pending: int
    """Publishes that have no outcome yet."""
    pending_bytes: int
    """Bytes of these."""
    connections: int
    """Nsqds that are connected."""
    reports_dropped: int
    """Reports that nobody read in time."""


@dataclass(frozen=True, slots=True)
class ClosedSummary:
    """What became of all publishes of a producer that is closed, an MPUB being one."""

    delivered: int
    """Stored."""
    failed: int
    """Certainly not stored."""
    unknown: int
    """Stored or not."""


class NodeState(NamedTuple):
    """A nsqd of a producer, as of now."""

    address: str
    """As it was given or discovered."""
    zone: str
    """As nsqlookupd tells it; empty when unknown."""
    region: str
    """Likewise."""
    connected: bool
    """Whether publishes can be written to it now."""
    pending: int
    """Publishes written to it that have no answer yet."""
    rtt: float | None
    """Seconds from the write of a recent publish to its answer; None before the first."""
    last_error: NsqError | None
    """Why it could not be reached, or was lost, last."""
