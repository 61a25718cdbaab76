"""Reads what nsqd and nsqlookupd answer. They may be old, broken or hostile: nothing is taken on trust.

Missing and null fields read as zero or empty, for older daemons leave some out. A field of the wrong
type, or a text that could not be what it says, makes the whole answer a :class:`BadAnswer`.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from nsqadmin.cluster.model import (
    NO_DELIVERIES,
    NO_LATENCY,
    Channel,
    Client,
    Deliveries,
    Latency,
    Node,
    NodeStats,
    NodeTopic,
    Percentile,
    Topic,
)

_HOST = re.compile(r"[A-Za-z0-9._:%-]+", re.ASCII)
"""What may stand in a URL as a host: nothing that would change what is asked, or whom."""
_INT64 = 1 << 63


class BadAnswer(Exception):
    """The answer is JSON, but not what the API promises; the text says what is wrong."""


def read_topic_names(answer: object) -> list[str]:
    """The names in nsqlookupd's ``/topics``."""
    return _texts(_object(answer, "the answer"), "topics")


def read_channel_names(answer: object) -> list[str]:
    """The names in nsqlookupd's ``/channels`` and ``/lookup``."""
    return _texts(_object(answer, "the answer"), "channels")


def read_producers(answer: object) -> list[Node]:
    """The nodes in nsqlookupd's ``/lookup`` and ``/nodes``; the latter name their topics too."""
    return [_producer(p) for p in _objects(_object(answer, "the answer"), "producers")]


def read_info(answer: object, address: str) -> Node:
    """The node that answers ``/info`` at ``address``."""
    info = _object(answer, "the answer")
    return Node(
        broadcast_address=_host(info),
        hostname=_text(info, "hostname"),
        tcp_port=_count(info, "tcp_port"),
        http_port=_count(info, "http_port"),
        version=_text(info, "version"),
        topology_zone=_text(info, "topology_zone"),
        topology_region=_text(info, "topology_region"),
        asked_at=address,
    )


class _Held(msgspec.Struct, gc=False):
    topic_name: str = ""


class _Holder(msgspec.Struct):
    topics: list[_Held] | None = None


_held = msgspec.json.Decoder(_Holder)


def read_held(answer: bytes) -> list[str]:
    """The names of the topics in ``/stats?format=json`` and nothing else of it, which is quick where it is long."""
    try:
        return [topic.topic_name for topic in _held.decode(answer).topics or ()]
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as e:
        raise BadAnswer(str(e)) from None


def read_stats(answer: object, node: Node) -> NodeStats:
    """What ``node`` answers to ``/stats?format=json``."""
    stats = _object(answer, "the answer")
    return NodeStats(
        version=_text(stats, "version"),
        health=_text(stats, "health"),
        start_time=_count(stats, "start_time"),
        heap_bytes=_count(_object(stats.get("memory") or {}, "memory"), "heap_in_use_bytes"),
        topics=[_topic(t, node) for t in _objects(stats, "topics")],
    )


def _producer(producer: dict[str, Any]) -> Node:
    names = _texts(producer, "topics")
    tombstones = _list(producer, "tombstones")
    return Node(
        broadcast_address=_host(producer),
        hostname=_text(producer, "hostname"),
        tcp_port=_count(producer, "tcp_port"),
        http_port=_count(producer, "http_port"),
        version=_text(producer, "version"),
        topology_zone=_text(producer, "topology_zone"),
        topology_region=_text(producer, "topology_region"),
        remote_address=_text(producer, "remote_address"),
        topics=[
            NodeTopic(name, i < len(tombstones) and tombstones[i] is True) for i, name in enumerate(names)
        ],
    )


def _topic(topic: dict[str, Any], node: Node) -> Topic:
    name = _text(topic, "topic_name")
    return Topic(
        node=node.name,
        hostname=node.hostname,
        topic_name=name,
        depth=_count(topic, "depth"),
        backend_depth=_count(topic, "backend_depth"),
        message_count=_count(topic, "message_count"),
        paused=_flag(topic, "paused"),
        latency=_latency(topic),
        channels=[_channel(c, node, name) for c in _objects(topic, "channels")],
    )


def _channel(channel: dict[str, Any], node: Node, topic_name: str) -> Channel:
    clients = [_client(c, node) for c in _objects(channel, "clients")]
    return Channel(
        node=node.name,
        hostname=node.hostname,
        topic_name=topic_name,
        channel_name=_text(channel, "channel_name"),
        depth=_count(channel, "depth"),
        backend_depth=_count(channel, "backend_depth"),
        message_count=_count(channel, "message_count"),
        paused=_flag(channel, "paused"),
        latency=_latency(channel),
        deliveries=_deliveries(channel),
        in_flight_count=_count(channel, "in_flight_count"),
        deferred_count=_count(channel, "deferred_count"),
        requeue_count=_count(channel, "requeue_count"),
        timeout_count=_count(channel, "timeout_count"),
        client_count=_count(channel, "client_count") or len(clients),  # before 1.2 only the list was there
        clients=clients,
    )


