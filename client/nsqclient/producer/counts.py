"""How many publishes ended in which way."""

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
