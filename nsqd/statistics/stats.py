"""Snapshots for ``/stats``: JSON and text, with the original's keys and columns in its order (reference, 5.5)."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from nsqcore.durations import NS_PER_S, go_duration
from nsqcore.version import NSQ_VERSION, banner
from nsqd.broker import Broker
from nsqd.channel import Channel
from nsqd.client import Client
from nsqd.latency import merge
from nsqd.topic import Topic

Json = dict[str, Any]
NO_LATENCY: Json = {"count": 0, "percentiles": None}


def client_stats(client: Client) -> Json:
    """A consumer or producer, but for what it published and its TLS."""
    settings = client.settings
    return {
        "client_id": settings.client_id,
        "hostname": settings.hostname,
        "version": "V2",
        "remote_address": client.remote_address,
        "state": int(client.state),
        "ready_count": client.ready,
        "in_flight_count": len(client.in_flight),
        "message_count": client.message_count,
        "finish_count": client.finish_count,
        "requeue_count": client.requeue_count,
        "connect_ts": client.connect_ts,
        "sample_rate": settings.sample_rate,
        "deflate": client.upgrade.deflate,
        "snappy": client.upgrade.snappy,
        "user_agent": settings.user_agent,
        **_authorized(client),
        "topology_zone": settings.topology_zone,
        "topology_region": settings.topology_region,
    }


def _authorized(client: Client) -> Json:
    permissions = client.permissions
    if permissions is None:
        return {}
    identity = {"auth_identity": permissions.identity, "auth_identity_url": permissions.identity_url}
    return {"authed": True, **{key: text for key, text in identity.items() if text}}


def _tls_stats(client: Client) -> Json:
    """There is no ALPN, and so no negotiated protocol; Go calls that mutual."""
    tls = client.tls
    return {
        "tls": tls is not None,
        "tls_cipher_suite": tls.cipher_suite if tls else "",
        "tls_version": tls.version if tls else "",
        "tls_negotiated_protocol": "",
        "tls_negotiated_protocol_is_mutual": tls is not None,
    }


def _with_counts(client: Client, topic: str) -> Json:
    """A client with what it published; of the filtered topic alone if there is one."""
    stats = client_stats(client)
    shown = (
        {topic: client.published[topic]} if topic in client.published else {} if topic else client.published
    )
    if shown:
        stats["pub_counts"] = [{"topic": name, "count": count} for name, count in sorted(shown.items())]
    return stats | _tls_stats(client)


def channel_stats(channel: Channel, *, include_clients: bool, topic: str = "") -> Json:
    """One channel; ``topic`` is the filter."""
    stats: Json = {
        "channel_name": channel.name,
        "depth": channel.depth,
        "backend_depth": channel.queue.backend_depth,
        "in_flight_count": channel.in_flight_count,
        "deferred_count": len(channel.deferred),
        "message_count": channel.message_count,
    }
    if channel.zone_count:
        stats["zone_local_msg_count"] = channel.zone_count
    if channel.region_count:
        stats["region_local_msg_count"] = channel.region_count
    if elsewhere := channel.memory_count - channel.zone_count - channel.region_count:
        stats["global_msg_count"] = elsewhere
    return stats | {
        "requeue_count": channel.requeue_count,
        "timeout_count": channel.timeout_count,
        "client_count": len(channel.clients),
        "clients": [_with_counts(c, topic) for c in channel.clients] if include_clients else None,
        "paused": channel.paused,
        "e2e_processing_latency": _latency_json((channel,)),
    }


def latency_of(channels: Iterable[Channel]) -> tuple[int, list[tuple[float, int]]]:
    """How many messages channels finished in the window, and what was asked for: quantile, nanoseconds.

    Nothing was asked for where no channel measures.
    """
    measured = [channel.latency for channel in channels if channel.latency is not None]
    if not measured:
        return 0, []
    merged, wanted = merge(measured), measured[0].quantiles
    return merged.count, list(zip(wanted, merged.quantiles(wanted), strict=True))


def _latency_json(channels: Iterable[Channel]) -> Json:
    count, values = latency_of(channels)
    if not values:
        return NO_LATENCY
    shown = [{"quantile": int(q) if q == int(q) else q, "value": value} for q, value in values]
    return {"count": count, "percentiles": shown}


def _latency_text(channels: Iterable[Channel]) -> str:
    return ", ".join(_short(value) for _, value in latency_of(channels)[1])


def _short(ns: int) -> str:
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if ns > size:
            return f"{ns / size:.1f}{unit}"
    return f"{ns:.1f}ns"


def topic_stats(topic: Topic, channels: Iterable[Channel], *, include_clients: bool, only: str = "") -> Json:
    """One topic with these of its channels; ``only`` is the topic filter."""
    return {
        "topic_name": topic.name,
        "channels": [channel_stats(c, include_clients=include_clients, topic=only) for c in channels],
        "depth": topic.depth,
        "backend_depth": topic.queue.backend_depth,
        "message_count": topic.message_count,
        "message_bytes": topic.message_bytes,
        "paused": topic.paused,
        "e2e_processing_latency": _latency_json(topic.channels.values()),
    }


def selected(broker: Broker, topic: str, channel: str) -> list[tuple[Topic, list[Channel]]]:
    """Topics and channels in the order of their names, those that the filters leave."""
    found = []
    for each in sorted(broker.topics.values(), key=lambda t: t.name):
        if topic and each.name != topic:
            continue
        channels = sorted(each.channels.values(), key=lambda c: c.name)
        if channel:
            channels = [c for c in channels if c.name == channel]
            if not channels:
                continue
        found.append((each, channels))
    return found


class Snapshot:
    """What ``/stats`` answers, built at one moment."""

    def __init__(
        self,
        broker: Broker,
        clients: Iterable[Client],
        *,
        start_time: float,
        health: str,
        topic: str = "",
        channel: str = "",
        include_clients: bool = True,
        memory: Json | None = None,
    ) -> None:
        """``memory`` is left out when it is None."""
        self.start_time = start_time
        self.health = health
        self.topic = topic
        self.chosen = selected(broker, topic, channel)
        self.unknown_topic = bool(topic) and topic.encode("utf-8", "surrogateescape") not in broker.topics
        self.include_clients = include_clients
        self.producers = (
            [_with_counts(c, topic) for c in clients if c.published]
            if include_clients and not self.unknown_topic
            else []
        )
        self.memory = memory

    def head(self) -> Json:
        """The JSON before its ``topics``."""
        return {"version": NSQ_VERSION, "health": self.health, "start_time": int(self.start_time)}

    def tail(self) -> Json:
        """The JSON behind its ``topics``."""
        memory = {"memory": self.memory} if self.memory is not None else {}
        return memory | {"producers": self.producers or None}

    def text(self) -> str:
        """The plain text form."""
        uptime = max(0, int((time.time() - self.start_time) * NS_PER_S))
        started = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(self.start_time)) + _zone(self.start_time)
        out = [
            f"{banner('nsqd')}\nstart_time {started}\nuptime {go_duration(uptime)}\n\nHealth: {self.health}\n"
        ]
        if self.memory is not None:
            out.append("\nMemory:\n")
            out += [f"   {key:<25}\t{value}\n" for key, value in self.memory.items()]
        if self.chosen:
            out.append("\nTopics:")
            for topic, channels in self.chosen:
                out.append(_topic_text(topic))
                for channel in channels:
                    out.append(_channel_text(channel))
                    if self.include_clients:
                        out += [
                            _client_text(_with_counts(c, self.topic), "        ") for c in channel.clients
                        ]
        else:
            out.append("\nTopics: None\n")
        if self.producers:
            out.append("\nProducers:\n")
            out += [_client_text(p, "   ") for p in self.producers]
        else:
            out.append("\nProducers: None\n")
        return "".join(out)


def _zone(at: float) -> str:
    offset = time.strftime("%z", time.localtime(at))
    return "Z" if offset in ("+0000", "") else f"{offset[:3]}:{offset[3:]}"


def _topic_text(topic: Topic) -> str:
    mark = "*P " if topic.paused else "   "
    depths = (
        f"depth: {topic.depth:<5} be-depth: {topic.queue.backend_depth:<5} msgs: {topic.message_count:<8}"
    )
    return f"\n{mark}[{topic.name:<15}] {depths} e2e%: {_latency_text(topic.channels.values())}\n"


def _channel_text(channel: Channel) -> str:
    mark = "   *P " if channel.paused else "      "
    depths = f"depth: {channel.depth:<5} be-depth: {channel.queue.backend_depth:<5}"
    counts = (
        f"inflt: {channel.in_flight_count:<4} def: {len(channel.deferred):<4} re-q: {channel.requeue_count:<5} "
        f"timeout: {channel.timeout_count:<5} msgs: {channel.message_count:<8}"
    )
    return f"{mark}[{channel.name:<25}] {depths} {counts} e2e%: {_latency_text((channel,))}\n"


def _connected(stats: Json) -> str:
    return go_duration(max(0, int(time.time()) - int(stats["connect_ts"])) * NS_PER_S)


def _name(stats: Json) -> str:
    port = stats["remote_address"].rpartition(":")[2].removeprefix("@")  # a unix socket has none
    return f"{stats['hostname']}:{port} {stats['user_agent']}"


def _client_text(stats: Json, indent: str) -> str:
    """A client's line: what it published if it did, also where it is listed as a consumer."""
    who = f"{indent}[V2 {_name(stats):<21}]"
    if counts := stats.get("pub_counts"):
        topics = ",".join(f"{c['topic']}={c['count']}" for c in counts)
        total = sum(c["count"] for c in counts)
        return f"{who} msgs: {total:<8} topics: {topics} connected: {_connected(stats)}\n"
    return (
        f"{who} state: {stats['state']} inflt: {stats['in_flight_count']:<4} "
        f"rdy: {stats['ready_count']:<4} fin: {stats['finish_count']:<8} re-q: {stats['requeue_count']:<8} "
        f"msgs: {stats['message_count']:<8} connected: {_connected(stats)}\n"
    )
