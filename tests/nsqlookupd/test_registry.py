from __future__ import annotations

import pytest

from nsqcore.durations import NS_PER_S
from nsqlookupd.peer import Peer
from nsqlookupd.registry import CLIENT, Client, Entry, Registry

INACTIVE_AFTER = 300 * NS_PER_S
TOMBSTONE_FOR = 45 * NS_PER_S


class Clock:
    def __init__(self) -> None:
        self.now = 1_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def registry(clock: Clock) -> Registry:
    return Registry(inactive_after=INACTIVE_AFTER, tombstone_for=TOMBSTONE_FOR, clock=clock)


def peer(name: str, connection: int = 1) -> Peer:
    return Peer(
        remote_address=f"10.0.0.1:{connection}",
        broadcast_address=name,
        tcp_port=4150,
        http_port=4151,
        version="1.3.0",
    )


def found(registry: Registry, topic: str) -> list[str] | None:
    producers = registry.lookup(topic)
    return None if producers is None else [producer.broadcast_address for producer in producers]


def topic(name: str) -> Entry:
    return Entry("topic", name, "")


def channel(name: str, subkey: str) -> Entry:
    return Entry("channel", name, subkey)


# ---- registering ----


def test_a_client_that_only_identified_itself_is_a_node_without_topics(registry: Registry) -> None:
    registry.add(peer("a"))
    assert [(node.peer.broadcast_address, node.topics) for node in registry.nodes()] == [("a", [])]
    assert registry.topics() == []


def test_a_channel_registers_its_topic_too(registry: Registry) -> None:
    a = registry.add(peer("a"))
    assert registry.register(a, "t", "c") == [channel("t", "c"), topic("t")]
    assert (registry.topics(), registry.channels("t"), found(registry, "t")) == (["t"], ["c"], ["a"])


def test_a_topic_registers_alone(registry: Registry) -> None:
    a = registry.add(peer("a"))
    assert registry.register(a, "t") == [topic("t")]
    assert registry.channels("t") == []


def test_registering_again_is_no_news(registry: Registry) -> None:
    a = registry.add(peer("a"))
    registry.register(a, "t", "c")
    assert registry.register(a, "t", "c") == []
    assert registry.register(a, "t", "d") == [channel("t", "d")]


def test_a_channel_leaves_alone_and_stays_in_name(registry: Registry) -> None:
    a = registry.add(peer("a"))
    registry.register(a, "t", "c")
    assert registry.unregister(a, "t", "c") == [channel("t", "c")]
    assert registry.unregister(a, "t", "c") == []
    assert (registry.channels("t"), found(registry, "t")) == (["c"], ["a"])


def test_a_topic_leaves_with_all_its_channels_and_all_stay_in_name(registry: Registry) -> None:
    a = registry.add(peer("a"))
    registry.register(a, "t", "d")
    registry.register(a, "t", "c")
    assert registry.unregister(a, "t") == [channel("t", "c"), channel("t", "d"), topic("t")]
    assert (registry.topics(), registry.channels("t"), found(registry, "t")) == (["t"], ["c", "d"], [])


def test_only_the_client_that_leaves_is_gone(registry: Registry) -> None:
    a, b = registry.add(peer("a")), registry.add(peer("b", 2))
    for client in (a, b):
        registry.register(client, "t#ephemeral", "c#ephemeral")
    registry.unregister(a, "t#ephemeral")
    assert found(registry, "t#ephemeral") == ["b"]
    assert registry.channels("t#ephemeral") == ["c#ephemeral"]


def test_what_was_never_registered_is_nothing_to_leave(registry: Registry) -> None:
    a, b = registry.add(peer("a")), registry.add(peer("b", 2))
    registry.register(a, "t", "c")
    assert registry.unregister(b, "t", "c") == []
    assert registry.unregister(b, "t") == []
    assert registry.unregister(b, "u", "c") == []
    assert registry.topics() == ["t"]


def test_a_lost_connection_leaves_everything(registry: Registry) -> None:
    a = registry.add(peer("a"))
    registry.register(a, "t", "c")
    registry.register(a, "s")
    assert registry.remove(a) == [CLIENT, topic("s"), channel("t", "c"), topic("t")]
    assert registry.nodes() == []
    assert (registry.topics(), found(registry, "t")) == (["s", "t"], [])
    assert registry.dump() == {}


# ---- ephemeral names ----


def test_an_ephemeral_channel_goes_with_its_last_producer(registry: Registry) -> None:
    a, b = registry.add(peer("a")), registry.add(peer("b", 2))
    for client in (a, b):
        registry.register(client, "t", "c#ephemeral")
    registry.unregister(a, "t", "c#ephemeral")
    assert registry.channels("t") == ["c#ephemeral"]
    registry.unregister(b, "t", "c#ephemeral")
    assert (registry.topics(), registry.channels("t")) == (["t"], [])


