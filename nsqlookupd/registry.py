"""Who produces what: topics, their channels, and the nsqd that carry them. No I/O, and the clock is given.

A topic or channel exists from its first mention on and stays when its producers leave, except
``#ephemeral`` ones, which go with their last producer. Producers are left out of answers, not removed,
while they are silent or under a tombstone: the next PING brings the former back, time the latter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from nsqcore.names import is_ephemeral
from nsqlookupd.peer import Peer


class Entry(NamedTuple):
    """What can be registered, as the log and ``/debug`` name it."""

    category: str
    """``client``, ``topic`` or ``channel``."""
    key: str
    subkey: str

    def __str__(self) -> str:
        return f"category:{self.category} key:{self.key} subkey:{self.subkey}"


CLIENT = Entry("client", "", "")


class Client:
    """One connection of a nsqd. Two connections are two clients, even when they claim one address."""

    def __init__(self, peer: Peer, now: int) -> None:
        self.peer = peer
        self.last_update = now
        """When it was last heard of, by the registry's clock."""
        self.topics: set[str] = set()


class Producer(NamedTuple):
    """A client's place in an entry, for ``/debug``."""

    peer: Peer
    last_update: int
    tombstoned_at: int | None


class Node(NamedTuple):
    """A client and what it carries, for ``/nodes``."""

    peer: Peer
    topics: list[str]
    tombstones: list[bool]
    """Whether it is hidden from the topic of the same position."""


class _Topic:
    def __init__(self) -> None:
        self.producers: dict[Client, int | None] = {}
        """When each was put under a tombstone, if it was."""
        self.channels: dict[str, set[Client]] = {}


