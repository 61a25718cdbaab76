"""``/api/counter``: every channel on every node, of clusters that have hundreds of thousands of them.

Each node's answer is read into no more than is told, and becomes its part of the JSON at once: nothing holds the
event loop longer than one node's part takes, and no more than the parts is kept.
"""

from __future__ import annotations

import asyncio
import re
from functools import partial
from typing import Annotated

import msgspec

from nsqadmin.cluster.answers import BadAnswer
from nsqadmin.cluster.cluster import NSQD, Cluster, Found, Unreachable
from nsqadmin.cluster.model import Problem
from nsqcore.golang import go_escapes

_ESCAPED_BY_GO = re.compile(rb"[<>&\\]|\xe2\x80")
"""What Go's JSON may have otherwise; names seldom have any of it."""


class _Channel(msgspec.Struct, gc=False):
    channel_name: str = ""
    message_count: Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)] = 0


class _Topic(msgspec.Struct, gc=False):
    topic_name: str = ""
    channels: list[_Channel] | None = None


class _Stats(msgspec.Struct):
    topics: list[_Topic] | None = None


class _Count(msgspec.Struct, gc=False):
    node: str
    topic_name: str
    channel_name: str
    message_count: int


_decoder = msgspec.json.Decoder(_Stats)


async def counted(cluster: Cluster) -> Found[bytes]:
    """The JSON object by ``topic:channel:node``; raises Unreachable when no node answers, or nobody names any."""
    found = await cluster.nodes()
    nodes = {node.name: node for node in found.value}
    parts = await asyncio.gather(
        *(cluster.part(node, partial(part_of, node.name)) for node in nodes.values())
    )
    problems = found.problems + [part for part in parts if isinstance(part, Problem)]
    answered = [part for part in parts if isinstance(part, bytes)]
    if problems and not answered:
        raise Unreachable(NSQD, problems)
    return Found(b"{" + b",".join(part for part in answered if part) + b"}", problems)


def part_of(node: str, answer: bytes) -> bytes:
    """A node's members of the object, without the braces; raises BadAnswer."""
    try:
        stats = _decoder.decode(answer)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as e:
        raise BadAnswer(str(e)) from None
    counts = {
        f"{topic.topic_name}:{channel.channel_name}:{node}": _Count(
            node, topic.topic_name, channel.channel_name, channel.message_count
        )
        for topic in stats.topics or ()
        for channel in topic.channels or ()
    }
    data = msgspec.json.encode(counts)[1:-1]
    return go_escapes(data.decode()).encode() if _ESCAPED_BY_GO.search(data) else data
