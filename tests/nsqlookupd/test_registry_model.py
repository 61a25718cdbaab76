"""The registry beside a model that is nothing but sets of tuples, compared after every step.

The model is written as the reference tells it: a map from (category, key, subkey) to producers, searched
from end to end for every answer. It knows no objects and no order.
"""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
)

from nsqlookupd.peer import Peer
from nsqlookupd.registry import CLIENT, Client, Entry, Registry

INACTIVE_AFTER, TOMBSTONE_FOR = 50, 20
TOPICS = st.sampled_from(["t", "t-2", "t#ephemeral", "*"])
CHANNELS = st.sampled_from(["c", "d", "c#ephemeral", "*"])
NODES = st.sampled_from(["a", "b"])


class RegistryMachine(RuleBasedStateMachine):
    clients: Bundle[Client] = Bundle("clients")

    @initialize()
    def start(self) -> None:
        self.now = 1_000
        self.registry = Registry(
            inactive_after=INACTIVE_AFTER, tombstone_for=TOMBSTONE_FOR, clock=lambda: self.now
        )
        self.connections = 0
        self.alive: dict[Client, int] = {}
        self.entries: set[Entry] = set()
        self.carried: set[tuple[Entry, Client]] = set()
        self.tombstones: dict[tuple[str, Client], int] = {}

    # What happens.

    @rule(target=clients, node=NODES)
    def identify(self, node: str) -> Client:
        self.connections += 1
        client = self.registry.add(
            Peer(
                remote_address=f"10.0.0.1:{self.connections}",
                broadcast_address=node,
                tcp_port=1,
                http_port=2,
                version="1.3.0",
            )
        )
        self.alive[client] = self.now
        return client

    @rule(client=clients)
    def ping(self, client: Client) -> None:
        assert self.registry.ping(client) == self.now - self.alive[client]
        self.alive[client] = self.now

    @rule(client=clients, topic=TOPICS)
    def register_topic(self, client: Client, topic: str) -> None:
        self.check_register(client, [Entry("topic", topic, "")], self.registry.register(client, topic))

    @rule(client=clients, topic=TOPICS, channel=CHANNELS)
    def register_channel(self, client: Client, topic: str, channel: str) -> None:
        entries = [Entry("channel", topic, channel), Entry("topic", topic, "")]
        self.check_register(client, entries, self.registry.register(client, topic, channel))

    def check_register(self, client: Client, entries: list[Entry], reported: list[Entry]) -> None:
        assert reported == [entry for entry in entries if (entry, client) not in self.carried]
        self.entries.update(entries)
        self.carried.update((entry, client) for entry in entries)

    @rule(client=clients, topic=TOPICS)
    def unregister_topic(self, client: Client, topic: str) -> None:
        self.check_gone(client, self.entries_of(topic), self.registry.unregister(client, topic))

    @rule(client=clients, topic=TOPICS, channel=CHANNELS)
    def unregister_channel(self, client: Client, topic: str, channel: str) -> None:
        touched = {Entry("channel", topic, channel)} & self.entries
        self.check_gone(client, touched, self.registry.unregister(client, topic, channel))

    @rule(client=consumes(clients))
    def disconnect(self, client: Client) -> None:
        topics = {entry.key for entry, carrier in self.carried if carrier is client}
        touched = {entry for topic in topics for entry in self.entries_of(topic)}
        first, *reported = self.registry.remove(client)
        assert first == CLIENT
        del self.alive[client]
        self.check_gone(client, touched, reported)

    def check_gone(self, client: Client, touched: set[Entry], reported: list[Entry]) -> None:
        gone = {entry for entry in touched if (entry, client) in self.carried}
        assert sorted(reported) == sorted(gone)
        for entry in gone:
            self.carried.remove((entry, client))
            if entry.category == "topic":
                self.tombstones.pop((entry.key, client), None)
        for entry in touched:
            carried = any(other == entry for other, _ in self.carried)
            name = entry.key if entry.category == "topic" else entry.subkey
            if name.endswith("#ephemeral") and not carried:
                self.entries -= self.entries_of(entry.key) if entry.category == "topic" else {entry}

    def entries_of(self, topic: str) -> set[Entry]:
        return {entry for entry in self.entries if entry.key == topic}

    @rule(topic=TOPICS)
    def create_topic(self, topic: str) -> None:
        self.registry.create_topic(topic)
        self.entries.add(Entry("topic", topic, ""))

    @rule(topic=TOPICS, channel=CHANNELS)
    def create_channel(self, topic: str, channel: str) -> None:
        self.registry.create_channel(topic, channel)
        self.entries |= {Entry("topic", topic, ""), Entry("channel", topic, channel)}

    @rule(topic=TOPICS)
    def delete_topic(self, topic: str) -> None:
        gone = self.entries_of(topic)
        assert sorted(self.registry.delete_topic(topic)) == sorted(gone)
        self.forget(gone)
        self.tombstones = {key: at for key, at in self.tombstones.items() if key[0] != topic}

    @rule(topic=TOPICS, channel=CHANNELS)
    def delete_channel(self, topic: str, channel: str) -> None:
        gone = {Entry("channel", topic, channel)} & self.entries
        assert self.registry.delete_channel(topic, channel) == bool(gone)
        self.forget(gone)

    def forget(self, gone: set[Entry]) -> None:
        self.entries -= gone
        self.carried = {(entry, client) for entry, client in self.carried if entry not in gone}

    @rule(topic=TOPICS, node=NODES)
    def tombstone(self, topic: str, node: str) -> None:
        self.registry.tombstone(topic, f"{node}:2")
        for entry, client in self.carried:
            if entry == ("topic", topic, "") and client.peer.broadcast_address == node:
                self.tombstones[topic, client] = self.now

    @rule(steps=st.sampled_from([1, TOMBSTONE_FOR - 1, TOMBSTONE_FOR, INACTIVE_AFTER, INACTIVE_AFTER + 1]))
    def time_passes(self, steps: int) -> None:
        self.now += steps

    # What is answered.

    def active(self, client: Client) -> bool:
        return self.now - self.alive[client] <= INACTIVE_AFTER

    def hidden(self, topic: str, client: Client) -> bool:
        at = self.tombstones.get((topic, client))
        return at is not None and self.now - at < TOMBSTONE_FOR

    @invariant()
    def topics_and_channels_are_those_of_the_entries(self) -> None:
        topics = sorted(entry.key for entry in self.entries if entry.category == "topic")
        assert self.registry.topics() == topics
        for topic in ["t", "t-2", "t#ephemeral", "*", "unknown"]:
            channels = sorted(e.subkey for e in self.entries if e.category == "channel" and e.key == topic)
            assert self.registry.channels(topic) == channels
            producers = self.registry.lookup(topic)
            if topic not in topics:
                assert producers is None
                assert channels == []
            else:
                shown = {
                    client.peer
                    for entry, client in self.carried
                    if entry == ("topic", topic, "")
                    and self.active(client)
                    and not self.hidden(topic, client)
                }
                assert producers is not None
                assert len(producers) == len(shown)
                assert set(producers) == shown

    @invariant()
    def nodes_are_the_active_clients(self) -> None:
        nodes = {node.peer: node for node in self.registry.nodes()}
        assert set(nodes) == {client.peer for client in self.alive if self.active(client)}
        for client in self.alive:
            if self.active(client):
                node = nodes[client.peer]
                topics = sorted(e.key for e, c in self.carried if c is client and e.category == "topic")
                assert node.topics == topics
                assert node.tombstones == [self.hidden(topic, client) for topic in topics]

    @invariant()
    def the_dump_is_everything_that_is_carried(self) -> None:
        dump = self.registry.dump()
        shown = {(entry, p.peer, p.last_update, p.tombstoned_at) for entry, ps in dump.items() for p in ps}
        carried = self.carried | {(CLIENT, client) for client in self.alive}
        assert shown == {
            (
                entry,
                client.peer,
                self.alive[client],
                self.tombstones.get((entry.key, client)) if entry.category == "topic" else None,
            )
            for entry, client in carried
        }
        assert all(dump.values()), "an entry without a producer does not appear"


RegistryMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
test_the_registry_answers_as_the_model_does = RegistryMachine.TestCase