class Registry:
    """All that a nsqlookupd knows.

    ``clock`` counts nanoseconds and never goes back. A client is left out of answers when it has been
    silent for more than ``inactive_after`` ns, and out of one topic's for less than ``tombstone_for`` ns.
    """

    def __init__(self, *, inactive_after: int, tombstone_for: int, clock: Callable[[], int]) -> None:
        self.inactive_after = inactive_after
        self.tombstone_for = tombstone_for
        self.clock = clock
        self._clients: set[Client] = set()
        self._topics: dict[str, _Topic] = {}

    # Clients and what they register. What is returned has changed by the call, in the order of the log.

    def add(self, peer: Peer) -> Client:
        """A client has identified itself."""
        client = Client(peer, self.clock())
        self._clients.add(client)
        return client

    def ping(self, client: Client) -> int:
        """A client is alive; returns the nanoseconds since it was last heard."""
        last, client.last_update = client.last_update, self.clock()
        return client.last_update - last

    def register(self, client: Client, name: str, channel: str = "") -> list[Entry]:
        """The client carries the topic, and the channel unless that is empty.

        Registering again changes nothing: it does not lift a tombstone.
        """
        new = []
        topic = self._topics.setdefault(name, _Topic())
        if channel:
            clients = topic.channels.setdefault(channel, set())
            if client not in clients:
                clients.add(client)
                new.append(Entry("channel", name, channel))
        if client not in topic.producers:
            topic.producers[client] = None
            client.topics.add(name)
            new.append(Entry("topic", name, ""))
        return new

    def unregister(self, client: Client, name: str, channel: str = "") -> list[Entry]:
        """The client no longer carries the channel; without one, the topic and all its channels."""
        topic = self._topics.get(name)
        if topic is None:
            return []
        gone = []
        for each in [channel] if channel else sorted(topic.channels):
            clients = topic.channels.get(each)
            if clients is None:
                continue
            carried = client in clients
            if carried:
                clients.remove(client)
                gone.append(Entry("channel", name, each))
            if (carried or channel) and not clients and is_ephemeral(each):  # else it never had a producer
                del topic.channels[each]
        if not channel:
            if client in topic.producers:
                del topic.producers[client]
                client.topics.remove(name)
                gone.append(Entry("topic", name, ""))
            if not topic.producers and is_ephemeral(name):
                del self._topics[name]
        return gone

    def remove(self, client: Client) -> list[Entry]:
        """The client's connection has ended."""
        self._clients.discard(client)
        gone = [CLIENT]
        for name in sorted(client.topics):
            gone += self.unregister(client, name)
        return gone

    # What people and tools change over HTTP.

    def create_topic(self, name: str) -> None:
        """The topic exists, if only in name."""
        self._topics.setdefault(name, _Topic())

    def create_channel(self, name: str, channel: str) -> None:
        """The channel exists, and its topic."""
        self._topics.setdefault(name, _Topic()).channels.setdefault(channel, set())

    def delete_topic(self, name: str) -> list[Entry]:
        """The topic and its channels are forgotten, until a nsqd registers them again."""
        topic = self._topics.pop(name, None)
        if topic is None:
            return []
        for client in topic.producers:
            client.topics.remove(name)
        return [*(Entry("channel", name, each) for each in sorted(topic.channels)), Entry("topic", name, "")]

    def delete_channel(self, name: str, channel: str) -> bool:
        """The channel is forgotten; False when there is none."""
        topic = self._topics.get(name)
        return topic is not None and topic.channels.pop(channel, None) is not None

    def tombstone(self, name: str, node: str) -> None:
        """Hides the topic's producers at ``node`` from its consumers, while the topic is deleted there."""
        topic = self._topics.get(name)
        if topic is not None:
            now = self.clock()
            hidden = [client for client in topic.producers if client.peer.node == node]
            topic.producers.update(dict.fromkeys(hidden, now))

    # Answers, sorted.

    def topics(self) -> list[str]:
        """The names of all topics."""
        return sorted(self._topics)

    def channels(self, name: str) -> list[str]:
        """The names of the topic's channels; none for an unknown topic."""
        topic = self._topics.get(name)
        return sorted(topic.channels) if topic else []

    def lookup(self, name: str) -> list[Peer] | None:
        """Where the topic can be consumed now; None when there is no such topic."""
        topic = self._topics.get(name)
        if topic is None:
            return None
        now = self.clock()
        return _sorted(
            client.peer
            for client, buried in topic.producers.items()
            if self._active(client, now) and not self._hidden(buried, now)
        )

    def nodes(self) -> list[Node]:
        """The active clients and what they carry."""
        now = self.clock()
        nodes = []
        for client in self._clients:
            if self._active(client, now):
                topics = sorted(client.topics)
                hidden = [self._hidden(self._topics[name].producers[client], now) for name in topics]
                nodes.append(Node(client.peer, topics, hidden))
        return sorted(nodes, key=lambda node: _order(node.peer))

    def dump(self) -> dict[Entry, list[Producer]]:
        """Everything that has a producer, whether it shows in other answers or not; sorted as ``a:b:c``."""
        found: dict[Entry, list[Producer]] = {}
        if self._clients:
            found[CLIENT] = _producers(dict.fromkeys(self._clients))
        for name, topic in self._topics.items():
            if topic.producers:
                found[Entry("topic", name, "")] = _producers(topic.producers)
            for channel, clients in topic.channels.items():
                if clients:
                    found[Entry("channel", name, channel)] = _producers(dict.fromkeys(clients))
        return dict(sorted(found.items(), key=lambda item: ":".join(item[0])))

    def _active(self, client: Client, now: int) -> bool:
        return now - client.last_update <= self.inactive_after

    def _hidden(self, tombstoned_at: int | None, now: int) -> bool:
        return tombstoned_at is not None and now - tombstoned_at < self.tombstone_for


def _order(peer: Peer) -> tuple[str, int, int, str]:
    return peer.broadcast_address, peer.tcp_port, peer.http_port, peer.remote_address


def _sorted(peers: Iterable[Peer]) -> list[Peer]:
    return sorted(peers, key=_order)


def _producers(clients: dict[Client, int | None]) -> list[Producer]:
    found = [Producer(client.peer, client.last_update, buried) for client, buried in clients.items()]
    return sorted(found, key=lambda producer: _order(producer.peer))
