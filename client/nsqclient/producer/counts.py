"""How many publishes ended in which way, and how users are told."""

from __future__ import annotations

from dataclasses import dataclass

from nsqclient.errors import Outcome


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
