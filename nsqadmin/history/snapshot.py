"""The whole cluster at one moment, as the sampler saw it: what pages show that are about all of it.

Totals only: who consumes a channel, and what each node holds of a topic, is asked of the nodes when a page
about it is opened. Counts are messages, rates are per second, times are Unix seconds unless said otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nsqadmin.cluster.model import NO_LATENCY, Latency, Node, Problem


@dataclass(frozen=True, slots=True)
class Rates:
    """What happened per second since the sample before; None where that is not known yet.

    A node that restarted counts from zero again: what it counted before is not taken off.
    """

    published: float | None = None
    """Messages that came in."""
    finished: float | None = None
    """Messages that left for good: finished by consumers, emptied or deleted."""
    requeued: float | None = None
    timed_out: float | None = None


NO_RATES = Rates()


@dataclass(slots=True)
class Figures:
    """What a topic, a channel, a node and the whole cluster have in common."""

    depth: int = 0
    """Messages waiting in the queue itself, in memory and on disk."""
    backend_depth: int = 0
    """Those of them on disk."""
    in_flight_count: int = 0
    """Messages that consumers hold."""
    deferred_count: int = 0
    """Messages that wait for their time."""
    requeue_count: int = 0
    timeout_count: int = 0
    message_count: int = 0
    """All that came in since the nodes started."""
    client_count: int = 0
    """Consumer connections."""
    rates: Rates = NO_RATES
    latency: Latency = NO_LATENCY

    @property
    def memory_depth(self) -> int:
        """Messages waiting in memory."""
        return self.depth - self.backend_depth


@dataclass(slots=True)
class ChannelNow(Figures):
    """A channel over all nodes."""

    topic_name: str = ""
    channel_name: str = ""
    nodes: int = 0
    """Nodes that hold it; 0 where only a nsqlookupd knows it."""
    paused_nodes: int = 0


@dataclass(slots=True)
class TopicNow(Figures):
    """A topic over all nodes.

    ``depth`` and ``backend_depth`` are the topic's own queue; in flight, deferred, requeues, time-outs and
    clients are those of its channels, added up.
    """

    topic_name: str = ""
    nodes: int = 0
    """Nodes that hold it; 0 where only a nsqlookupd knows it."""
    paused_nodes: int = 0
    channel_depth: int = 0
    """Messages waiting in its channels; one that waits in two channels counts twice."""
    channel_backend_depth: int = 0
    """Those of :attr:`channel_depth` on disk."""
    channels: Sequence[ChannelNow] = ()
    """By name."""


@dataclass(slots=True)
class NodeNow(Figures):
    """A nsqd: what the nsqlookupds say of it, what it holds, and whether it answers.

    ``depth`` and ``backend_depth`` are its topics' own queues; of its channels as in :class:`TopicNow`.
    """

    node: Node = field(kw_only=True)
    version: str = ""
    health: str = ""
    """``OK``, or what is wrong; empty when it does not answer."""
    start_time: int = 0
    heap_bytes: int = 0
    """Memory in use; 0 when it did not say."""
    topic_count: int = 0
    channel_count: int = 0
    published: Mapping[str, float | None] = field(default_factory=dict)
    """Of each topic that it holds, the messages per second into it; None while that is not known."""
    channel_depth: int = 0
    channel_backend_depth: int = 0
    problem: Problem | None = None
    """Why it gave no answer this time."""
    silent_since: float = 0.0
    """When it failed first of all the samples since the last good one; 0 while it answers."""
    gone: bool = False
    """It was there, and no nsqlookupd names it any more."""


@dataclass(slots=True)
class LookupdNow:
    """A nsqlookupd, and whether it answers."""

    address: str
    """As nsqadmin was told it."""
    node_count: int = 0
    topic_count: int = 0
    missing_nodes: Sequence[str] = ()
    """Nodes that another nsqlookupd knows and this one does not, by name."""
    missing_topics: Sequence[str] = ()
    """Topics likewise."""
    problem: Problem | None = None
    silent_since: float = 0.0


@dataclass(slots=True)
class Snapshot:
    """One sample."""

    at: float
    """When it was complete."""
    took_s: float
    """Seconds from the first question to the last answer."""
    topics: Mapping[str, TopicNow]
    """By name, sorted by it."""
    nodes: Sequence[NodeNow]
    """By host name; a node that does not answer is there, and so for a while is one that is gone."""
    lookupds: Sequence[LookupdNow]
    total: Figures
    """The cluster: ``depth`` is all that waits, in topics and channels; ``message_count`` is what came into topics."""
    problems: Sequence[Problem]
    """Who did not answer, each once."""
    number: int = 0
    """1 for the first of this process, and so on."""
