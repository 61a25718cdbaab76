from __future__ import annotations

import pytest

from nsqadmin.cluster.answers import read_stats
from nsqadmin.cluster.model import Client, Node, NodeTopic, Problem
from nsqadmin.history.snapshot import ChannelNow, Figures, NodeNow, Rates, Snapshot, TopicNow
from nsqadmin.pages.flow import MOST_CHANNELS, MOST_NODES, MOST_TOPICS, Box, Flow, flow_of
from tests.support import fake_cluster


def node(name: str, **published: float | None) -> NodeNow:
    known = Node(name, "host", 4150, 4151, "1.3.0", topics=[NodeTopic(topic) for topic in published])
    rates = Rates(sum(value or 0.0 for value in published.values()))
    return NodeNow(node=known, health="OK", published=published, rates=rates)


def channel(topic: str, name: str, **figures: object) -> ChannelNow:
    return ChannelNow(topic_name=topic, channel_name=name, nodes=1, **figures)  # type: ignore[arg-type]


def topic(name: str, *channels: ChannelNow, published: float | None = None, **figures: object) -> TopicNow:
    return TopicNow(topic_name=name, nodes=1, channels=channels, rates=Rates(published), **figures)  # type: ignore[arg-type]


def snapshot(nodes: list[NodeNow], *topics: TopicNow) -> Snapshot:
    return Snapshot(0.0, 0.1, {one.topic_name: one for one in topics}, nodes, [], Figures(), [])


def client(host: str, **fields: object) -> Client:
    """One, as a nsqd tells of it."""
    consumed = fake_cluster.channel("c", clients=[fake_cluster.client(host, **fields)])
    told = {"version": "1.3.0", "topics": [fake_cluster.topic("t", consumed)]}
    stats = read_stats(told, Node("a", "host", 4150, 4151, "1.3.0"))
    return stats.topics[0].channels[0].clients[0]


def names(column: list[Box]) -> list[str]:
    return [box.name for box in column]


def links(flow: Flow) -> dict[tuple[str, str], float]:
    return {(source, target): amount for source, target, amount in flow.links}


def test_messages_flow_from_nodes_through_topics_and_channels_to_consumers() -> None:
    billing = channel("orders", "billing", client_count=2, rates=Rates(30.0, 28.0), depth=7)
    flow = flow_of(snapshot([node("a", orders=10.0), node("b", orders=20.0)], topic("orders", billing)))
    assert [names(column) for column in flow.columns] == [
        ["a:4151", "b:4151"],
        ["orders"],
        ["billing"],
        ["2 connections"],
    ]
    assert links(flow) == {
        ("node a:4151", "topic orders"): 10.0,
        ("node b:4151", "topic orders"): 20.0,
        ("topic orders", "channel orders/billing"): 30.0,
        ("channel orders/billing", "clients orders/billing"): 28.0,
    }
    assert flow.channels[0].text == "7 waiting"


def test_of_many_the_busiest_are_shown_and_the_rest_is_one_box() -> None:
    count = MOST_TOPICS + 8
    topics = [topic(f"t{i:02}", published=float(i)) for i in range(count)]
    nodes = [node(f"n{i:02}", **{f"t{j:02}": float(j) for j in range(count)}) for i in range(MOST_NODES + 3)]
    flow = flow_of(snapshot(nodes, *topics))
    assert names(flow.topics)[-1] == "8 more topics"
    assert names(flow.topics)[0] == "t08"
    assert flow.left_out == 8
    assert names(flow.nodes)[-1] == "3 more nodes"
    assert links(flow)["nodes", "topics"] == 3 * sum(range(8))
    assert len(flow.layout().places) == MOST_TOPICS + 1 + MOST_NODES + 1


def test_of_many_channels_the_rest_of_a_topic_is_one_box() -> None:
    many = [channel("t", f"c{i:02}", depth=i) for i in range(MOST_CHANNELS + 2)]
    flow = flow_of(snapshot([node("a", t=1.0)], topic("t", *many)))
    assert len(flow.channels) == MOST_CHANNELS + 1
    assert flow.channels[-1].name == "2 more channels"
    assert flow.channels[-1].text == "1 waiting"


def test_one_topic_alone_has_the_nodes_that_hold_it() -> None:
    nodes = [node("a", t=1.0, u=5.0), node("b", u=5.0)]
    flow = flow_of(snapshot(nodes, topic("t"), topic("u")), "t")
    assert names(flow.nodes) == ["a:4151"]
    assert flow.nodes[0].text == "1/s in"
    assert names(flow.topics) == ["t"]
    assert flow.left_out == 0
    flow.layout()


def test_known_clients_stand_by_their_host_with_their_share() -> None:
    busy = channel("t", "c", client_count=3, rates=Rates(10.0, 10.0))
    clients = [client("x", finish_count=20), client("x", finish_count=10), client("y", finish_count=10)]
    flow = flow_of(snapshot([node("a", t=10.0)], topic("t", busy)), "t", {"c": clients})
    assert names(flow.consumers) == ["x", "y"]
    assert flow.consumers[0].text == "2 connections, 7.5/s"
    assert links(flow)["channel t/c", "clients t/c y"] == 2.5


def test_clients_on_very_many_hosts_are_bounded() -> None:
    busy = channel("t", "c", client_count=40, rates=Rates(10.0, 10.0))
    flow = flow_of(
        snapshot([node("a", t=10.0)], topic("t", busy)), "t", {"c": [client(f"h{i}") for i in range(40)]}
    )
    assert names(flow.consumers)[-1] == "28 more hosts"
    assert len(flow.consumers) == 13


@pytest.mark.parametrize(
    ("one", "look", "text"),
    [
        (channel("t", "c", depth=5), "warn", "no consumer, 5 waiting"),
        (channel("t", "c"), "quiet", "no consumer, 0 waiting"),
        (channel("t", "c", depth=5, paused_nodes=1, client_count=1), "warn", "paused, 5 waiting"),
    ],
)
def test_a_channel_says_what_is_wrong_with_it(one: ChannelNow, look: str, text: str) -> None:
    [box] = flow_of(snapshot([], topic("t", one))).channels
    assert (box.look, box.text) == (look, text)


def test_a_silent_node_is_there_with_the_topics_it_is_registered_for() -> None:
    silent = NodeNow(
        node=Node("a", "host", 4150, 4151, "1.3.0", topics=[NodeTopic("t")]),
        problem=Problem("nsqd", "a:4151", "refused"),
    )
    gone = NodeNow(node=Node("b", "host", 4150, 4151, "1.3.0"), gone=True)
    flow = flow_of(snapshot([silent, gone], topic("t")))
    assert [(box.name, box.look, box.text) for box in flow.nodes] == [("a:4151", "bad", "does not answer")]
    assert ("node a:4151", "topic t") in links(flow)


def test_a_long_name_shows_both_its_ends() -> None:
    box = Box("id", "a" * 40 + "#ephemeral", "", ())
    assert box.short == "a" * 17 + "…" + "phemeral"
    assert Box("id", "short", "", ()).short == "short"
