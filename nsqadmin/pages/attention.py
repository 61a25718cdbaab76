"""What an operator should look at, worst first, each in one sentence with its numbers. Pure.

Judged are the newest sample and the last minutes before it: a single bad second is no news, and a backlog that
shrinks is on its way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

from nsqadmin.history.series import Key, Metric, Series
from nsqadmin.history.snapshot import ChannelNow, Figures, NodeNow, Snapshot, TopicNow
from nsqadmin.web.charts import rate as per_second
from nsqadmin.web.html import span
from nsqcore.names import is_ephemeral

WINDOW_S = 600.0
"""How far back a trend is looked for."""
TREND_POINTS = 20
LEAST_GROWTH = 50
"""Messages by which a queue must have grown before it is said to grow."""
REQUEUE_SHARE = 0.1
TIMEOUT_SHARE = 0.01
LEAST_RATE = 0.2
"""Requeues or time-outs per second below which nobody is told."""

Past = Callable[[Key, Metric, float, int], Series]
"""As :meth:`nsqadmin.history.series.History.series`."""


class Severity(IntEnum):
    """How soon somebody should look."""

    NOTE = 1
    """It may be meant so."""
    WARNING = 2
    """It gets worse if nobody does anything."""
    FAILURE = 3
    """Something is broken now."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to look at. ``name`` links to the page at ``path``; ``text`` goes on after it."""

    severity: Severity
    name: str
    path: tuple[str, ...]
    text: str
    weight: float = 0.0
    """The heavier of two that are equally severe comes first."""

    @property
    def word(self) -> str:
        """For those who do not see the colour."""
        return {Severity.NOTE: "note", Severity.WARNING: "warning", Severity.FAILURE: "failure"}[
            self.severity
        ]


def findings(snapshot: Snapshot, past: Past) -> list[Finding]:
    """Everything to look at, worst first."""
    found = [*_daemons(snapshot)]
    for topic in snapshot.topics.values():
        found += _topic(topic, past)
        for channel in topic.channels:
            found += _channel(channel, past)
    return sorted(found, key=lambda one: (-one.severity, -one.weight, one.name))


def growth(series: Series) -> float:
    """Messages per second by which a queue has grown, steadily; 0 when it has not.

    Steadily: over the window as a whole, and over its newest third.
    """
    known = [(i * series.step, value) for i, value in enumerate(series.values) if value is not None]
    if len(known) < 4:
        return 0.0
    third = known[len(known) * 2 // 3 :]
    whole = known[-1][1] - known[0][1]
    if whole < LEAST_GROWTH or third[-1][1] <= third[0][1] or known[-1][0] == known[0][0]:
        return 0.0
    return whole / (known[-1][0] - known[0][0])


def _daemons(snapshot: Snapshot) -> Iterator[Finding]:
    for lookupd in snapshot.lookupds:
        if lookupd.problem is not None:
            ago = span(snapshot.at - lookupd.silent_since)
            text = f"is a nsqlookupd that has not answered for {ago}: {lookupd.problem.reason}"
            yield Finding(Severity.FAILURE, lookupd.address, ("lookup",), text, 1e12)
    answering = sum(lookupd.problem is None for lookupd in snapshot.lookupds)
    for node in snapshot.nodes:
        yield from _node(node, snapshot.at, answering)
    yield from _versions([node for node in snapshot.nodes if not node.gone])


def _node(node: NodeNow, at: float, answering: int) -> Iterator[Finding]:
    name, path = node.node.name, ("nodes", node.node.name)
    if node.gone:
        text = f"is gone: no nsqlookupd has named it for {span(at - node.silent_since)}"
        yield Finding(Severity.FAILURE, name, ("nodes",), text, 1e10)
    elif node.problem is not None:
        text = f"is a nsqd that has not answered for {span(at - node.silent_since)}: {node.problem.reason}"
        yield Finding(Severity.FAILURE, name, path, text, 1e11)
    elif node.health not in ("", "OK"):
        yield Finding(Severity.FAILURE, name, path, f"says that it is not well: {node.health}", 1e9)
    known_to = len(node.node.remote_addresses)
    if not node.gone and known_to and known_to < answering:
        text = f"is registered with {known_to} of {answering} nsqlookupds: some consumers do not find it"
        yield Finding(Severity.WARNING, name, path, text, 1e8)


def _versions(nodes: Sequence[NodeNow]) -> Iterator[Finding]:
    old = [node for node in nodes if node.node.out_of_date]
    if old:
        newest = next((node.node.version for node in nodes if not node.node.out_of_date), "")
        versions = ", ".join(sorted({node.node.version or "unknown" for node in old}))
        text = f"behind the newest version, {newest}: {versions}"
        yield Finding(Severity.NOTE, _count(len(old), "node"), ("nodes",), text)


def _topic(topic: TopicNow, past: Past) -> Iterator[Finding]:
    name, path = topic.topic_name, ("topics", topic.topic_name)
    if topic.paused_nodes:
        where = _on(topic.paused_nodes, topic.nodes)
        text = f"is paused{where}; {_count(topic.depth, 'message')} waiting in the topic"
        yield Finding(Severity.NOTE, name, path, text, topic.depth)
    elif topic.depth and not topic.channels:
        text = f"has no channel; {_count(topic.depth, 'message')} waiting for the first one"
        yield Finding(Severity.WARNING, name, path, text, topic.depth)


def _channel(channel: ChannelNow, past: Past) -> Iterator[Finding]:
    name = f"{channel.topic_name}/{channel.channel_name}"
    path = ("topics", channel.topic_name, channel.channel_name)
    waiting = f"{_count(channel.depth, 'message')} waiting"
    grows = 0.0
    if channel.depth >= LEAST_GROWTH:
        key = Key("channel", channel.topic_name, channel.channel_name)
        grows = growth(past(key, Metric.DEPTH, WINDOW_S, TREND_POINTS))
    growing = f", {per_second(grows)} more" if grows else ""
    if channel.paused_nodes:
        text = f"is paused{_on(channel.paused_nodes, channel.nodes)}; {waiting}{growing}"
        yield Finding(Severity.WARNING if grows else Severity.NOTE, name, path, text, channel.depth)
    elif not channel.client_count and channel.depth and not is_ephemeral(channel.channel_name):
        yield Finding(Severity.WARNING, name, path, f"has no consumer; {waiting}{growing}", channel.depth)
    elif grows:
        consumers = _count(channel.client_count, "consumer")
        yield Finding(
            Severity.WARNING, name, path, f"falls behind: {waiting}{growing}, with {consumers}", channel.depth
        )
    yield from _trouble(channel, name, path)


def _trouble(figures: Figures, name: str, path: tuple[str, ...]) -> Iterator[Finding]:
    rates = figures.rates
    finished, requeued, timed_out = rates.finished or 0.0, rates.requeued or 0.0, rates.timed_out or 0.0
    handled = finished + requeued + timed_out
    if requeued > LEAST_RATE and requeued > REQUEUE_SHARE * handled:
        text = f"has {requeued / handled:.0%} of its messages requeued, {per_second(requeued)}"
        yield Finding(Severity.WARNING, name, path, text, requeued)
    if timed_out > LEAST_RATE and timed_out > TIMEOUT_SHARE * handled:
        text = f"has {timed_out / handled:.0%} of its messages time out, {per_second(timed_out)}"
        yield Finding(Severity.WARNING, name, path, text, timed_out)


def _on(some: int, of: int) -> str:
    return f" on {some} of {of} nodes" if some < of else ""


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
