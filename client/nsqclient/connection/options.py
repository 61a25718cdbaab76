"""What a connection asks of its nsqd."""

from __future__ import annotations

import math
import socket
from dataclasses import dataclass, field

from nsqclient.checks import check_kind
from nsqclient.connection.compression import Compression, parse_compression
from nsqclient.credentials import Secret, check_secret
from nsqclient.discovery.dialing import parse_local_addr
from nsqclient.durations import Seconds, to_ms, to_seconds, within
from nsqclient.errors import ConfigError
from nsqclient.limits import Limits
from nsqclient.tls import Tls
from nsqcore.version import suite_version


@dataclass(frozen=True, kw_only=True, slots=True)
class Topology:
    """Where a program runs: nsqds with the topology experiment prefer consumers of their own zone and region."""

    region: str = ""
    """As the nsqds are told theirs (``--topology-region``); empty: not said."""
    zone: str = ""
    """Likewise (``--topology-zone``)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ConnectionOptions:
    """What every connection asks of its nsqd, and how long it waits for it."""

    tls: Tls | None = None
    """Whether and how the connection is encrypted; None is in the clear."""
    compress: str | None = None
    """``snappy``, or ``deflate`` with a level from 1 (fast) to 9 (small): ``deflate:6``. A nsqd that refuses
    it is not used, unless ``prefer:`` stands before it."""
    auth: Secret | None = field(default=None, repr=False)
    """The secret for a nsqd that wants one; or a function that returns it, called for each connection."""
    topology: Topology | None = None
    """Where this client runs, for nsqds that prefer consumers nearby."""
    heartbeat: Seconds | None = 30.0
    """How often nsqd asks whether we are there: 1 to 60 seconds, and at most ``read_timeout``. None (or -1)
    is never: only for producers, as nsqd sends no messages to whom it can't ask."""
    msg_timeout: Seconds | None = None
    """How long a message may stay unanswered, 1 second to 15 minutes; None takes nsqd's default."""
    output_buffer_size: int = 16384
    """Bytes that nsqd gathers before it sends messages: 64 to 65536, -1 to send each at once, or 0 for nsqd's
    default."""
    output_buffer_timeout: Seconds = 0.25
    """How long nsqd lets messages wait in that buffer: 25 ms to 30 seconds, -1 for no limit by time, or 0 for
    nsqd's default."""
    sample_rate: int = 0
    """Receive about this percentage, 1 to 99; the rest is lost to the channel. 0 receives everything."""
    client_id: str | None = None
    """How this client appears in nsqd's statistics; None is the host name up to its first dot."""
    hostname: str | None = None
    """None is the name of this machine."""
    user_agent: str | None = None
    """None is ``nsqclient/<version>``."""
    local_addr: str | None = None
    """The address that TCP connections come from: ``host`` or ``host:port``; None leaves it to the system."""
    dial_timeout: Seconds = 1.0
    """For the TCP connection."""
    handshake_timeout: Seconds = 10.0
    """For each answer while a connection is being set up; a SUB may have to wait for nsqlookupd."""
    read_timeout: Seconds | None = None
    """A connection on which nothing arrives for so long, not even heartbeats, is given up; None is twice
    ``heartbeat``."""
    write_timeout: Seconds = 10.0
    """A connection on which nsqd takes no byte for so long, while some wait to be sent, is given up."""
    limits: Limits = field(default_factory=Limits)
    """What the nsqds accept, so that too much is refused here."""

    def __post_init__(self) -> None:
        check_kind("tls", self.tls, Tls)
        check_kind("topology", self.topology, Topology)
        check_kind("limits", self.limits, Limits)
        if self.local_addr is not None:
            try:
                parse_local_addr(self.local_addr)
            except ValueError as e:
                raise ConfigError(f"local_addr: {e}") from None
        if self.read_timeout is not None:
            within("read_timeout", self.read_timeout, 0.1)
        if self.heartbeat is not None and self.heartbeat != -1:
            within("heartbeat", self.heartbeat, 1, 60)
        if self.read_timeout is not None and self.heartbeat_interval > to_seconds(self.read_timeout):
            raise ConfigError("heartbeat is longer than read_timeout: an idle connection would be given up")
        within("write_timeout", self.write_timeout, 0.1)
        if self.compress is not None:
            parse_compression(self.compress)
        if self.auth is not None:
            check_secret("auth", self.auth)
        if self.msg_timeout is not None:
            within("msg_timeout", self.msg_timeout, 1, 900)
        if self.output_buffer_size not in (-1, 0):
            within("output_buffer_size", self.output_buffer_size, 64, 65536)
        if self.output_buffer_timeout not in (-1, 0):
            within("output_buffer_timeout", self.output_buffer_timeout, 0.025, 30)
        within("sample_rate", self.sample_rate, 0, 99)
        within("dial_timeout", self.dial_timeout, 0.001)
        within("handshake_timeout", self.handshake_timeout, 0.001)

    @property
    def heartbeat_interval(self) -> float:
        """Seconds; ``inf`` without heartbeats."""
        return math.inf if self.heartbeat is None or self.heartbeat == -1 else to_seconds(self.heartbeat)

    @property
    def longest_silence(self) -> float:
        """Seconds; ``inf`` without heartbeats."""
        return 2 * self.heartbeat_interval if self.read_timeout is None else to_seconds(self.read_timeout)

    @property
    def compression(self) -> Compression | None:
        """What ``compress`` says."""
        return None if self.compress is None else parse_compression(self.compress)

    def check_for_consumer(self) -> None:
        """Raises ConfigError for what nsqd lets producers do only."""
        if self.heartbeat_interval == math.inf:
            raise ConfigError("a consumer needs heartbeats: nsqd refuses SUB without")

    def identify(self) -> dict[str, object]:
        """The body of IDENTIFY; times are milliseconds, 0 stands for nsqd's default."""
        hostname = socket.gethostname() if self.hostname is None else self.hostname
        client_id = hostname.partition(".")[0] if self.client_id is None else self.client_id
        body: dict[str, object] = {
            "client_id": client_id,
            "hostname": hostname,
            "user_agent": f"nsqclient/{suite_version()}" if self.user_agent is None else self.user_agent,
            "feature_negotiation": True,
            "heartbeat_interval": -1
            if self.heartbeat is None or self.heartbeat == -1
            else to_ms(self.heartbeat),
            "output_buffer_size": self.output_buffer_size,
            "output_buffer_timeout": -1
            if self.output_buffer_timeout == -1
            else to_ms(self.output_buffer_timeout),
            "sample_rate": self.sample_rate,
            "msg_timeout": 0 if self.msg_timeout is None else to_ms(self.msg_timeout),
        }
        if self.tls is not None:
            body["tls_v1"] = True
        compression = self.compression
        if compression is not None:
            body[compression.kind] = True
            if compression.kind == "deflate":
                body["deflate_level"] = compression.level
        if self.topology is not None:
            body["topology_region"] = self.topology.region
            body["topology_zone"] = self.topology.zone
        return body
