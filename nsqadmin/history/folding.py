"""Many nodes' readings to the totals of a snapshot, and the counters that rates come from. Pure.

A rate is a difference of two readings of the same node, divided by the time between them, added up over nodes.
Where a counter has shrunk, and on a node that has started anew, it tells nothing: rates are never negative.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from nsqadmin.cluster.merge import merge_latency
from nsqadmin.cluster.model import NO_LATENCY, Latency, Node
from nsqadmin.history.reading import NodeReading, latency_of
from nsqadmin.history.snapshot import ChannelNow, Figures, NodeNow, Rates, TopicNow

_COUNTERS = 4
"""Per queue: messages in, messages out, requeued, timed out."""


@dataclass(frozen=True, slots=True)
class Counters:
    """What one node had counted when it was read; small, for there is one for each node."""

    at: float
    """Monotonic seconds."""
    start_time: int
    names: tuple[str, ...]
    """Of each topic its name, then those of its channels after a slash: no topic's name has one."""
    values: array[int]
    """Four for each name, in their order."""

    def by_name(self) -> dict[str, tuple[int, ...]]:
        """The counters of each queue."""
        values = self.values
        return {name: tuple(values[i * _COUNTERS : (i + 1) * _COUNTERS]) for i, name in enumerate(self.names)}


class _Sum:
    """A total in the making."""

    __slots__ = ("finished", "known", "latencies", "now", "published", "requeued", "timed_out")

    def __init__(self, now: Figures) -> None:
        self.now = now
        self.known = False
        self.published = self.finished = self.requeued = self.timed_out = 0.0
        self.latencies: list[Latency] | None = None

    def add_latency(self, latency: Latency) -> None:
        if self.latencies is None:
            self.latencies = []
        self.latencies.append(latency)

    def finish(self) -> None:
        """Gives the figures their rates and their latency."""
        if self.known:
            self.now.rates = Rates(self.published, self.finished, self.requeued, self.timed_out)
        if self.latencies is not None:
            self.now.latency = merge_latency(self.latencies)


