"""One subscription as it was registered: where from, who handles, and with which settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nsqclient.app.handler import Handler
from nsqclient.app.signature import Signature, describe


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """A handler and its subscription."""

    topic: str
    channel: str
    handler: Handler[..., Any]
    signature: Signature
    concurrency: int
    max_in_flight: int
    settings: Mapping[str, Any]
    """The consumer's other arguments."""

    @property
    def name(self) -> str:
        """For people: ``topic/channel``."""
        return f"{self.topic}/{self.channel}"

    def __str__(self) -> str:
        return f"{self.name} -> {describe(self.handler.__wrapped__)}"
