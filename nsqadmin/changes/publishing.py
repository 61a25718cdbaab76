"""Publishes a message by hand, to try things out: on one node or on each that has the topic."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from nsqadmin.cluster.cluster import NSQD, Cluster, Unknown
from nsqadmin.cluster.model import Node, Problem

EVERY_NODE = "*"
MOST_COPIES = 100
LARGEST_BODY = 256 << 10
"""Bytes. A nsqd may take less, or more: its ``--max-msg-size`` is 1 MiB by itself."""
LONGEST_DELAY_MS = 24 * 3600 * 1000
"""A nsqd takes an hour at most, unless its ``--max-req-timeout`` says otherwise."""
PATIENCE_S = 15.0
"""For all copies on a node together."""


@dataclass(frozen=True, slots=True)
class Message:
    """What to publish, and where."""

    topic: str
    body: bytes
    node: str = ""
    """A node's name, :data:`EVERY_NODE` that has the topic, or empty: one that has it, else any."""
    delay_ms: int = 0
    """How long nsqd keeps it back."""
    copies: int = 1
    """On each node."""


@dataclass(frozen=True, slots=True)
class Published:
    """What became of a message on one node."""

    node: Node
    count: int
    """Copies that nsqd has taken."""
    problem: Problem | None


async def publish(cluster: Cluster, message: Message) -> list[Published]:
    """Publishes on each node at the same time; raises Unreachable, and Unknown when there is no such node.

    A copy whose answer was lost may be there or not: nothing is sent twice.
    """
    found = await cluster.nodes()
    nodes = sorted(found.value, key=lambda node: node.name)
    holding = [
        node for node in nodes if any(t.name == message.topic and not t.tombstoned for t in node.topics)
    ]
    if message.node == EVERY_NODE:
        nodes = holding or nodes
    elif message.node:
        nodes = [node for node in nodes if node.name == message.node]
    else:
        nodes = (holding or nodes)[:1]
    if not nodes:
        raise Unknown("NODE_NOT_FOUND", found.problems)
    return list(await asyncio.gather(*(_publish(cluster, message, node) for node in nodes)))


async def _publish(cluster: Cluster, message: Message, node: Node) -> Published:
    params = {"topic": message.topic}
    if message.delay_ms:
        params["defer"] = str(message.delay_ms)
    count = 0
    try:
        async with asyncio.timeout(PATIENCE_S):
            while count < message.copies:
                problem = await cluster.tell(NSQD, node.http_address, "/pub", params, message.body)
                if problem is not None:
                    return Published(node, count, problem)
                count += 1
    except TimeoutError:
        reason = f"timed out after {PATIENCE_S:g} s"
        return Published(node, count, Problem(NSQD, node.http_address, reason))
    return Published(node, count, None)
