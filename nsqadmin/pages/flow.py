"""What flows through a cluster, as boxes in columns and links between them: the map without its geometry. Pure.

Bounded: of many nodes, topics and channels the busiest have boxes of their own, and one more box stands for the rest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from nsqadmin.cluster.model import Client
from nsqadmin.history.snapshot import ChannelNow, NodeNow, Snapshot, TopicNow
from nsqadmin.pages.layout import Layout, lay_out
from nsqadmin.web.charts import rate

MOST_NODES = 12
MOST_TOPICS = 12
MOST_CHANNELS = 24
MOST_GROUPS = 12
"""Client hosts of one channel."""
OTHER_NODES, OTHER_TOPICS = "nodes", "topics"
LONGEST_NAME = 26
"""Characters that fit a box."""

Queue = TypeVar("Queue", TopicNow, ChannelNow)
Consumers = Mapping[str, Sequence[Client]]
"""By channel."""


@dataclass(slots=True)
class Box:
    """A node, a topic, a channel, its consumers, or what stands for many."""

    id: str
    name: str
    text: str
    """Its figures, in a few words."""
    path: tuple[str, ...]
    """The page it links to."""
    look: str = ""
    """``bad``, ``warn``, ``quiet`` or nothing: a class of static/map.css."""
    anchor: str = ""

    @property
    def short(self) -> str:
        """Its name as far as it fits: both ends of one that is too long."""
        if len(self.name) <= LONGEST_NAME:
            return self.name
        return f"{self.name[: LONGEST_NAME - 9]}…{self.name[-8:]}"


@dataclass(slots=True)
class Flow:
    """Four columns: nodes, topics, channels, consumers."""

    nodes: list[Box] = field(default_factory=list)
    topics: list[Box] = field(default_factory=list)
    channels: list[Box] = field(default_factory=list)
    consumers: list[Box] = field(default_factory=list)
    links: list[tuple[str, str, float]] = field(default_factory=list)
    """From, to, messages per second."""
    left_out: int = 0
    """Topics without a box of their own."""

    @property
    def columns(self) -> list[list[Box]]:
        """From left to right."""
        return [self.nodes, self.topics, self.channels, self.consumers]

    def layout(self) -> Layout:
        """Where everything stands."""
        return lay_out([[box.id for box in column] for column in self.columns], self.links)

    def after(self, box: str) -> list[tuple[Box, float]]:
        """What a box leads to, and how much goes there."""
        boxes = {one.id: one for column in self.columns for one in column}
        return [(boxes[target], amount) for source, target, amount in self.links if source == box]


def flow_of(snapshot: Snapshot, only: str = "", consumers: Consumers | None = None) -> Flow:
    """The map of a cluster, or of the topic ``only``; ``consumers`` of it by channel, where they are known."""
    flow = Flow()
    known = [snapshot.topics[only]] if only else list(snapshot.topics.values())
    chosen = sorted(_busiest(known, MOST_TOPICS), key=lambda topic: topic.topic_name)
    names = {topic.topic_name for topic in chosen}
    flow.left_out = len(known) - len(chosen)
    _add_nodes(flow, snapshot.nodes, names, only)
    for topic in chosen:
        flow.topics.append(_topic_box(topic))
    if flow.left_out:
        rest = [topic for topic in known if topic.topic_name not in names]
        published = sum(topic.rates.published or 0.0 for topic in rest)
        more = f"{flow.left_out:,} more topic{'' if flow.left_out == 1 else 's'}"
        flow.topics.append(Box(OTHER_TOPICS, more, f"{rate(published)} in all", ("topics",), "quiet"))
    shown = {id(channel) for channel in _busiest([c for t in chosen for c in t.channels], MOST_CHANNELS)}
    for topic in chosen:
        _add_channels(flow, topic, shown, consumers or {})
    return flow


def _busiest(queues: Iterable[Queue], most: int) -> list[Queue]:
    """Those with most messages a second, then those in which most wait."""
    return sorted(queues, key=lambda q: (-(q.rates.published or 0.0), -q.depth, -q.message_count))[:most]


def _add_nodes(flow: Flow, nodes: Sequence[NodeNow], names: set[str], only: str) -> None:
    holding = [
        node
        for node in nodes
        if not node.gone
        and (not only or only in node.published or only in {topic.name for topic in node.node.topics})
    ]

    def amount(node: NodeNow) -> float:
        return (node.published.get(only) if only else node.rates.published) or 0.0

    busiest = sorted(holding, key=lambda node: (node.problem is None, -amount(node), node.node.name))[
        :MOST_NODES
    ]
    own = {node.node.name for node in busiest}
    rest = [node for node in holding if node.node.name not in own]
    totals: dict[tuple[str, str], float] = defaultdict(float)
    for node in holding:
        source = f"node {node.node.name}" if node.node.name in own else OTHER_NODES
        held = node.published or {t.name: None for t in node.node.topics if node.problem is not None}
        for topic, published in held.items():
            if only and topic != only:
                continue
            target = f"topic {topic}" if topic in names else OTHER_TOPICS
            totals[source, target] += published or 0.0
    flow.links += [(a, b, much) for (a, b), much in totals.items() if b != OTHER_TOPICS or flow.left_out]
    for node in (one for one in holding if one.node.name in own):
        text, look = f"{rate(amount(node))} in", ""
        if node.problem is not None:
            text, look = "does not answer", "bad"
        elif node.health not in ("", "OK"):
            text, look = "not well", "bad"
        name = node.node.name
        flow.nodes.append(Box(f"node {name}", name, text, ("nodes", name), look))
    if rest:
        more = f"{len(rest):,} more node{'' if len(rest) == 1 else 's'}"
        text = f"{rate(sum(map(amount, rest)))} in"
        flow.nodes.append(Box(OTHER_NODES, more, text, ("nodes",), "quiet"))


def _topic_box(topic: TopicNow) -> Box:
    name = topic.topic_name
    text, look = f"{rate(topic.rates.published or 0.0)} in", ""
    if topic.paused_nodes:
        text, look = f"paused, {topic.depth:,} waiting", "warn"
    elif topic.depth and not topic.channels:
        text, look = f"no channel, {topic.depth:,} waiting", "warn"
    elif topic.depth:
        text += f", {topic.depth:,} waiting"
    return Box(f"topic {name}", name, text, ("topics", name), look)


def _add_channels(flow: Flow, topic: TopicNow, shown: set[int], consumers: Consumers) -> None:
    name = topic.topic_name
    for channel in (one for one in topic.channels if id(one) in shown):
        box = _channel_box(channel)
        flow.channels.append(box)
        flow.links.append((f"topic {name}", box.id, channel.rates.published or 0.0))
        _add_consumers(flow, channel, box, consumers.get(channel.channel_name, ()))
    rest = [channel for channel in topic.channels if id(channel) not in shown]
    if rest:
        more = f"{len(rest):,} more channel{'' if len(rest) == 1 else 's'}"
        waiting = f"{sum(channel.depth for channel in rest):,} waiting"
        box = Box(f"channels {name}", more, waiting, ("topics", name), "quiet", "channels")
        flow.channels.append(box)
        flow.links.append((f"topic {name}", box.id, sum(channel.rates.published or 0.0 for channel in rest)))


def _channel_box(channel: ChannelNow) -> Box:
    topic, name = channel.topic_name, channel.channel_name
    text, look = f"{channel.depth:,} waiting", ""
    if channel.paused_nodes:
        text, look = f"paused, {text}", "warn"
    elif not channel.client_count:
        text, look = f"no consumer, {text}", "warn" if channel.depth else "quiet"
    return Box(f"channel {topic}/{name}", name, text, ("topics", topic, name), look)


def _add_consumers(flow: Flow, channel: ChannelNow, box: Box, clients: Sequence[Client]) -> None:
    """One box for a channel, or one for each host of its clients; by what each has finished so far."""
    finished = channel.rates.finished or 0.0
    where = box.id.removeprefix("channel ")
    if not clients:
        if channel.client_count:
            name = f"{channel.client_count:,} connection{'' if channel.client_count == 1 else 's'}"
            group = Box(f"clients {where}", name, f"{rate(finished)} out", box.path, anchor="clients")
            flow.consumers.append(group)
            flow.links.append((box.id, group.id, finished))
        return
    hosts: dict[str, list[Client]] = defaultdict(list)
    for client in clients:
        hosts[client.hostname or client.remote_address].append(client)
    total = sum(client.finish_count for client in clients) or 1
    ordered = sorted(hosts.items(), key=lambda item: (-sum(c.finish_count for c in item[1]), item[0]))
    for host, group_of in ordered[:MOST_GROUPS]:
        share = finished * sum(client.finish_count for client in group_of) / total
        _add_group(flow, box, f"clients {where} {host}", host, group_of, share)
    rest = [client for _, group_of in ordered[MOST_GROUPS:] for client in group_of]
    if rest:
        share = finished * sum(client.finish_count for client in rest) / total
        more = len(ordered) - MOST_GROUPS
        name = f"{more:,} more host{'' if more == 1 else 's'}"
        _add_group(flow, box, f"clients {where}", name, rest, share)


def _add_group(flow: Flow, box: Box, key: str, name: str, clients: Sequence[Client], share: float) -> None:
    text = f"{len(clients):,} connection{'' if len(clients) == 1 else 's'}, {rate(share)}"
    group = Box(key, name, text, box.path, anchor="clients")
    flow.consumers.append(group)
    flow.links.append((box.id, group.id, share))
