"""What graphite is asked for: the keys that nsqd's figures have there, and expressions over them. Pure.

nsqd pushes ``PREFIX.topic.T.depth`` and the like to statsd, with its own address in the prefix; statsd puts its
format for gauges or counters around that and drops some characters. All expressions are built from inside out:
the format belongs around a key, functions around the format.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

ALL = "*"
"""Stands for any node, topic or channel in a key."""
_DROPPED = re.compile(r"[^a-zA-Z0-9_.-]")


class Naming(NamedTuple):
    """How the keys are named: see the options of the same names."""

    counter_format: str = "stats.counters.%s.count"
    gauge_format: str = "stats.gauges.%s"
    prefix: str = "nsq.%s"
    interval: int = 60
    """Seconds between two pushes of a nsqd: what a counter counts in one of its values."""

    def gauge(self, node: str, key: str) -> str:
        """A figure of a node, ``host:port``, or of any."""
        return self.gauge_format.replace("%s", self._prefix(node) + key)

    def counter(self, node: str, key: str) -> str:
        """A count of a node, ``host:port``, or of any."""
        return self.counter_format.replace("%s", self._prefix(node) + key)

    def _prefix(self, node: str) -> str:
        host = node if node == ALL else clean(re.sub("[.:]", "_", node))
        prefix = self.prefix.replace("%s", host)
        return f"{prefix}." if prefix and not prefix.endswith(".") else prefix


class Graph(NamedTuple):
    """A picture to ask for."""

    title: str
    targets: tuple[str, ...]
    colours: str
    """Names, separated by commas: one per line, and again from the first."""


def clean(name: str) -> str:
    """A topic's or channel's name as statsd leaves it in a key."""
    return _DROPPED.sub("", name.replace(" ", "_").replace("/", "-"))


def rate_of(naming: Naming, target: str) -> str:
    """A count per second."""
    return f"scale({target},{1 / naming.interval:.8g})"


def total(target: str) -> str:
    """All series that a key with ``*`` stands for, as one."""
    return f"sumSeries({target})"


def of_topic(naming: Naming, topic: str, node: str = ALL, quantiles: Sequence[float] = ()) -> list[Graph]:
    """Of a topic on one node or on all; with ``quantiles`` its latency, too."""
    key = f"topic.{clean(topic)}."
    return [
        Graph("Depth", (total(naming.gauge(node, f"{key}depth")),), "red"),
        Graph("Messages per second", (rate_of(naming, total(naming.counter(node, f"{key}message_count"))),), "blue"),
        *_latency(naming, node, key, quantiles),
    ]  # fmt: skip


def of_channel(
    naming: Naming, topic: str, channel: str, node: str = ALL, quantiles: Sequence[float] = ()
) -> list[Graph]:
    """Of a channel on one node or on all; with ``quantiles`` its latency, too."""
    key = f"topic.{clean(topic)}.channel.{clean(channel)}."

    def gauge(title: str, name: str, colour: str = "blue") -> Graph:
        return Graph(title, (total(naming.gauge(node, key + name)),), colour)

    def counter(title: str, name: str) -> Graph:
        return Graph(title, (rate_of(naming, total(naming.counter(node, key + name))),), "blue")

    return [
        gauge("Depth", "depth", "red"),
        gauge("In flight", "in_flight_count"),
        gauge("Deferred", "deferred_count", "red"),
        counter("Messages per second", "message_count"),
        counter("Requeued per second", "requeue_count"),
        counter("Timed out per second", "timeout_count"),
        gauge("Clients", "clients"),
        *_latency(naming, node, key, quantiles),
    ]


def of_node(naming: Naming, node: str) -> list[Graph]:
    """Of a node's memory."""
    colours = "red,green,blue,purple"
    return [
        Graph("Memory, bytes", (naming.gauge(node, "mem.*_bytes"),), colours),
        Graph("Objects in memory", (naming.gauge(node, "mem.heap_objects"),), colours),
        Graph("Pauses of garbage collection, µs", (naming.gauge(node, "mem.gc_pause_*"),), colours),
        Graph(
            "Runs of garbage collection per second",
            (rate_of(naming, f"movingAverage({naming.counter(node, 'mem.gc_runs')},45)"),),
            colours,
        ),
    ]


def of_counter(naming: Naming) -> list[Graph]:
    """All that went into channels."""
    return [
        Graph(
            "Messages per second",
            (rate_of(naming, total(naming.counter(ALL, "topic.*.channel.*.message_count"))),),
            "green",
        )
    ]


def _latency(naming: Naming, node: str, key: str, quantiles: Iterable[float]) -> list[Graph]:
    """One line per quantile, in milliseconds: nsqd pushes nanoseconds."""
    targets = []
    for quantile in quantiles:
        target = naming.gauge(node, f"{key}e2e_processing_latency_{quantile * 100:.0f}")
        targets.append(f"scale({f'averageSeries({target})' if node == ALL else target},0.000001)")
    return [Graph("Latency, ms", tuple(targets), "blue,green,purple,red")] if targets else []
