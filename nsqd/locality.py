"""How near a consumer is to this node: the experiment ``topology-aware-consumption`` (nsqd reference, 3.12)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from nsqd.client import Settings

EXPERIMENT = "topology-aware-consumption"


class Distance(IntEnum):
    """Nearer ones are less."""

    ZONE = 0
    REGION = 1
    GLOBAL = 2


@dataclass(frozen=True)
class Locality:
    """Where this node is, as its operator names it; empty names are no preference."""

    region: str
    zone: str

    def distance(self, settings: Settings) -> Distance:
        """What a message for this client is counted as: names that are equal count even when both are empty."""
        if settings.topology_zone == self.zone:
            return Distance.ZONE
        return Distance.REGION if settings.topology_region == self.region else Distance.GLOBAL

    def rank(self, settings: Settings) -> Distance:
        """In which turn this client is served; only by names that the node has."""
        if self.zone and settings.topology_zone == self.zone:
            return Distance.ZONE
        return Distance.REGION if self.region and settings.topology_region == self.region else Distance.GLOBAL