@pytest.mark.parametrize("how", ["unregister", "remove"])
def test_an_ephemeral_topic_goes_with_its_last_producer_and_its_channels_with_it(
    registry: Registry, how: str
) -> None:
    a = registry.add(peer("a"))
    registry.register(a, "t#ephemeral", "c")
    if how == "remove":
        registry.remove(a)
    else:
        registry.unregister(a, "t#ephemeral")
    assert registry.topics() == []
    assert registry.lookup("t#ephemeral") is None
    assert registry.channels("t#ephemeral") == []


@pytest.mark.parametrize("how", ["unregister", "remove"])
def test_an_ephemeral_channel_of_a_lasting_topic_goes_however_its_producer_leaves(
    registry: Registry, how: str
) -> None:
    a = registry.add(peer("a"))
    registry.register(a, "t", "c#ephemeral")
    if how == "remove":
        registry.remove(a)
    else:
        registry.unregister(a, "t")
    assert (registry.topics(), registry.channels("t")) == (["t"], [])


@pytest.mark.parametrize("how", ["unregister", "remove"])
def test_an_ephemeral_channel_made_by_hand_is_not_taken_along_by_who_never_carried_it(
    registry: Registry, how: str
) -> None:
    a = registry.add(peer("a"))
    registry.create_channel("t", "c#ephemeral")
    registry.register(a, "t", "d")
    if how == "remove":
        registry.remove(a)
    else:
        registry.unregister(a, "t")
    assert registry.channels("t") == ["c#ephemeral", "d"]


def test_an_ephemeral_name_made_by_hand_waits_for_its_first_producer(registry: Registry) -> None:
    registry.create_channel("t#ephemeral", "c#ephemeral")
    assert registry.channels("t#ephemeral") == ["c#ephemeral"]


# ---- creating and deleting ----


def test_what_is_created_has_no_producer(registry: Registry) -> None:
    registry.create_topic("s")
    registry.create_channel("t", "c")
    assert (registry.topics(), registry.channels("t"), found(registry, "t")) == (["s", "t"], ["c"], [])
    assert registry.dump() == {}


def test_creating_changes_nothing_that_is_there(registry: Registry) -> None:
    a = registry.add(peer("a"))
    registry.register(a, "t", "c")
    registry.create_topic("t")
    registry.create_channel("t", "c")
    assert (registry.channels("t"), found(registry, "t")) == (["c"], ["a"])


def test_a_deleted_topic_is_forgotten_with_its_channels(registry: Registry) -> None:
    a = registry.add(peer("a"))
    registry.register(a, "t", "d")
    registry.register(a, "t", "c")
    registry.register(a, "u")
    assert registry.delete_topic("t") == [channel("t", "c"), channel("t", "d"), topic("t")]
    assert registry.delete_topic("t") == []
    assert registry.lookup("t") is None
    assert [node.topics for node in registry.nodes()] == [["u"]]
    assert registry.remove(a) == [CLIENT, topic("u")]


def test_a_deleted_topic_comes_back_when_it_is_registered_again(registry: Registry) -> None:
    a = registry.add(peer("a"))
    registry.register(a, "t", "c")
    registry.delete_topic("t")
    assert registry.register(a, "t") == [topic("t")]
    assert (registry.channels("t"), found(registry, "t")) == ([], ["a"])


def test_a_deleted_channel_is_forgotten_alone(registry: Registry) -> None:
    a = registry.add(peer("a"))
    registry.register(a, "t", "c")
    assert registry.delete_channel("t", "c")
    assert not registry.delete_channel("t", "c")
    assert not registry.delete_channel("u", "c")
    assert (registry.channels("t"), found(registry, "t")) == ([], ["a"])


def test_a_star_is_a_name_like_any_other(registry: Registry) -> None:
    a = registry.add(peer("a"))
    registry.register(a, "t", "c")
    assert registry.lookup("*") is None
    assert registry.channels("*") == []
    assert registry.delete_topic("*") == []
    assert not registry.delete_channel("t", "*")
    assert registry.topics() == ["t"]


# ---- silence and tombstones, by the clock ----


