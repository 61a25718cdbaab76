"""One subscription as it was registered: where from, who handles, and with which settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nsqclient.app.handler import Handler
from nsqclient.app.options import BatchOf, Policies
from nsqclient.app.signature import Signature, describe
from nsqclient.connection.options import ConnectionOptions
from nsqclient.consumer.consumer import AroundHandle
from nsqclient.consumer.dedup import Dedup
from nsqclient.content.codecs import Codec
from nsqclient.durations import Seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """A handler and its subscription. What is None is the app's to say."""

    topic: str
    channel: str
    handler: Handler[..., Any]
    signature: Signature
    concurrency: int
    max_in_flight: int | None
    timeout: Seconds | None
    batch: BatchOf | None
    policies: Policies
    dedup: Dedup | None
    codec: Codec | None
    options: ConnectionOptions | None
    create: bool
    around: tuple[AroundHandle, ...]

    @property
    def name(self) -> str:
        """For people: ``topic/channel``."""
        return f"{self.topic}/{self.channel}"

    def __str__(self) -> str:
        return f"{self.name} -> {describe(self.handler.__wrapped__)}"
