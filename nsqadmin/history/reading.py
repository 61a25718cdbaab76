"""A node's figures out of its ``/stats``, read at once into typed structures that hold no more than is sampled.

The pages that are about one topic read the same answer with :mod:`nsqadmin.cluster.answers`, clients and all; a
sample of a large cluster is a hundred megabytes, which only a decoder that skips the rest reads in time.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from nsqadmin.cluster.answers import BadAnswer
from nsqadmin.cluster.model import NO_LATENCY, Latency, Percentile

_LARGEST = 1e300
"""Nanoseconds; JSON may hold larger numbers, and none of them is a latency."""
_Count = Annotated[int, msgspec.Meta(ge=-(1 << 60), le=1 << 60)]
"""No node counts further, and the sums of four fit 64 bits."""


class _Value(msgspec.Struct, gc=False):
    quantile: float = 0.0
    value: float = 0.0


class _E2e(msgspec.Struct, gc=False):
    count: _Count = 0
    percentiles: list[_Value] | None = None


class ChannelReading(msgspec.Struct, gc=False):
    """A channel on the node; the names are nsqd's."""

    channel_name: str = ""
    depth: _Count = 0
    backend_depth: _Count = 0
    in_flight_count: _Count = 0
    deferred_count: _Count = 0
    message_count: _Count = 0
    requeue_count: _Count = 0
    timeout_count: _Count = 0
    client_count: _Count = 0
    paused: bool = False
    e2e_processing_latency: _E2e | None = None


class TopicReading(msgspec.Struct, gc=False):
    """A topic on the node."""

    topic_name: str = ""
    depth: _Count = 0
    backend_depth: _Count = 0
    message_count: _Count = 0
    paused: bool = False
    channels: list[ChannelReading] | None = None
    e2e_processing_latency: _E2e | None = None


class _Memory(msgspec.Struct):
    heap_in_use_bytes: _Count = 0


class NodeReading(msgspec.Struct):
    """The whole answer."""

    version: str = ""
    health: str = ""
    start_time: _Count = 0
    topics: list[TopicReading] | None = None
    memory: _Memory | None = None


_decoder = msgspec.json.Decoder(NodeReading)


def read(answer: bytes) -> NodeReading:
    """Reads the JSON of ``/stats?format=json``; raises BadAnswer for anything else."""
    try:
        return _decoder.decode(answer)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as e:
        raise BadAnswer(str(e)) from None


def latency_of(e2e: _E2e | None) -> Latency:
    """The latency as the rest of nsqadmin knows it."""
    if e2e is None or not (e2e.percentiles or e2e.count):
        return NO_LATENCY
    found = {
        p.quantile: Percentile(p.quantile, p.value, p.value, p.value)
        for p in e2e.percentiles or ()
        if abs(p.value) < _LARGEST and abs(p.quantile) < _LARGEST
    }
    return Latency(e2e.count, list(found.values()))
