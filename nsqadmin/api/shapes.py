"""The JSON API's objects: keys, their order and what is null or left out, as scripts know them."""

from __future__ import annotations

from nsqadmin.cluster.model import ALL_NODES, Channel, Client, Latency, Node, Queue, Topic

Json = dict[str, object]
_NS = 1_000_000_000


def node_json(node: Node, *, by_lookupd: bool) -> Json:
    """A node of ``/api/nodes``."""
    shape: Json = {
        "remote_addresses": node.remote_addresses if by_lookupd else None,
        "remote_address": node.remote_address,
        "hostname": node.hostname,
        "broadcast_address": node.broadcast_address,
        "tcp_port": node.tcp_port,
        "http_port": node.http_port,
        "version": node.version,
    }
    if node.topology_zone:
        shape["topology_zone"] = node.topology_zone
    if node.topology_region:
        shape["topology_region"] = node.topology_region
    shape["topics"] = [{"topic": t.name, "tombstoned": t.tombstoned} for t in node.topics] or None
    shape["out_of_date"] = node.out_of_date
    return shape


def topic_json(topic: Topic, now: float) -> Json:
    """A topic's total or its part on one node; ``now`` is Unix seconds."""
    return {
        **_queue(topic),
        "message_count": topic.message_count,
        "delivery_msg_count": topic.deliveries.total,
        **_deliveries(topic),
        "nodes": [topic_json(part, now) for part in topic.nodes] or None,
        "channels": _or_null(topic, [channel_json(channel, now) for channel in topic.channels]),
        "paused": topic.paused,
        "e2e_processing_latency": _latency(topic, ""),
    }


def channel_json(channel: Channel, now: float) -> Json:
    """A channel's total or its part on one node; ``now`` is Unix seconds."""
    shape: Json = {
        **_queue(channel, channel.channel_name),
        "in_flight_count": channel.in_flight_count,
        "deferred_count": channel.deferred_count,
        "requeue_count": channel.requeue_count,
        "timeout_count": channel.timeout_count,
        "message_count": channel.message_count,
    }
    if channel.deliveries.total:
        shape["delivery_msg_count"] = channel.deliveries.total
    return {
        **shape,
        **_deliveries(channel),
        "client_count": channel.client_count,
        "nodes": [channel_json(part, now) for part in channel.nodes] or None,
        "clients": _or_null(channel, [client_json(client, now) for client in channel.clients]),
        "paused": channel.paused,
        "e2e_processing_latency": _latency(channel, channel.channel_name),
    }


def client_json(client: Client, now: float) -> Json:
    """A consumer's connection; ``connected`` is nanoseconds by this machine's clock."""
    shape: Json = {
        "node": client.node,
        "remote_address": client.remote_address,
        "version": client.version,
        "client_id": client.client_id,
        "hostname": client.hostname,
        "user_agent": client.user_agent,
        "connect_ts": client.connect_ts,
        "connected": (int(now) - client.connect_ts) * _NS,
        "in_flight_count": client.in_flight_count,
        "ready_count": client.ready_count,
        "finish_count": client.finish_count,
        "requeue_count": client.requeue_count,
        "message_count": client.message_count,
        "sample_rate": client.sample_rate,
        "deflate": client.deflate,
        "snappy": client.snappy,
        "authed": client.authed,
        "auth_identity": client.auth_identity,
        "auth_identity_url": client.auth_identity_url,
    }
    places = ("node_topology_region", "node_topology_zone", "topology_region", "topology_zone")
    shape |= {place: getattr(client, place) for place in places if getattr(client, place)}
    return shape | {
        "tls": client.tls,
        "tls_cipher_suite": client.tls_cipher_suite,
        "tls_version": client.tls_version,
        "tls_negotiated_protocol": client.tls_negotiated_protocol,
        "tls_negotiated_protocol_is_mutual": client.tls_negotiated_protocol_is_mutual,
    }


def _queue(queue: Queue, channel_name: str = "") -> Json:
    shape: Json = {"node": queue.node, "hostname": queue.hostname, "topic_name": queue.topic_name}
    if channel_name:
        shape["channel_name"] = channel_name
    return shape | {
        "depth": queue.depth,
        "memory_depth": queue.memory_depth,
        "backend_depth": queue.backend_depth,
    }


def _deliveries(queue: Queue) -> Json:
    counts = {
        "zone_local_msg_count": queue.deliveries.zone_local,
        "region_local_msg_count": queue.deliveries.region_local,
        "global_msg_count": queue.deliveries.elsewhere,
    }
    return {key: count for key, count in counts.items() if count}


def _or_null(queue: Queue, items: list[Json]) -> list[Json] | None:
    """Totals have null for an empty list, single nodes have the list as nsqd sends it."""
    return items if items or queue.node != ALL_NODES else None


def _latency(queue: Queue, channel_name: str) -> Json:
    return {
        "count": queue.latency.count,
        "percentiles": _percentiles(queue.latency, single=queue.node != ALL_NODES),
        "topic": queue.topic_name,
        "channel": channel_name,
        "host": queue.node,
    }


def _percentiles(latency: Latency, *, single: bool) -> list[Json] | None:
    """Keys in alphabetical order, as Go writes maps; only a single node's have a ``value``."""
    shapes = []
    for p in latency.percentiles:
        shape: Json = {
            "average": _number(p.average),
            "count": latency.count,
            "max": _number(p.highest),
            "min": _number(p.lowest),
            "quantile": _number(p.quantile),
        }
        if single:
            shape["value"] = _number(p.average)
        shapes.append(shape)
    return shapes or None


def _number(value: float) -> int | float:
    return int(value) if value.is_integer() else value
