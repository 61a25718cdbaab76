"""nsqd as dictionaries: what must be where after every command, told without queues, disks or timers.

The model does not decide which of several ready consumers gets a message, nor exactly when within its span
a time-out fires. It is told what happened (:meth:`Model.deliver`, :meth:`Model.leave`) and says whether
that could happen.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from nsqcore.names import is_ephemeral
from nsqd.frames import FRAME_OVERHEAD

SPAN = 0.05
"""A time-out may be late by so many seconds, by 1/256 of longer ones, and by twice that behind a TOUCH."""
EARLY = 0.001 + 1e-6
"""Deferred messages may be early by a tick of the loop's timers."""
EPSILON = 1e-6
NEVER = b"0" * 16


class Violation(AssertionError):
    """The broker did what it may not do."""


@dataclass
class Flight:
    """A message that a client holds, and when its time is over: not before, not after."""

    client: ClientModel
    delivered: float
    earliest: float
    latest: float


@dataclass(eq=False)
class ClientModel:
    """One connection."""

    name: str
    timeout: float
    state: int = 0
    channel: ChannelModel | None = None
    ready: int = 0
    blocked: bool = False
    doomed: bool = False
    """The end of its connection is due."""
    gone: bool = False
    finished: int = 0
    requeued: int = 0
    received: int = 0
    answers: list[bytes] = field(default_factory=list)
    """What it must be told next, errors with a ``!`` in front."""
    published: dict[str, int] = field(default_factory=dict)

    @property
    def span(self) -> float:
        return max(SPAN, self.timeout / 256)

    @property
    def held(self) -> list[Flight]:
        return [f for f in self.channel.flights.values() if f.client is self] if self.channel else []


class Line:
    """Fresh messages in order, the first of them in memory.

    A restart brings back some messages in no particular order: those stand in one set.
    """

    def __init__(self, *, ephemeral: bool) -> None:
        self.groups: list[set[str]] = []
        self.memory = 0
        self.ephemeral = ephemeral

    def __len__(self) -> int:
        return sum(map(len, self.groups))

    @property
    def on_disk(self) -> int:
        return len(self) - self.memory

    @property
    def groups_on_disk(self) -> list[set[str]]:
        """Those of which it is known that all of them are."""
        left = self.memory
        for n, group in enumerate(self.groups):
            if left <= 0:
                return self.groups[n:]
            left -= len(group)
        return []

    def put(self, keys: list[str], room: int) -> None:
        """Publishes messages, of which memory may hold so many in all."""
        fit = max(0, room - self.memory) if not self.on_disk else 0
        self.memory += min(fit, len(keys))
        self.groups += [{key} for key in (keys[:fit] if self.ephemeral else keys)]

    def take(self, key: str, *, dropped: bool) -> bool:
        """The message is delivered; False when it is not its turn. ``dropped``: those before it may be gone."""
        while dropped and self.groups and key not in self.groups[0]:
            del self.groups[0]
        if not self.groups or key not in self.groups[0]:
            return False
        self.groups[0].remove(key)
        if not self.groups[0]:
            del self.groups[0]
        self.memory = max(0, self.memory - 1)
        return True

    def restart(self, others: Iterable[str]) -> None:
        """What was in memory now stands behind what was on disk, and the rest behind that, in any order."""
        head: list[set[str]] = []
        groups = list(self.groups)
        left = self.memory
        while left > 0:
            if len(groups[0]) > left:  # which of them were in memory is not known
                head, groups = [], [set().union(*self.groups)]
                break
            left -= len(groups[0])
            head.append(groups.pop(0))
        self.groups = [group for group in (*groups, *head, set(others)) if group]
        self.memory = 0

    def keep_last(self, groups: list[set[str]], count: int) -> None:
        """So many of these are left, or come back."""
        left = sum(map(len, groups)) - count
        while left > 0 and groups:
            left -= len(groups.pop(0))
        self.groups = groups

    def clear(self) -> None:
        self.groups.clear()
        self.memory = 0


