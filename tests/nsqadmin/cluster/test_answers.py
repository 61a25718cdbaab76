from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsqadmin.cluster import answers
from nsqadmin.cluster.answers import BadAnswer
from nsqadmin.cluster.model import Node, NodeTopic
from tests.support.fake_cluster import channel, client, latency, topic

NODE = Node(broadcast_address="b", hostname="h", tcp_port=4150, http_port=4151, version="1.3.0")


KEYS = st.sampled_from(
    [
        "topics",
        "channels",
        "clients",
        "producers",
        "tombstones",
        "broadcast_address",
        "http_port",
        "depth",
        "topic_name",
        "paused",
        "memory",
        "e2e_processing_latency",
        "percentiles",
        "quantile",
        "value",
        "count",
    ]
)
JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner),
    max_leaves=30,
)


def _stats(*topics: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"version": "1.3.0", "health": "OK", "start_time": 5, "topics": list(topics)} | fields


def test_stats_are_read_with_their_node_on_every_level() -> None:
    clients = [client("worker", tls=True, ready_count=7)]
    answer = _stats(
        topic("t", channel("c", clients=clients, depth=3, backend_depth=2, zone_local_msg_count=9), depth=5),
        memory={"heap_in_use_bytes": 77},
    )
    stats = answers.read_stats(answer, NODE)
    assert (stats.version, stats.health, stats.start_time, stats.heap_bytes) == ("1.3.0", "OK", 5, 77)
    [found] = stats.topics
    assert (found.node, found.hostname, found.topic_name, found.depth) == ("b:4151", "h", "t", 5)
    [part] = found.channels
    assert (part.node, part.topic_name, part.depth, part.memory_depth, part.client_count) == (
        "b:4151",
        "t",
        3,
        1,
        1,
    )
    assert part.deliveries.zone_local == part.deliveries.total == 9
    assert (part.clients[0].node, part.clients[0].tls, part.clients[0].ready_count) == ("b:4151", True, 7)


def test_missing_and_null_fields_read_as_nothing() -> None:
    stats = answers.read_stats({"topics": [{"topic_name": "t", "channels": None, "paused": None}]}, NODE)
    assert (stats.topics[0].depth, stats.topics[0].channels, stats.topics[0].paused) == (0, [], False)
    assert answers.read_stats({"topics": None}, NODE).topics == []


def test_clients_are_counted_where_an_old_node_does_not_count_them() -> None:
    old = {"channel_name": "c", "clients": [client("a"), client("b")]}
    stats = answers.read_stats(_stats(topic("t", old)), NODE)
    assert stats.topics[0].channels[0].client_count == 2


def test_a_single_percentile_is_its_own_average_lowest_and_highest() -> None:
    stats = answers.read_stats(_stats(topic("t", e2e_processing_latency=latency(4, p99=2e6))), NODE)
    [p] = stats.topics[0].latency.percentiles
    assert (p.quantile, p.average, p.lowest, p.highest) == (0.99, 2e6, 2e6, 2e6)
    assert stats.topics[0].latency.count == 4


def test_a_quantile_told_twice_is_one() -> None:
    twice = {"count": 1, "percentiles": [{"quantile": 0.9, "value": 1}, {"quantile": 0.9, "value": 2}]}
    stats = answers.read_stats(_stats(topic("t", e2e_processing_latency=twice)), NODE)
    assert [p.average for p in stats.topics[0].latency.percentiles] == [2]


def test_tombstones_belong_to_topics_by_position() -> None:
    producer = {"broadcast_address": "b", "topics": ["x", "y", "z"], "tombstones": [False, True]}
    [node] = answers.read_producers({"producers": [producer]})
    assert node.topics == [NodeTopic("x"), NodeTopic("y", tombstoned=True), NodeTopic("z")]


@pytest.mark.parametrize(
    "answer",
    [
        [],
        "OK",
        None,
        {"topics": {}},
        {"topics": [3]},
        {"topics": [{"topic_name": ["t"]}]},
        {"topics": [{"depth": "3"}]},
        {"topics": [{"depth": 3.5}]},
        {"topics": [{"depth": True}]},
        {"topics": [{"depth": 1 << 63}]},
        {"topics": [{"paused": "no"}]},
        {"topics": [{"channels": [{"clients": [{"tls": 1}]}]}]},
        {"topics": [{"e2e_processing_latency": {"percentiles": [{"quantile": float("nan"), "value": 1}]}}]},
        {"topics": [{"e2e_processing_latency": {"percentiles": [{"quantile": 0.9, "value": float("inf")}]}}]},
        {"memory": 3},
    ],
)
def test_what_is_not_of_its_type_spoils_the_answer(answer: object) -> None:
    with pytest.raises(BadAnswer):
        answers.read_stats(answer, NODE)


@pytest.mark.parametrize("host", ["", "evil/path", "user@evil", "a b", "evil?x", "evil#x", "a\\b", 5])
def test_an_address_that_would_change_the_url_is_no_host(host: object) -> None:
    with pytest.raises(BadAnswer):
        answers.read_producers({"producers": [{"broadcast_address": host, "http_port": 1}]})


def test_an_ipv6_host_is_put_in_brackets_where_it_is_asked() -> None:
    [node] = answers.read_producers({"producers": [{"broadcast_address": "::1", "http_port": 4151}]})
    assert (node.name, node.http_address) == ("::1:4151", "[::1]:4151")


@pytest.mark.parametrize("answer", [b"", b"<html>", b"[]", b'{"topics":3}', b"[" * 100_000, b'"\xff"'])
def test_names_are_read_of_stats_alone(answer: bytes) -> None:
    assert answers.read_held(json.dumps(_stats(topic("a", channel("c")), topic("b"))).encode()) == ["a", "b"]
    assert answers.read_held(b'{"topics":null}') == []
    with pytest.raises(BadAnswer):
        answers.read_held(answer)


@given(JSON)
def test_any_json_is_an_answer_or_a_bad_one(answer: object) -> None:
    readers: list[Callable[[object], object]] = [
        answers.read_topic_names,
        answers.read_channel_names,
        answers.read_producers,
        lambda value: answers.read_info(value, "n:1"),
        lambda value: answers.read_stats(value, NODE),
    ]
    for read in readers:
        with suppress(BadAnswer):
            repr(read(answer)).encode()


def test_half_of_a_surrogate_pair_becomes_something_that_can_be_sent() -> None:
    assert answers.read_topic_names({"topics": ["\ud800x"]}) == ["?x"]
