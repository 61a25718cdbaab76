"""What statsd is told: keys, lines and packets, exactly the original's (nsqd reference, section 7). Pure.

A :class:`Report` remembers what it told last, because counters are told as increases.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from nsqcore.addresses import HostPort
from nsqcore.names import is_ephemeral
from nsqd.channel import Channel
from nsqd.statistics.stats import latency_of
from nsqd.topic import Topic


def resolved_prefix(template: str, host: str, port: int) -> str:
    """The prefix of all keys: ``%s`` is this node's address, and it ends in a dot unless it is empty."""
    # Go's JoinHostPort puts brackets around an IPv6 address, and they stay.
    prefix = template.replace("%s", str(HostPort(host, port)).replace(".", "_").replace(":", "_"))
    return prefix if not prefix or prefix.endswith(".") else prefix + "."


def latency_names(quantiles: Sequence[float]) -> list[str]:
    """What keys call these quantiles: ``99``, ``100``.

    The original rounds to whole percents, so that 0.995 is told under the key of 1.0. Where two would share
    a name, those that are no whole percent get all their digits: ``99_5``.
    """
    rounded = [f"{quantile * 100:.0f}" for quantile in quantiles]
    taken = Counter(rounded)
    names = []
    for quantile, name in zip(quantiles, rounded, strict=True):
        digits = f"{quantile * 100:.10g}"
        names.append(name if taken[name] == 1 or digits == name else digits.replace(".", "_"))
    return names


class Packets:
    """Lines on their way into packets of at most ``size`` bytes that begin and end with a line.

    A longer line has a packet to itself.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._full: list[bytes] = []
        self._open = bytearray()

    def add(self, lines: Iterable[str]) -> None:
        """The next lines."""
        for line in lines:
            data = line.encode()
            if self._open and len(self._open) + len(data) > self._size:
                self._close()
            self._open += data

    def finish(self) -> list[bytes]:
        """All packets; no more lines come."""
        if self._open:
            self._close()
        return self._full

    def _close(self) -> None:
        self._full.append(bytes(self._open))
        self._open.clear()


class Report:
    """The lines of one push after another. :meth:`begin` a push, ask for each topic, then for memory."""

    def __init__(self, prefix: str, quantiles: Sequence[float], *, exclude_ephemeral: bool) -> None:
        self._prefix = prefix
        self._latency_names = latency_names(quantiles)
        self._exclude_ephemeral = exclude_ephemeral
        # By the thing itself and not by its name: one that was deleted and made again counts from 0, where
        # the original tells a negative increase.
        self._told: dict[Topic | Channel, tuple[int, ...]] = {}
        self._last: dict[Topic | Channel, tuple[int, ...]] = {}
        self._collections = 0

    def begin(self) -> None:
        """The next push: what is gone since is forgotten."""
        self._last, self._told = self._told, {}

    def topic(self, topic: Topic) -> Iterator[str]:
        """The lines of a topic and its channels, these in the order of their names."""
        if self._exclude_ephemeral and is_ephemeral(topic.name):
            return
        key = f"{self._prefix}topic.{topic.name}."
        messages, size = self._increases(topic, topic.message_count, topic.message_bytes)
        yield f"{key}message_count:{messages}|c\n"
        yield f"{key}message_bytes:{size}|c\n"
        yield f"{key}depth:{topic.depth}|g\n"
        yield f"{key}backend_depth:{topic.queue.backend_depth}|g\n"
        yield from self._latencies(key, topic.channels.values())
        for channel in sorted(topic.channels.values(), key=lambda channel: channel.name):
            if not (self._exclude_ephemeral and is_ephemeral(channel.name)):
                yield from self._channel(f"{key}channel.{channel.name}.", channel)

    def _channel(self, key: str, channel: Channel) -> Iterator[str]:
        messages, requeues, timeouts = self._increases(
            channel, channel.message_count, channel.requeue_count, channel.timeout_count
        )
        yield f"{key}message_count:{messages}|c\n"
        yield f"{key}depth:{channel.depth}|g\n"
        yield f"{key}backend_depth:{channel.queue.backend_depth}|g\n"
        yield f"{key}in_flight_count:{channel.in_flight_count}|g\n"
        yield f"{key}deferred_count:{len(channel.deferred)}|g\n"
        yield f"{key}requeue_count:{requeues}|c\n"
        yield f"{key}timeout_count:{timeouts}|c\n"
        yield f"{key}clients:{len(channel.clients)}|g\n"
        yield from self._latencies(key, (channel,))

    def memory(self, figures: Mapping[str, int]) -> Iterator[str]:
        """The lines of memory; ``figures`` are those of :class:`nsqd.memory.Memory`."""
        for name, value in figures.items():
            if name == "gc_total_runs":
                yield f"{self._prefix}mem.gc_runs:{value - self._collections}|c\n"
                self._collections = value
            else:
                yield f"{self._prefix}mem.{name}:{value}|g\n"

    def _increases(self, of: Topic | Channel, *counts: int) -> Iterable[int]:
        last = self._last.get(of)
        self._told[of] = counts
        return counts if last is None else [now - then for now, then in zip(counts, last, strict=True)]

    def _latencies(self, key: str, channels: Iterable[Channel]) -> Iterator[str]:
        _, values = latency_of(channels)
        if values:
            for name, (_, value) in zip(self._latency_names, values, strict=True):
                yield f"{key}e2e_processing_latency_{name}:{value}|g\n"
