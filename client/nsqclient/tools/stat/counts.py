"""From what nsqds tell of a topic's channels to the totals of a row. Pure: no clock, no sockets.

nsqd counts from its own start, and each one is asked at its own moment. So a rate is worked out for each
nsqd by itself, from its last two readings and the time between these, and then added up:

- one that has no earlier reading, or was started anew in between, adds to the depths and to no rate;
- one that was away adds, when it is back, its average rate since it was last heard.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from nsqclient.http.answers import ChannelStats, Stats
from nsqcore.names import valid_name


@dataclass(frozen=True, slots=True)
class Reading:
    """What one nsqd told of one topic."""

    node: str
    """Its HTTP address."""
    at: float
    """Seconds of any steady clock."""
    start_time: int
    """Unix seconds at which this nsqd was started."""
    channels: Mapping[str, ChannelStats]


def reading(node: str, at: float, stats: Stats, topic: str) -> Reading:
    """The reading of an answer; without channels if this nsqd does not have the topic.

    A name that is no channel's is left out: it would come from no nsqd, and might steer the terminal.
    """
    found = stats.topic(topic)
    channels = {} if found is None else {c.channel_name: c for c in found.channels}
    return Reading(node, at, stats.start_time, {n: c for n, c in channels.items() if valid_name(n)})


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """The totals of a channel over all nsqds that answered and have it."""

    channel: str
    ingress: float | None
    """Messages per second that came from the topic; None when no nsqd has been heard twice."""
    egress: float | None
    """Messages per second that left the depth; below 0 when more were requeued than handed out."""
    depth: int
    memory_depth: int
    backend_depth: int
    in_flight_count: int
    deferred_count: int
    requeue_count: int
    """Since the nsqds were started, as the next two."""
    timeout_count: int
    message_count: int
    client_count: int
    """Consumers connected now."""
    paused: bool
    """On any nsqd."""
    nodes: int
    """Nsqds that are counted."""


class Rates:
    """Remembers the last reading of each nsqd, to tell the next one's rates."""

    def __init__(self) -> None:
        self._last: dict[str, Reading] = {}

    def rows(self, readings: Sequence[Reading], channels: Iterable[str]) -> list[Row]:
        """A row for each of these channels that some nsqd has, and the readings remembered."""
        found = [(name, [r for r in readings if name in r.channels]) for name in channels]
        rows = [self._row(name, having) for name, having in found if having]
        self._last.update((r.node, r) for r in readings)
        return rows

    def forget(self, nodes: Iterable[str]) -> None:
        """These are not asked any more."""
        for node in nodes:
            self._last.pop(node, None)

    def _row(self, channel: str, readings: Sequence[Reading]) -> Row:
        stats = [r.channels[channel] for r in readings]
        flows = [flow for r in readings if (flow := self._flow(channel, r)) is not None]
        depth = sum(s.depth for s in stats)
        backend_depth = sum(s.backend_depth for s in stats)
        return Row(
            channel=channel,
            ingress=sum(came for came, _ in flows) if flows else None,
            egress=sum(left for _, left in flows) if flows else None,
            depth=depth,
            memory_depth=depth - backend_depth,
            backend_depth=backend_depth,
            in_flight_count=sum(s.in_flight_count for s in stats),
            deferred_count=sum(s.deferred_count for s in stats),
            requeue_count=sum(s.requeue_count for s in stats),
            timeout_count=sum(s.timeout_count for s in stats),
            message_count=sum(s.message_count for s in stats),
            client_count=sum(s.client_count for s in stats),
            paused=any(s.paused for s in stats),
            nodes=len(stats),
        )

    def _flow(self, channel: str, now: Reading) -> tuple[float, float] | None:
        """Messages per second that came to a nsqd's channel and left it; None when there is nothing to compare."""
        last = self._last.get(now.node)
        if last is None or channel not in last.channels or last.start_time != now.start_time:
            return None
        before, after = last.channels[channel], now.channels[channel]
        came = after.message_count - before.message_count
        elapsed = now.at - last.at
        if came < 0 or elapsed <= 0:  # deleted and made anew in between
            return None
        return came / elapsed, (came - (after.depth - before.depth)) / elapsed
