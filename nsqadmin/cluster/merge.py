"""Many nodes' answers to one view. Pure: nothing is asked, nothing given is changed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from nsqadmin.cluster.model import (
    ALL_NODES,
    NO_DELIVERIES,
    NO_LATENCY,
    Channel,
    Client,
    Deliveries,
    Latency,
    Node,
    NodeTopic,
    Percentile,
    Queue,
    Topic,
)

_SEMVER = re.compile(
    r"v?(\d{1,9})\.(\d{1,9})\.(\d{1,9})(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?", re.ASCII
)


def merge_names(lists: Iterable[Iterable[str]]) -> list[str]:
    """Every name once, sorted."""
    return sorted({name for names in lists for name in names})


def merge_producers(answers: Iterable[Iterable[Node]]) -> list[Node]:
    """The producers of one topic by several nsqlookupds: each once, by the address it is asked at."""
    found: dict[str, Node] = {}
    for nodes in answers:
        for node in nodes:
            found.setdefault(node.name, node)
    return sorted(found.values(), key=_by_host)


def merge_nodes(answers: Iterable[tuple[str, Iterable[Node]]]) -> list[Node]:
    """All nodes as several nsqlookupds, each named by its address, know them.

    The first that knows a node describes it. Its topics are those that any of them knows, and a topic is
    tombstoned if any says so, since its consumers then don't find the node.
    """
    found: dict[tuple[str, int], Node] = {}
    topics: dict[tuple[str, int], dict[str, bool]] = {}
    for lookupd, nodes in answers:
        for node in nodes:
            key = node.broadcast_address, node.tcp_port
            kept = found.setdefault(key, replace(node, remote_addresses=[]))
            kept.remote_addresses.append(f"{lookupd}/{node.remote_address or 'N/A'}")
            known = topics.setdefault(key, {})
            for topic in node.topics:
                known[topic.name] = known.get(topic.name, False) or topic.tombstoned
    for key, node in found.items():
        node.topics = [NodeTopic(name, tombstoned) for name, tombstoned in sorted(topics[key].items())]
    return mark_out_of_date(sorted(found.values(), key=_by_host))


def mark_out_of_date(nodes: Sequence[Node]) -> list[Node]:
    """The same nodes, those marked whose version is lower than the highest among them."""
    highest = max((version_key(node.version) for node in nodes), default=None)
    return [replace(node, out_of_date=version_key(node.version) != highest) for node in nodes]


def version_key(version: str) -> tuple[object, ...]:
    """Sorts versions by the rules of semver.org; what is no version sorts as 0.0.0."""
    found = _SEMVER.fullmatch(version)
    if found is None:
        return (0, 0, 0, 1)
    numbers = (int(found[1]), int(found[2]), int(found[3]))
    if found[4] is None:
        return (*numbers, 1)
    parts = [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in found[4].split(".")]
    return (*numbers, 0, *parts)


def merge_topic(name: str, parts: Iterable[Topic]) -> Topic:
    """The total of one topic; its ``nodes`` are the parts, by host name and address."""
    nodes = sorted(parts, key=_by_place)
    by_name: dict[str, list[Channel]] = {}
    for part in nodes:
        for channel in part.channels:
            by_name.setdefault(channel.channel_name, []).append(channel)
    total = Topic(
        node=ALL_NODES,
        hostname="",
        topic_name=name,
        channels=[merge_channel(name, channel, by_name[channel]) for channel in sorted(by_name)],
        nodes=nodes,
    )
    _add_up(total, nodes)
    return total


def merge_channel(topic_name: str, name: str, parts: Iterable[Channel]) -> Channel:
    """The total of one channel; its ``nodes`` are the parts, by host name and address."""
    nodes = sorted(parts, key=_by_place)
    total = Channel(node=ALL_NODES, hostname="", topic_name=topic_name, channel_name=name, nodes=nodes)
    _add_up(total, nodes)
    for part in nodes:
        total.in_flight_count += part.in_flight_count
        total.deferred_count += part.deferred_count
        total.requeue_count += part.requeue_count
        total.timeout_count += part.timeout_count
        total.client_count += part.client_count
    total.clients = sorted((client for part in nodes for client in part.clients), key=_client_order)
    return total


def _add_up(total: Queue, parts: Sequence[Queue]) -> None:
    for part in parts:
        total.depth += part.depth
        total.backend_depth += part.backend_depth
        total.message_count += part.message_count
        total.paused = total.paused or part.paused
    total.deliveries = _merge_deliveries(
        [part.deliveries for part in parts if part.deliveries is not NO_DELIVERIES]
    )
    total.latency = merge_latency([part.latency for part in parts if part.latency is not NO_LATENCY])


def _merge_deliveries(parts: Sequence[Deliveries]) -> Deliveries:
    return Deliveries(
        sum(part.zone_local for part in parts),
        sum(part.region_local for part in parts),
        sum(part.elsewhere for part in parts),
    )


def merge_latency(parts: Sequence[Latency]) -> Latency:
    """Counts are added; of each quantile the lowest, the highest and the weighted mean remain."""
    if not any(part.percentiles for part in parts):
        return Latency(sum(part.count for part in parts))
    by_quantile: dict[float, list[tuple[int, Percentile]]] = {}
    for part in parts:
        for percentile in part.percentiles:
            by_quantile.setdefault(percentile.quantile, []).append((part.count, percentile))
    merged = []
    for quantile, found in by_quantile.items():
        weights = sum(count for count, _ in found)
        if weights > 0:
            average = sum(count * p.average for count, p in found) / weights
        else:
            average = sum(p.average for _, p in found) / len(found)
        lowest, highest = min(p.lowest for _, p in found), max(p.highest for _, p in found)
        merged.append(Percentile(quantile, average, lowest, highest))
    return Latency(sum(part.count for part in parts), merged)


def _by_host(node: Node) -> tuple[str, str, int]:
    return node.hostname, node.broadcast_address, node.tcp_port


def _by_place(queue: Queue) -> tuple[str, str]:
    return queue.hostname, queue.node


def _client_order(client: Client) -> tuple[str, int, str, str, str, str, str]:
    return (
        client.node,
        client.nearness,
        client.topology_region,
        client.topology_zone,
        client.hostname,
        client.client_id,
        client.remote_address,
    )
