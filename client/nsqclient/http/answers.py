"""What the daemons answer. Names are those of their JSON; a field with a default may be missing there."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class NsqdInfo:
    """``/info`` of nsqd."""

    version: str
    broadcast_address: str
    hostname: str
    http_port: int
    """The port it listens at; -1 for a unix socket."""
    tcp_port: int
    """As ``http_port``."""
    start_time: int
    """Unix seconds."""
    max_heartbeat_interval: int = 0
    """Nanoseconds."""
    max_output_buffer_size: int = 0
    """Bytes."""
    max_output_buffer_timeout: int = 0
    """Nanoseconds."""
    max_deflate_level: int = 0
    topology_zone: str = ""
    topology_region: str = ""
    suite_version: str = ""
    """The version of nsq-suite; empty for the original."""


@dataclass(frozen=True, slots=True)
class Percentile:
    """One percentile of the end-to-end latency."""

    quantile: float
    """0.99 for the 99th percentile."""
    value: float
    """Nanoseconds from publishing to finishing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Latency:
    """End-to-end latency; without percentiles unless nsqd was told to measure them."""

    count: int = 0
    """Messages measured."""
    percentiles: tuple[Percentile, ...] = ()


@dataclass(frozen=True, slots=True)
class PubCount:
    """What one connection has published to one topic."""

    topic: str
    count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ClientStats:
    """One connection: a consumer of a channel, or a producer."""

    client_id: str
    hostname: str
    version: str
    """Of the protocol: ``V2``."""
    remote_address: str
    state: int
    """0 connected, 3 subscribed, 4 closing."""
    ready_count: int = 0
    """Its RDY."""
    in_flight_count: int = 0
    message_count: int = 0
    """Messages sent to it."""
    zone_local_msg_count: int = 0
    region_local_msg_count: int = 0
    global_msg_count: int = 0
    finish_count: int = 0
    requeue_count: int = 0
    connect_ts: int = 0
    """Unix seconds."""
    sample_rate: int = 0
    """Percent; 0 is everything."""
    deflate: bool = False
    snappy: bool = False
    user_agent: str = ""
    authed: bool = False
    auth_identity: str = ""
    auth_identity_url: str = ""
    topology_zone: str = ""
    topology_region: str = ""
    pub_counts: tuple[PubCount, ...] = ()
    """The original shows one topic at most."""
    tls: bool = False
    tls_cipher_suite: str = ""
    tls_version: str = ""
    tls_negotiated_protocol: str = ""
    tls_negotiated_protocol_is_mutual: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class ChannelStats:
    """One channel of a topic."""

    channel_name: str
    depth: int
    """Messages that wait, in memory and on disk; those in flight and deferred are not among them."""
    backend_depth: int
    """Of these, on disk."""
    in_flight_count: int
    deferred_count: int
    message_count: int
    """Messages that came from the topic since nsqd was started."""
    requeue_count: int
    timeout_count: int
    zone_local_msg_count: int = 0
    region_local_msg_count: int = 0
    global_msg_count: int = 0
    client_count: int = 0
    clients: tuple[ClientStats, ...] = ()
    """Empty when they were not asked for; ``client_count`` tells their number all the same."""
    paused: bool = False
    e2e_processing_latency: Latency = Latency()


@dataclass(frozen=True, kw_only=True, slots=True)
class TopicStats:
    """One topic."""

    topic_name: str
    channels: tuple[ChannelStats, ...]
    depth: int
    """Messages that no channel has got yet."""
    backend_depth: int
    message_count: int
    """Messages published since nsqd was started."""
    message_bytes: int = 0
    paused: bool = False
    e2e_processing_latency: Latency = Latency()


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryStats:
    """The process's memory, under the names of Go's runtime."""

    heap_objects: int
    heap_idle_bytes: int
    heap_in_use_bytes: int
    heap_released_bytes: int
    gc_pause_usec_100: int
    gc_pause_usec_99: int
    gc_pause_usec_95: int
    next_gc_bytes: int
    gc_total_runs: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Stats:
    """``/stats`` of nsqd."""

    version: str
    health: str
    """``OK``, or ``NOK - `` and why."""
    start_time: int
    """Unix seconds."""
    topics: tuple[TopicStats, ...]
    """Sorted by name; empty when the topic asked for is unknown."""
    memory: MemoryStats | None = None
    """None when it was not asked for."""
    producers: tuple[ClientStats, ...] = ()
    """TCP connections that have published; empty when clients were not asked for."""

    def topic(self, name: str) -> TopicStats | None:
        """The topic of that name, or None."""
        return next((topic for topic in self.topics if topic.topic_name == name), None)


@dataclass(frozen=True, kw_only=True, slots=True)
class LookupdInfo:
    """``/info`` of nsqlookupd."""

    version: str
    suite_version: str = ""
    """The version of nsq-suite; empty for the original."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Registered:
    """One nsqd as nsqlookupd knows it."""

    remote_address: str
    """The address from which it registers."""
    hostname: str
    broadcast_address: str
    tcp_port: int
    http_port: int
    version: str
    topology_zone: str = ""
    topology_region: str = ""

    @property
    def tcp_address(self) -> str:
        """``host:port`` for clients."""
        return _join(self.broadcast_address, self.tcp_port)

    @property
    def http_address(self) -> str:
        """``host:port`` of its HTTP API."""
        return _join(self.broadcast_address, self.http_port)


@dataclass(frozen=True, kw_only=True, slots=True)
class LookupAnswer:
    """``/lookup``: who has a topic, and its channels."""

    channels: tuple[str, ...]
    producers: tuple[Registered, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Node(Registered):
    """One nsqd of ``/nodes``, with the topics it carries."""

    topics: tuple[str, ...] = ()
    tombstones: tuple[bool, ...] = ()
    """Of the topic at the same place in ``topics``: whether it is hidden from consumers."""

    @property
    def tombstoned(self) -> frozenset[str]:
        """The topics that are hidden from consumers."""
        return frozenset(t for t, hidden in zip(self.topics, self.tombstones, strict=False) if hidden)


@dataclass(frozen=True, kw_only=True, slots=True)
class Registration:
    """One entry of nsqlookupd's ``/debug``."""

    id: str
    """The connection: its remote address."""
    hostname: str
    broadcast_address: str
    tcp_port: int
    http_port: int
    version: str
    last_update: int
    """Unix nanoseconds of its last PING."""
    tombstoned: bool
    tombstoned_at: int
    """Unix nanoseconds; a negative number when it never was."""
    topology_zone: str = ""
    topology_region: str = ""


def _join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
