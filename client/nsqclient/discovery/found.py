"""What nsqlookupds tell of nsqds, read with care: it may be wrong, and must harm nobody."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeGuard

from nsqcore.addresses import HostPort, parse_host_port

MOST_NODES = 2048
"""Nsqds that one answer is believed to name; each is connected to."""
_LONGEST_HOST = 255


@dataclass(frozen=True, slots=True)
class FoundNode:
    """A nsqd, as nsqlookupds tell of it."""

    address: str
    """``host:port`` for clients."""
    broadcast_address: str
    """What it calls itself: a name or an IP address."""
    tcp_port: int
    """Where clients connect."""
    http_port: int = 0
    """0 if it was not told."""
    hostname: str = ""
    """The name of its machine."""
    version: str = ""
    """Of nsqd, as ``1.3.0``; empty if it was not told."""
    zone: str = ""
    """Where it runs, as its flags say; empty if they do not."""
    region: str = ""
    """Likewise."""
    topics: frozenset[str] = frozenset()
    """What it has; told to producers only."""
    tombstones: frozenset[str] = frozenset()
    """Topics that are being removed from it: producers keep off. Told to producers only."""

    def joined(self, other: FoundNode) -> FoundNode:
        """The same nsqd, as another nsqlookupd tells of it as well."""
        return replace(self, topics=self.topics | other.topics, tombstones=self.tombstones | other.tombstones)


def read_found(answer: object) -> tuple[list[FoundNode], int]:
    """The nsqds of an answer, and how many entries were left out as they make no sense.

    Raises ValueError for what is not a nsqlookupd's answer. Before 1.0 it was wrapped in ``data``.
    """
    if isinstance(answer, dict) and isinstance(answer.get("data"), dict):
        answer = answer["data"]
    producers = answer.get("producers") if isinstance(answer, dict) else None
    if not isinstance(producers, list):
        raise ValueError("the answer is not a nsqlookupd's")
    nodes = [node for node in map(_read_node, producers[:MOST_NODES]) if node is not None]
    return nodes, len(producers) - len(nodes)


def _read_node(entry: object) -> FoundNode | None:
    if not isinstance(entry, dict):
        return None
    host, port = entry.get("broadcast_address"), entry.get("tcp_port")
    if not isinstance(host, str) or not _is_host(host) or not _is_port(port):
        return None
    address = HostPort(host, port)
    try:
        if parse_host_port(str(address)) != address:
            return None
    except ValueError:
        return None
    http_port = entry.get("http_port")
    topics, marks = _list(entry.get("topics")), _list(entry.get("tombstones"))
    return FoundNode(
        address=str(address),
        broadcast_address=host,
        tcp_port=port,
        http_port=http_port if _is_port(http_port) else 0,
        hostname=_text(entry.get("hostname")),
        version=_text(entry.get("version")),
        zone=_text(entry.get("topology_zone")),
        region=_text(entry.get("topology_region")),
        topics=frozenset(topic for topic in topics if isinstance(topic, str)),
        tombstones=frozenset(
            topic
            for topic, mark in zip(topics, marks, strict=False)
            if mark is True and isinstance(topic, str)
        ),
    )


def _is_host(text: str) -> bool:
    return 0 < len(text) <= _LONGEST_HOST and text.isprintable() and not set(text) & set(" /[]@?#")


def _is_port(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= 65535


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
