from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest

from nsqadmin.cluster.merge import (
    mark_out_of_date,
    merge_channel,
    merge_latency,
    merge_names,
    merge_nodes,
    merge_producers,
    merge_topic,
    version_key,
)
from nsqadmin.cluster.model import ALL_NODES, Channel, Deliveries, Latency, Node, NodeTopic, Percentile, Topic


def _node(host: str, port: int = 4150, **fields: object) -> Node:
    node = Node(broadcast_address=host, hostname=host, tcp_port=port, http_port=port + 1, version="1.3.0")
    return replace(node, **fields)  # type: ignore[arg-type]


def _topic(node: str, *channels: Channel, **fields: object) -> Topic:
    return replace(Topic(node=node, hostname=node, topic_name="t", channels=list(channels)), **fields)  # type: ignore[arg-type]


def _channel(node: str, name: str = "c", **fields: object) -> Channel:
    channel = Channel(node=node, hostname=node, topic_name="t", channel_name=name)
    return replace(channel, **fields)  # type: ignore[arg-type]


def test_names_are_united_and_sorted() -> None:
    assert merge_names([["b", "a"], ["c", "b"]]) == ["a", "b", "c"]


def test_a_topics_figures_are_added_up() -> None:
    total = merge_topic(
        "t",
        [
            _topic("n1", depth=5, backend_depth=2, message_count=10),
            _topic("n2", depth=1, backend_depth=1, message_count=7, paused=True),
        ],
    )
    assert (total.node, total.hostname) == (ALL_NODES, "")
    assert (total.depth, total.backend_depth, total.memory_depth, total.message_count) == (6, 3, 3, 17)
    assert total.paused
    assert [part.node for part in total.nodes] == ["n1", "n2"]


def test_a_channels_figures_are_added_up() -> None:
    total = merge_channel(
        "t",
        "c",
        [
            _channel(
                "n1", in_flight_count=1, deferred_count=2, requeue_count=3, timeout_count=4, client_count=5
            ),
            _channel("n2", in_flight_count=10, deferred_count=20, deliveries=Deliveries(1, 2, 3)),
        ],
    )
    figures = (total.in_flight_count, total.deferred_count, total.requeue_count, total.timeout_count)
    assert figures == (11, 22, 3, 4)
    assert total.client_count == 5
    assert total.deliveries == Deliveries(1, 2, 3)


def test_a_nodes_own_figures_stay_its_own_when_totals_are_made() -> None:
    parts = [_topic("n1", _channel("n1", depth=1)), _topic("n2", _channel("n2", depth=2))]
    total = merge_topic("t", parts)
    assert [channel.depth for part in total.nodes for channel in part.channels] == [1, 2]
    [channel] = total.channels
    assert (channel.depth, channel.node) == (3, ALL_NODES)
    assert [(part.node, part.depth) for part in channel.nodes] == [("n1", 1), ("n2", 2)]


def test_channels_are_matched_by_name_and_sorted() -> None:
    total = merge_topic(
        "t", [_topic("n1", _channel("n1", "z")), _topic("n2", _channel("n2", "a"), _channel("n2", "z"))]
    )
    assert [(channel.channel_name, len(channel.nodes)) for channel in total.channels] == [("a", 1), ("z", 2)]


def test_the_order_of_answers_does_not_matter() -> None:
    parts = [_topic(f"n{i}", _channel(f"n{i}"), hostname="same") for i in range(3)]
    assert {str(merge_topic("t", order)) for order in permutations(parts)} == {str(merge_topic("t", parts))}


def test_merged_latency_keeps_the_lowest_the_highest_and_a_weighted_mean() -> None:
    def part(count: int, value: float) -> Latency:
        return Latency(count, [Percentile(0.99, value, value, value)])

    for order in permutations([part(1, 40.0), part(3, 20.0), part(0, 900.0)]):
        merged = merge_latency(order)
        assert merged.count == 4
        assert merged.percentiles == [Percentile(0.99, 25.0, 20.0, 900.0)]


def test_latency_of_nothing_is_no_division_by_zero() -> None:
    nothing = Latency(0, [Percentile(0.99, 0.0, 0.0, 0.0)])
    assert merge_latency([nothing, nothing]).percentiles == [Percentile(0.99, 0.0, 0.0, 0.0)]
    assert merge_latency([Latency(2), Latency(3)]) == Latency(5)


def test_a_producer_named_by_two_nsqlookupds_is_one() -> None:
    assert [node.name for node in merge_producers([[_node("b"), _node("a")], [_node("b")]])] == [
        "a:4151",
        "b:4151",
    ]


def test_nodes_have_the_topics_and_tombstones_that_any_nsqlookupd_knows() -> None:
    one = _node("n", remote_address="r1", topics=[NodeTopic("a"), NodeTopic("b")])
    two = _node("n", remote_address="", topics=[NodeTopic("b", tombstoned=True), NodeTopic("c")])
    [node] = merge_nodes([("l1", [one]), ("l2", [two])])
    assert node.topics == [NodeTopic("a"), NodeTopic("b", tombstoned=True), NodeTopic("c")]
    assert node.remote_addresses == ["l1/r1", "l2/N/A"]
    assert one.remote_addresses == []


def test_nodes_are_sorted_by_host_name_and_then_address() -> None:
    nodes = [_node("b", hostname="x"), _node("a", hostname="x"), _node("z", hostname="a")]
    for order in permutations(nodes):
        assert [node.broadcast_address for node in merge_nodes([("l", order)])] == ["z", "a", "b"]


def test_a_node_with_a_lower_version_than_another_is_out_of_date() -> None:
    marked = mark_out_of_date(
        [_node("a", version="1.2.1"), _node("b", version="1.10.0"), _node("c", version="junk")]
    )
    assert [node.out_of_date for node in marked] == [True, False, True]
    assert mark_out_of_date([]) == []


@pytest.mark.parametrize(
    ("lower", "higher"),
    [
        ("1.2.1", "1.3.0"),
        ("1.9.0", "1.10.0"),
        ("1.3.0-alpha", "1.3.0"),
        ("1.3.0-alpha", "1.3.0-alpha.1"),
        ("1.3.0-2", "1.3.0-11"),
        ("1.3.0-11", "1.3.0-alpha"),
        ("", "0.0.1"),
        ("not.a.version", "1.0.0"),
    ],
)
def test_versions_compare_as_semver_says(lower: str, higher: str) -> None:
    assert version_key(lower) < version_key(higher)


def test_build_metadata_does_not_count() -> None:
    assert version_key("1.3.0+abc") == version_key("1.3.0")
