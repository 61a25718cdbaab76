from __future__ import annotations

from nsqadmin.changes.actions import Change, Verb
from nsqadmin.changes.consequences import ELSEWHERE, of_channel, of_topic
from nsqadmin.cluster.merge import merge_channel, merge_topic
from nsqadmin.cluster.model import Channel, Topic


def _channel(node: str, name: str = "c") -> Channel:
    return Channel(
        node=node,
        hostname=node,
        topic_name="t",
        channel_name=name,
        depth=1000,
        backend_depth=400,
        in_flight_count=5,
        deferred_count=1,
        client_count=2,
    )


TOPIC = merge_topic(
    "t",
    [
        Topic(node=node, hostname=node, topic_name="t", depth=20, backend_depth=10, channels=[_channel(node)])
        for node in ("n1", "n2")
    ],
)
CHANNEL = merge_channel("t", "c", [_channel("n1"), _channel("n2")])


def test_deleting_a_topic_loses_what_it_and_its_channels_hold() -> None:
    found = of_topic(Change(Verb.DELETE, "t"), TOPIC)
    assert found.lost == [
        (40, "messages waiting (20 in memory, 20 on disk) in the topic"),
        (1, "channel"),
        (2000, "messages waiting (1,200 in memory, 800 on disk) in channels"),
        (10, "in flight to clients"),
        (2, "deferred for later"),
    ]
    assert found.notes[0] == "4 clients are disconnected."
    assert found.nodes == ["n1", "n2"]
    assert found.irreversible


def test_emptying_a_topic_loses_its_own_queue_alone() -> None:
    found = of_topic(Change(Verb.EMPTY, "t"), TOPIC)
    assert found.lost == [(40, "messages waiting (20 in memory, 20 on disk)")]
    assert "What is in its channels stays: 2,000 messages in 1 channel." in found.notes[0]


def test_a_tombstone_says_that_the_topic_is_deleted_on_that_node() -> None:
    found = of_topic(Change(Verb.TOMBSTONE, "t", node="n1"), merge_topic("t", TOPIC.nodes[:1]))
    assert found.lost[0] == (20, "messages waiting (10 in memory, 10 on disk) in the topic")
    assert found.nodes == ["n1"]
    assert any("deleted on this node" in note for note in found.notes)


def test_emptying_and_deleting_a_channel_lose_waiting_in_flight_and_deferred_messages() -> None:
    for verb in (Verb.EMPTY, Verb.DELETE):
        found = of_channel(Change(verb, "t", "c"), CHANNEL)
        assert [count for count, _ in found.lost] == [2000, 10, 2]
        assert any("4 clients" in note for note in found.notes)


def test_pausing_loses_nothing_and_says_who_waits() -> None:
    for verb in (Verb.PAUSE, Verb.UNPAUSE):
        topic, channel = of_topic(Change(verb, "t"), TOPIC), of_channel(Change(verb, "t", "c"), CHANNEL)
        assert not topic.irreversible
        assert not channel.irreversible
        assert "40" in topic.notes[0]
        assert any("4 clients" in note for note in channel.notes)


def test_one_of_a_thing_is_said_in_the_singular() -> None:
    lonely = _channel("n1")
    lonely.client_count = lonely.depth = 1
    lonely.backend_depth = 0
    found = of_channel(Change(Verb.DELETE, "t", "c"), merge_channel("t", "c", [lonely]))
    assert found.lost[0] == (1, "message waiting (1 in memory, 0 on disk)")
    assert found.notes[0] == "1 client is disconnected."


def test_on_one_node_only_its_part_is_lost() -> None:
    part = merge_topic("t", TOPIC.nodes[:1])
    deleted = of_topic(Change(Verb.DELETE, "t", node="n1"), part)
    assert deleted.lost[0] == (20, "messages waiting (10 in memory, 10 on disk) in the topic")
    assert deleted.notes[1:] == [
        "The topic comes back on this node, empty, as soon as somebody publishes to it on this node or subscribes.",
        ELSEWHERE,
    ]
    assert deleted.nodes == ["n1"]
    assert of_topic(Change(Verb.PAUSE, "t", node="n1"), part).notes[-1] == ELSEWHERE
    emptied = of_channel(Change(Verb.EMPTY, "t", "c", "n1"), merge_channel("t", "c", [_channel("n1")]))
    assert (emptied.lost[0][0], emptied.notes[-1]) == (1000, ELSEWHERE)
    assert ELSEWHERE not in of_topic(Change(Verb.PAUSE, "t"), TOPIC).notes