def test_a_client_that_was_silent_for_too_long_is_left_out_until_it_pings(
    registry: Registry, clock: Clock
) -> None:
    a = registry.add(peer("a"))
    registry.register(a, "t", "c")
    clock.now += INACTIVE_AFTER
    assert found(registry, "t") == ["a"]
    clock.now += 1
    assert found(registry, "t") == []
    assert registry.nodes() == []
    assert (registry.topics(), registry.channels("t")) == (["t"], ["c"])
    assert set(registry.dump()) == {CLIENT, topic("t"), channel("t", "c")}
    assert registry.ping(a) == INACTIVE_AFTER + 1
    assert found(registry, "t") == ["a"]
    assert [node.topics for node in registry.nodes()] == [["t"]]


def test_registering_is_no_sign_of_life(registry: Registry, clock: Clock) -> None:
    a = registry.add(peer("a"))
    clock.now += INACTIVE_AFTER + 1
    registry.register(a, "t")
    assert found(registry, "t") == []


def test_a_tombstone_hides_a_producer_of_that_topic_for_its_time(registry: Registry, clock: Clock) -> None:
    a, b = registry.add(peer("a")), registry.add(peer("b", 2))
    for client in (a, b):
        registry.register(client, "t", "c")
        registry.register(client, "u")
    registry.tombstone("t", "a:4151")
    assert (found(registry, "t"), found(registry, "u")) == (["b"], ["a", "b"])
    assert [(node.topics, node.tombstones) for node in registry.nodes()] == [
        (["t", "u"], [True, False]),
        (["t", "u"], [False, False]),
    ]
    clock.now += TOMBSTONE_FOR - 1
    assert found(registry, "t") == ["b"]
    clock.now += 1
    assert found(registry, "t") == ["a", "b"]
    assert [node.tombstones for node in registry.nodes()] == [[False, False], [False, False]]
    flags = {p.peer.broadcast_address: p.tombstoned_at for p in registry.dump()[topic("t")]}
    assert flags == {"a": 1_000, "b": None}, "the mark stays, it only stops hiding"


def test_registering_again_does_not_lift_a_tombstone_but_leaving_first_does(registry: Registry) -> None:
    a = registry.add(peer("a"))
    registry.register(a, "t")
    registry.tombstone("t", "a:4151")
    registry.register(a, "t", "c")
    assert found(registry, "t") == []
    registry.unregister(a, "t")
    registry.register(a, "t")
    assert found(registry, "t") == ["a"]


def test_a_second_tombstone_starts_its_time_again(registry: Registry, clock: Clock) -> None:
    a = registry.add(peer("a"))
    registry.register(a, "t")
    registry.tombstone("t", "a:4151")
    clock.now += TOMBSTONE_FOR - 1
    registry.tombstone("t", "a:4151")
    clock.now += TOMBSTONE_FOR - 1
    assert found(registry, "t") == []


@pytest.mark.parametrize("node", ["a", "a:4150", "b:4151", "10.0.0.1:1", "*", ""])
def test_a_tombstone_for_nobody_hides_nobody(registry: Registry, node: str) -> None:
    registry.register(registry.add(peer("a")), "t")
    registry.tombstone("t", node)
    registry.tombstone("unknown", node)
    assert found(registry, "t") == ["a"]


def test_a_tombstone_hides_every_connection_of_its_node(registry: Registry) -> None:
    for connection in (1, 2):
        registry.register(registry.add(peer("a", connection)), "t")
    assert found(registry, "t") == ["a", "a"]
    registry.tombstone("t", "a:4151")
    assert found(registry, "t") == []


# ---- order ----


def test_every_list_is_sorted(registry: Registry) -> None:
    clients: list[Client] = [registry.add(peer(name, i)) for i, name in enumerate("cab")]
    for client in clients:
        for name in ("z", "a", "m"):
            for sub in ("2", "1"):
                registry.register(client, name, sub)
    assert registry.topics() == ["a", "m", "z"]
    assert registry.channels("m") == ["1", "2"]
    assert found(registry, "z") == ["a", "b", "c"]
    assert [node.peer.broadcast_address for node in registry.nodes()] == ["a", "b", "c"]
    assert registry.nodes()[0].topics == ["a", "m", "z"]
    assert [p.peer.broadcast_address for p in registry.dump()[CLIENT]] == ["a", "b", "c"]


def test_the_dump_is_sorted_as_it_is_written(registry: Registry) -> None:
    a = registry.add(peer("a"))
    for name in ("t", "t-1", "t.1", "tt"):
        registry.register(a, name, "c")
    keys = [":".join(entry) for entry in registry.dump()]
    assert keys == sorted(keys)
    assert len(keys) == 9


def test_an_entry_is_written_as_the_log_names_it() -> None:
    assert str(channel("t", "c")) == "category:channel key:t subkey:c"
    assert str(topic("t")) == "category:topic key:t subkey:"
    assert str(CLIENT) == "category:client key: subkey:"