class Folding:
    """The totals of one sample: :meth:`add` each node's reading, then take :meth:`topics` and :meth:`total`."""

    def __init__(self) -> None:
        self._topics: dict[str, _Sum] = {}
        self._channels: dict[str, dict[str, _Sum]] = {}
        self._total = _Sum(Figures())

    def add(
        self, node: Node, reading: NodeReading, before: Counters | None, at: float
    ) -> tuple[NodeNow, Counters]:
        """Adds a node's figures; returns its own, and its counters for the next sample.

        ``at`` is when it was read, in monotonic seconds; ``before`` what it had counted the time before.
        """
        names, values = _flatten(reading)
        if before is not None and names == before.names:
            names = before.names  # of a hundred thousand queues one list, not two
        changes = _changes(names, values, before, reading.start_time, at)
        now = NodeNow(
            node=node,
            version=reading.version,
            health=reading.health,
            start_time=reading.start_time,
            heap_bytes=reading.memory.heap_in_use_bytes if reading.memory else 0,
        )
        own = _Sum(now)
        by_topic: dict[str, float | None] = dict.fromkeys(topic.topic_name for topic in reading.topics or ())
        now.published = by_topic
        i = 0
        for topic in reading.topics or ():
            total = self._topics.get(topic.topic_name)
            if total is None:
                total = self._topics[topic.topic_name] = _Sum(TopicNow(topic_name=topic.topic_name))
                self._channels[topic.topic_name] = {}
            whole = total.now
            assert isinstance(whole, TopicNow)
            whole.nodes += 1
            whole.paused_nodes += topic.paused
            whole.depth += topic.depth
            whole.backend_depth += topic.backend_depth
            whole.message_count += topic.message_count
            now.topic_count += 1
            now.depth += topic.depth
            now.backend_depth += topic.backend_depth
            now.message_count += topic.message_count
            if topic.e2e_processing_latency is not None:
                latency = latency_of(topic.e2e_processing_latency)
                if latency is not NO_LATENCY:
                    total.add_latency(latency)
                    own.add_latency(latency)
            if changes is not None:
                total.known = True
                published = by_topic[topic.topic_name] = changes[i]
                total.published += published
                own.published += published
            i += _COUNTERS
            channels = self._channels[topic.topic_name]
            for channel in topic.channels or ():
                part = channels.get(channel.channel_name)
                if part is None:
                    part = channels[channel.channel_name] = _Sum(
                        ChannelNow(topic_name=topic.topic_name, channel_name=channel.channel_name)
                    )
                sub = part.now
                assert isinstance(sub, ChannelNow)
                sub.nodes += 1
                sub.paused_nodes += channel.paused
                sub.depth += channel.depth
                sub.backend_depth += channel.backend_depth
                sub.in_flight_count += channel.in_flight_count
                sub.deferred_count += channel.deferred_count
                sub.requeue_count += channel.requeue_count
                sub.timeout_count += channel.timeout_count
                sub.message_count += channel.message_count
                sub.client_count += channel.client_count
                now.channel_count += 1
                now.channel_depth += channel.depth
                now.channel_backend_depth += channel.backend_depth
                now.in_flight_count += channel.in_flight_count
                now.deferred_count += channel.deferred_count
                now.requeue_count += channel.requeue_count
                now.timeout_count += channel.timeout_count
                now.client_count += channel.client_count
                if channel.e2e_processing_latency is not None:
                    latency = latency_of(channel.e2e_processing_latency)
                    if latency is not NO_LATENCY:
                        part.add_latency(latency)
                if changes is not None:
                    part.known = True
                    part.published += changes[i]
                    finished, requeued, timed_out = changes[i + 1], changes[i + 2], changes[i + 3]
                    if finished:
                        part.finished += finished
                        total.finished += finished
                        own.finished += finished
                    if requeued:
                        part.requeued += requeued
                        total.requeued += requeued
                        own.requeued += requeued
                    if timed_out:
                        part.timed_out += timed_out
                        total.timed_out += timed_out
                        own.timed_out += timed_out
                i += _COUNTERS
        own.known = changes is not None
        own.finish()
        self._add_to_total(own, now)
        return now, Counters(at, reading.start_time, names, values)

    def _add_to_total(self, own: _Sum, now: NodeNow) -> None:
        total, whole = self._total, self._total.now
        whole.depth += now.depth + now.channel_depth
        whole.backend_depth += now.backend_depth + now.channel_backend_depth
        whole.in_flight_count += now.in_flight_count
        whole.deferred_count += now.deferred_count
        whole.requeue_count += now.requeue_count
        whole.timeout_count += now.timeout_count
        whole.message_count += now.message_count
        whole.client_count += now.client_count
        if own.known:
            total.known = True
            total.published += own.published
            total.finished += own.finished
            total.requeued += own.requeued
            total.timed_out += own.timed_out
        if own.latencies is not None:
            total.add_latency(now.latency)

    def total(self) -> Figures:
        """The cluster; ``depth`` is all that waits, in topics and channels."""
        self._total.finish()
        return self._total.now

    def topics(self, registered: Iterable[str]) -> dict[str, TopicNow]:
        """All topics by name, sorted; those in ``registered`` that no node holds are there with nothing in them."""
        found: dict[str, TopicNow] = {}
        for name in sorted({*self._topics, *registered}):
            total = self._topics.get(name)
            if total is None:
                found[name] = TopicNow(topic_name=name)
                continue
            total.finish()
            topic = total.now
            assert isinstance(topic, TopicNow)
            topic.channels = [self._channel(topic, part) for _, part in sorted(self._channels[name].items())]
            found[name] = topic
        return found

    def _channel(self, topic: TopicNow, part: _Sum) -> ChannelNow:
        part.finish()
        channel = part.now
        assert isinstance(channel, ChannelNow)
        topic.channel_depth += channel.depth
        topic.channel_backend_depth += channel.backend_depth
        topic.in_flight_count += channel.in_flight_count
        topic.deferred_count += channel.deferred_count
        topic.requeue_count += channel.requeue_count
        topic.timeout_count += channel.timeout_count
        topic.client_count += channel.client_count
        return channel


def _flatten(reading: NodeReading) -> tuple[tuple[str, ...], array[int]]:
    """The name of every queue of the node, and its four counters."""
    names: list[str] = []
    values: list[int] = []
    name: Callable[[str], None] = names.append
    more = values.extend
    for topic in reading.topics or ():
        topic_name = topic.topic_name
        name(topic_name)
        more((topic.message_count, 0, 0, 0))
        for channel in topic.channels or ():
            name(f"{topic_name}/{channel.channel_name}")
            count = channel.message_count
            gone = count - channel.depth - channel.in_flight_count - channel.deferred_count
            more((count, gone, channel.requeue_count, channel.timeout_count))
    return tuple(names), array("q", values)


def _changes(
    names: tuple[str, ...], values: array[int], before: Counters | None, start_time: int, at: float
) -> list[float] | None:
    """Per second, four for each name; None when nothing can be said yet."""
    if before is None or before.start_time != start_time or at <= before.at:
        return None
    scale = 1.0 / (at - before.at)
    if names == before.names:
        return [
            (new - old) * scale if new > old else 0.0 for new, old in zip(values, before.values, strict=True)
        ]
    known = before.by_name()
    changes: list[float] = []
    nothing = (0,) * _COUNTERS
    for i, name in enumerate(names):
        earlier = known.get(name, nothing)
        mine = values[i * _COUNTERS : (i + 1) * _COUNTERS]
        changes += [(new - old) * scale if new > old else 0.0 for new, old in zip(mine, earlier, strict=True)]
    return changes