def _client(client: dict[str, Any], node: Node) -> Client:
    return Client(
        node=node.name,
        client_id=_text(client, "client_id"),
        hostname=_text(client, "hostname"),
        remote_address=_text(client, "remote_address"),
        version=_text(client, "version"),
        user_agent=_text(client, "user_agent"),
        connect_ts=_count(client, "connect_ts"),
        in_flight_count=_count(client, "in_flight_count"),
        ready_count=_count(client, "ready_count"),
        finish_count=_count(client, "finish_count"),
        requeue_count=_count(client, "requeue_count"),
        message_count=_count(client, "message_count"),
        sample_rate=_count(client, "sample_rate"),
        deflate=_flag(client, "deflate"),
        snappy=_flag(client, "snappy"),
        authed=_flag(client, "authed"),
        auth_identity=_text(client, "auth_identity"),
        auth_identity_url=_text(client, "auth_identity_url"),
        topology_zone=_text(client, "topology_zone"),
        topology_region=_text(client, "topology_region"),
        node_topology_zone=node.topology_zone,
        node_topology_region=node.topology_region,
        tls=_flag(client, "tls"),
        tls_cipher_suite=_text(client, "tls_cipher_suite"),
        tls_version=_text(client, "tls_version"),
        tls_negotiated_protocol=_text(client, "tls_negotiated_protocol"),
        tls_negotiated_protocol_is_mutual=_flag(client, "tls_negotiated_protocol_is_mutual"),
    )


def _deliveries(channel: dict[str, Any]) -> Deliveries:
    zone_local = _count(channel, "zone_local_msg_count")
    region_local = _count(channel, "region_local_msg_count")
    elsewhere = _count(channel, "global_msg_count")
    if not (zone_local or region_local or elsewhere):
        return NO_DELIVERIES
    return Deliveries(zone_local, region_local, elsewhere)


def _latency(queue: dict[str, Any]) -> Latency:
    latency = _object(queue.get("e2e_processing_latency") or {}, "e2e_processing_latency")
    if not latency.get("percentiles") and not latency.get("count"):
        return NO_LATENCY
    percentiles = {}
    for p in _objects(latency, "percentiles"):
        quantile, value = _number(p, "quantile"), _number(p, "value")
        percentiles[quantile] = Percentile(quantile, value, value, value)
    return Latency(_count(latency, "count"), list(percentiles.values()))


# ---- one field each --------------------------------------------------------------------------


def _object(value: object, what: str) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    raise BadAnswer(f"{what} is not a JSON object")


def _list(holder: dict[str, Any], key: str) -> list[Any]:
    value = holder.get(key)
    if value is None:
        return []
    if isinstance(value, list):
        return value
    raise BadAnswer(f"{key} is not a list")


def _objects(holder: dict[str, Any], key: str) -> list[dict[str, Any]]:
    return [_object(item, f"an item of {key}") for item in _list(holder, key)]


def _texts(holder: dict[str, Any], key: str) -> list[str]:
    return [_clean(item, key) for item in _list(holder, key)]


def _text(holder: dict[str, Any], key: str) -> str:
    value = holder.get(key)
    return "" if value is None or value == "" else _clean(value, key)


def _clean(value: object, key: str) -> str:
    """A text that can be encoded: JSON may hold halves of surrogate pairs."""
    if not isinstance(value, str):
        raise BadAnswer(f"{key} is not a text")
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


def _count(holder: dict[str, Any], key: str) -> int:
    value = holder.get(key)
    if type(value) is int and -_INT64 <= value < _INT64:
        return value
    if value is None:
        return 0
    raise BadAnswer(f"{key} is not a whole number of 64 bits")


def _number(holder: dict[str, Any], key: str) -> float:
    value = holder.get(key)
    # JSON as Python reads it knows NaN and infinity.
    if isinstance(value, int | float) and abs(value) < 1e300:
        return float(value)
    raise BadAnswer(f"{key} is not a number")


def _flag(holder: dict[str, Any], key: str) -> bool:
    value = holder.get(key)
    if value is None:
        return False
    if isinstance(value, bool):
        return value
    raise BadAnswer(f"{key} is neither true nor false")


def _host(holder: dict[str, Any]) -> str:
    host = _text(holder, "broadcast_address")
    if not _HOST.fullmatch(host):
        raise BadAnswer("broadcast_address is not a host name")
    return host