@dataclass(eq=False)
class ChannelModel:
    """One channel."""

    name: str
    topic: TopicModel
    line: Line
    deliveries: dict[str, int] = field(default_factory=dict)
    returned: set[str] = field(default_factory=set)
    flights: dict[str, Flight] = field(default_factory=dict)
    deferred: dict[str, float] = field(default_factory=dict)
    clients: list[ClientModel] = field(default_factory=list)
    paused: bool = False
    messages: int = 0
    requeues: int = 0
    timeouts: int = 0
    exact: bool = True
    """How much of the line is in memory follows from what was done; else the broker is asked."""

    def time_out(self, key: str) -> None:
        del self.flights[key]
        self.returned.add(key)
        self.timeouts += 1


@dataclass(eq=False)
class TopicModel:
    """One topic."""

    name: str
    line: Line
    channels: dict[str, ChannelModel] = field(default_factory=dict)
    deferred: dict[str, float] = field(default_factory=dict)
    paused: bool = False
    messages: int = 0
    size: int = 0
    drained: list[set[str]] = field(default_factory=list)
    """What it gave to its channels in this step."""

    @property
    def open(self) -> bool:
        """Messages go straight to the channels."""
        return bool(self.channels) and not self.paused and not self.line.groups and not self.deferred


class Model:
    """All of it. ``limit`` is the mem-queue-size, ``budget`` the bytes of memory for all queues together."""

    def __init__(self, *, limit: int, budget: int, longest: float) -> None:
        self.topics: dict[str, TopicModel] = {}
        self.sizes: dict[str, int] = {}
        """Bytes of each body that was published."""
        self.limit = limit
        self.budget = budget
        self.longest = longest
        self.used = 0
        """Bytes of queued messages in memory; told by the broker before each step."""
        self.held = False
        """The daemon is about to end: nothing more is delivered."""

    # -- topics and channels -----------------------------------------------------------------------

    def topic(self, name: str) -> TopicModel:
        if name not in self.topics:
            self.topics[name] = TopicModel(name, Line(ephemeral=is_ephemeral(name)))
        return self.topics[name]

    def channel(self, topic: TopicModel, name: str) -> ChannelModel:
        if name not in topic.channels:
            line = Line(ephemeral=is_ephemeral(name) or is_ephemeral(topic.name))
            topic.channels[name] = ChannelModel(name, topic, line)
        return topic.channels[name]

    def delete_topic(self, topic: TopicModel) -> None:
        del self.topics[topic.name]
        for channel in topic.channels.values():
            self._end(channel)

    def delete_channel(self, channel: ChannelModel) -> None:
        topic = channel.topic
        del topic.channels[channel.name]
        self._end(channel)
        if not topic.channels and is_ephemeral(topic.name):
            self.delete_topic(topic)

    def _end(self, channel: ChannelModel) -> None:
        for client in channel.clients:
            client.doomed = True
            client.channel = None
        channel.clients.clear()

    def empty_topic(self, topic: TopicModel) -> None:
        topic.line.clear()
        topic.deferred.clear()

    def empty_channel(self, channel: ChannelModel) -> None:
        channel.line.clear()
        channel.returned.clear()
        channel.flights.clear()
        channel.deferred.clear()

    # -- publishing --------------------------------------------------------------------------------

    def publish(self, name: str, keys: list[str]) -> None:
        """Messages that are published together."""
        topic = self.topic(name)
        if topic.open:
            for channel in topic.channels.values():
                self._put(channel, keys)
        else:
            topic.line.put(keys, self._room(topic.line, keys))
        self._count(topic, keys)

    def defer(self, name: str, key: str, due: float) -> None:
        topic = self.topic(name)
        if topic.open:
            for channel in topic.channels.values():
                channel.deferred[key] = due
                channel.messages += 1
        else:
            topic.deferred[key] = due
        self._count(topic, [key])

    def _count(self, topic: TopicModel, keys: list[str]) -> None:
        topic.messages += len(keys)
        topic.size += sum(self.sizes[key] for key in keys)

    def _put(self, channel: ChannelModel, keys: list[str]) -> None:
        channel.line.put(keys, self._room(channel.line, keys))
        channel.messages += len(keys)

    def _room(self, line: Line, keys: list[str]) -> int:
        sizes = [self.sizes[key] + FRAME_OVERHEAD for key in keys]
        if self.used + sum(sizes) > self.budget or line.on_disk:
            return 0
        self.used += sum(sizes[: max(0, self.limit - line.memory)])
        return self.limit

    def drain(self) -> None:
        """Topics that may now give what they gathered to their channels do so."""
        for topic in self.topics.values():
            if not topic.channels or topic.paused or topic.open:
                continue
            topic.drained = [set(group) for group in topic.line.groups]
            for channel in topic.channels.values():
                channel.deferred |= topic.deferred
                channel.messages += len(topic.line) + len(topic.deferred)
                channel.line.groups += [set(group) for group in topic.line.groups]
                channel.exact = False
            self.empty_topic(topic)

    # -- what consumers get and do -----------------------------------------------------------------

    def deliver(self, client: ClientModel, key: str, attempts: int, now: float) -> None:
        """The client was sent this message."""
        channel = client.channel
        if channel is None or client.state != 3:
            raise Violation(f"{client.name} is not subscribed and was sent {key}")
        if channel.paused or client.blocked or self.held:
            raise Violation(f"{key} was delivered in spite of a pause, or to a client that does not read")
        if sum(f.earliest > now + EPSILON for f in client.held) >= client.ready:
            raise Violation(f"{client.name} has RDY {client.ready}, holds as many, and was sent {key}")
        flight, due = channel.flights.get(key), channel.deferred.get(key)
        if flight is not None:
            if now < flight.earliest - EPSILON:
                raise Violation(f"{key} timed out {flight.earliest - now} s early")
            channel.time_out(key)
        elif due is not None:
            if now < due - EARLY:
                raise Violation(f"{key} was deferred and came {due - now} s early")
            del channel.deferred[key]
            channel.returned.add(key)
        if key in channel.returned:
            channel.returned.remove(key)
        elif not channel.line.take(key, dropped=channel.line.ephemeral and not channel.exact):
            raise Violation(f"it was not the turn of {key}: {channel.line.groups} wait")
        channel.deliveries[key] = channel.deliveries.get(key, 0) + 1
        if attempts != channel.deliveries[key]:
            raise Violation(f"{key} says {attempts} attempts, it had {channel.deliveries[key]}")
        over = now + client.timeout
        channel.flights[key] = Flight(client, now, over, over + client.span)
        client.received += 1

    def leave(self, client: ClientModel) -> None:
        """The client's connection ended: others get what it held."""
        client.gone = True
        channel, client.channel = client.channel, None
        if channel is None:
            return
        channel.clients.remove(client)
        for key in [key for key, flight in channel.flights.items() if flight.client is client]:
            del channel.flights[key]
            channel.returned.add(key)
        if not channel.clients and is_ephemeral(channel.name):
            self.delete_channel(channel)

    def why_not_held(self, client: ClientModel, key: str | None) -> str | None:
        """None when the client holds the message, else the words of the error."""
        flight = client.channel.flights.get(key) if client.channel and key is not None else None
        if flight is None:
            return "ID not in flight"
        return None if flight.client is client else "client does not own message"

    def finish(self, client: ClientModel, key: str) -> None:
        assert client.channel is not None
        del client.channel.flights[key]
        client.finished += 1

    def requeue(self, client: ClientModel, key: str, due: float | None) -> None:
        channel = client.channel
        assert channel is not None
        del channel.flights[key]
        client.requeued += 1
        channel.requeues += 1
        if due is None:
            channel.returned.add(key)
        else:
            channel.deferred[key] = due

    def touch(self, client: ClientModel, key: str, now: float) -> None:
        assert client.channel is not None
        flight = client.channel.flights[key]
        flight.earliest = min(now + client.timeout, flight.delivered + self.longest)
        flight.latest = flight.earliest + 2 * client.span

    # -- restart -----------------------------------------------------------------------------------

    def restart(self) -> None:
        """The daemon ended in order and came back: ephemeral things are gone, all the rest waits."""
        self.held = False
        self.topics = {name: t for name, t in self.topics.items() if not is_ephemeral(name)}
        for topic in self.topics.values():
            topic.messages = topic.size = 0
            topic.line.restart(())
            topic.channels = {n: c for n, c in topic.channels.items() if not is_ephemeral(n)}
            for channel in topic.channels.values():
                channel.line.restart([*channel.returned, *channel.flights])
                channel.returned.clear()
                channel.flights.clear()
                channel.clients.clear()
                channel.messages = channel.requeues = channel.timeouts = 0
