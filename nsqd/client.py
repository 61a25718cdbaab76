"""One client as the broker sees it: what was agreed, what it holds, what it did. No sockets in here."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING

from nsqcore.layers.codec import Agreed
from nsqd.auth.permissions import Permissions
from nsqd.in_flight import InFlight

if TYPE_CHECKING:
    from asyncio import TimerHandle


class State(IntEnum):
    """Protocol states, by the numbers that ``/stats`` shows (nsqd reference, 2.4)."""

    INIT = 0
    SUBSCRIBED = 3
    CLOSING = 4


@dataclass(slots=True)
class Settings:
    """What IDENTIFY agreed; times in milliseconds, as on the wire."""

    client_id: str
    hostname: str
    user_agent: str = ""
    heartbeat_interval: int = 30000
    """0: no heartbeats."""
    output_buffer_size: int = 16384
    output_buffer_timeout: int = 250
    sample_rate: int = 0
    msg_timeout: int = 60000
    topology_region: str = ""
    topology_zone: str = ""


@dataclass(slots=True, frozen=True)
class Upgrade:
    """Layers between a connection and its protocol: those that an IDENTIFY grants, or all that there are."""

    tls: bool = False
    snappy: bool = False
    deflate_level: int = 0
    """1 to 9; 0 for no deflate."""

    @property
    def deflate(self) -> bool:
        """Whether there is deflate."""
        return self.deflate_level > 0

    def __bool__(self) -> bool:
        return self.tls or self.snappy or self.deflate

    def __or__(self, more: Upgrade) -> Upgrade:
        """These layers and ``more``."""
        return Upgrade(
            self.tls or more.tls, self.snappy or more.snappy, self.deflate_level or more.deflate_level
        )


@dataclass(slots=True, eq=False)
class Client:
    """A connection's part in the broker; the connection fills it, the channel reads it."""

    settings: Settings
    write: Callable[[bytes], object]
    """Sends frames to the client."""
    write_all: Callable[[list[bytes]], object]
    """Sends several, which are not joined."""
    close: Callable[[], None]
    """Ends its connection at once."""
    remote_address: str
    in_flight: InFlight
    state: State = State.INIT
    ready: int = 0
    """RDY: how many messages it may hold; 0 once it is closing."""
    blocked: bool = False
    """It reads too slowly: nothing more is written until it caught up."""
    upgrade: Upgrade = Upgrade()
    """What its bytes go through."""
    permissions: Permissions | None = None
    """What its auth server allows, once it sent AUTH."""
    tls: Agreed | None = None
    """What its TLS handshake came to; None without TLS."""
    message_count: int = 0
    finish_count: int = 0
    requeue_count: int = 0
    timer: TimerHandle | None = None
    """Runs while messages are out: the next look for time-outs."""
    published: dict[str, int] = field(default_factory=dict)
    """Messages published, by topic."""
    connect_ts: int = field(default_factory=lambda: int(time.time()))
    """Unix seconds."""
