"""What nsqadmin knows of a cluster: nodes, topics, channels, clients, as one node or several tell it.

The same classes hold one node's figures and the totals of many: in a total, ``node`` is :data:`ALL_NODES`
and ``nodes`` holds the parts it was made of. Counts are messages unless said otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

ALL_NODES = "*"


@dataclass(frozen=True, slots=True)
class Percentile:
    """One latency percentile, in nanoseconds; the three are equal where a single node speaks."""

    quantile: float
    average: float
    """Over nodes: the mean of their percentiles, weighted by count. Not a percentile of the whole."""
    lowest: float
    highest: float


@dataclass(frozen=True, slots=True)
class Latency:
    """How long messages took from publish to finish; no percentiles where nsqd keeps none."""

    count: int = 0
    percentiles: Sequence[Percentile] = ()


@dataclass(frozen=True, slots=True)
class Deliveries:
    """Messages delivered, by how near the consumer was; only nodes that know their zone count them."""

    zone_local: int = 0
    region_local: int = 0
    elsewhere: int = 0

    @property
    def total(self) -> int:
        """All that were counted."""
        return self.zone_local + self.region_local + self.elsewhere


# A cluster has a hundred thousand queues, and most measure no latency and know no zones: one object for all.
NO_LATENCY = Latency()
NO_DELIVERIES = Deliveries()


@dataclass(slots=True)
class Client:
    """A consumer's connection to one node, as that node describes it."""

    node: str
    client_id: str
    hostname: str
    remote_address: str
    version: str
    user_agent: str
    connect_ts: int
    """Unix seconds."""
    in_flight_count: int
    ready_count: int
    finish_count: int
    requeue_count: int
    message_count: int
    sample_rate: int
    """Percent of the messages it wants; 0 means all."""
    deflate: bool
    snappy: bool
    authed: bool
    auth_identity: str
    auth_identity_url: str
    topology_zone: str
    topology_region: str
    node_topology_zone: str
    node_topology_region: str
    tls: bool
    tls_cipher_suite: str
    tls_version: str
    tls_negotiated_protocol: str
    tls_negotiated_protocol_is_mutual: bool

    @property
    def nearness(self) -> int:
        """0 when it shares region and zone with its node, 1 for the region alone, 2 otherwise."""
        if not self.topology_region or self.topology_region != self.node_topology_region:
            return 2
        return 0 if self.topology_zone and self.topology_zone == self.node_topology_zone else 1


@dataclass(slots=True)
class Queue:
    """What a topic and a channel have in common."""

    node: str
    hostname: str
    topic_name: str
    depth: int = 0
    """Messages waiting, in memory and on disk."""
    backend_depth: int = 0
    """Those of them on disk."""
    message_count: int = 0
    """All that came in since the node started."""
    paused: bool = False
    """In a total: on at least one node."""
    latency: Latency = NO_LATENCY
    deliveries: Deliveries = NO_DELIVERIES

    @property
    def memory_depth(self) -> int:
        """Messages waiting in memory."""
        return self.depth - self.backend_depth


@dataclass(slots=True)
class Channel(Queue):
    """A channel on one node, or its total."""

    channel_name: str = ""
    in_flight_count: int = 0
    deferred_count: int = 0
    requeue_count: int = 0
    timeout_count: int = 0
    client_count: int = 0
    clients: Sequence[Client] = ()
    nodes: Sequence[Channel] = ()


@dataclass(slots=True)
class Topic(Queue):
    """A topic on one node, or its total."""

    channels: Sequence[Channel] = ()
    nodes: Sequence[Topic] = ()

    @property
    def channel_depth(self) -> int:
        """Messages waiting in its channels; one that waits in two channels counts twice."""
        return sum(channel.depth for channel in self.channels)

    @property
    def channel_backend_depth(self) -> int:
        """Those of :attr:`channel_depth` on disk."""
        return sum(channel.backend_depth for channel in self.channels)

    @property
    def in_flight_count(self) -> int:
        """Messages that consumers hold."""
        return sum(channel.in_flight_count for channel in self.channels)

    @property
    def deferred_count(self) -> int:
        """Messages that wait for their time."""
        return sum(channel.deferred_count for channel in self.channels)

    @property
    def client_count(self) -> int:
        """Consumer connections to its channels."""
        return sum(channel.client_count for channel in self.channels)


@dataclass(slots=True)
class NodeStats:
    """One node's answer about itself and what it holds."""

    version: str
    health: str
    """``OK``, or what is wrong."""
    start_time: int
    """Unix seconds."""
    heap_bytes: int
    """Memory in use; 0 when it did not say."""
    topics: list[Topic]


@dataclass(slots=True)
class NodeTopic:
    """That a node produces a topic; ``tombstoned`` hides it from consumers."""

    name: str
    tombstoned: bool = False


@dataclass(slots=True)
class Node:
    """A nsqd, as the nsqlookupds or itself describe it."""

    broadcast_address: str
    hostname: str
    tcp_port: int
    http_port: int
    version: str
    topology_zone: str = ""
    topology_region: str = ""
    remote_address: str = ""
    remote_addresses: list[str] = field(default_factory=list)
    """``NSQLOOKUPD/REMOTE`` for each nsqlookupd that it is connected to."""
    topics: list[NodeTopic] = field(default_factory=list)
    out_of_date: bool = False
    asked_at: str = ""
    """Where nsqadmin was told to ask it, if it was told; else it is asked where it says that it is."""

    @property
    def name(self) -> str:
        """``broadcast_address:http_port``, by which people and the API call it."""
        return f"{self.broadcast_address}:{self.http_port}"

    @property
    def http_address(self) -> str:
        """Where its HTTP API is asked."""
        if self.asked_at:
            return self.asked_at
        host = self.broadcast_address
        return f"[{host}]:{self.http_port}" if ":" in host else self.name


@dataclass(slots=True)
class Problem:
    """A daemon that did not answer, or not as its API promises."""

    daemon: str
    """``nsqd`` or ``nsqlookupd``."""
    address: str
    reason: str
    absent: str = ""
    """``TOPIC_NOT_FOUND`` or ``CHANNEL_NOT_FOUND`` if that is all it said; seldom a problem."""

    def __str__(self) -> str:
        return f"{self.daemon} {self.address}: {self.reason}"
