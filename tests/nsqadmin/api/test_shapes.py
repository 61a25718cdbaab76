from __future__ import annotations

from dataclasses import replace

from nsqadmin.api.shapes import channel_json, client_json, node_json, topic_json
from nsqadmin.cluster.answers import read_stats
from nsqadmin.cluster.merge import merge_channel, merge_topic
from nsqadmin.cluster.model import NO_DELIVERIES, Deliveries, Node, NodeTopic
from tests.docs.page import items
from tests.support.fake_cluster import channel, client, latency, topic

NODE = Node(broadcast_address="b", hostname="h", tcp_port=4150, http_port=4151, version="1.3.0")
NOW = 1000.9

TOPIC_KEYS = [
    "node",
    "hostname",
    "topic_name",
    "depth",
    "memory_depth",
    "backend_depth",
    "message_count",
    "delivery_msg_count",
    "nodes",
    "channels",
    "paused",
    "e2e_processing_latency",
]
CHANNEL_KEYS = [
    "node",
    "hostname",
    "topic_name",
    "channel_name",
    "depth",
    "memory_depth",
    "backend_depth",
    "in_flight_count",
    "deferred_count",
    "requeue_count",
    "timeout_count",
    "message_count",
    "client_count",
    "nodes",
    "clients",
    "paused",
    "e2e_processing_latency",
]


def test_a_topic_has_the_originals_keys_in_their_order() -> None:
    [part] = read_stats({"topics": [topic("t")]}, NODE).topics
    shape = topic_json(merge_topic("t", [part]), NOW)
    assert list(shape) == TOPIC_KEYS
    assert (shape["node"], shape["hostname"], shape["channels"]) == ("*", "", None)
    own = topic_json(part, NOW)
    assert shape["nodes"] == [own]
    assert (own["node"], own["hostname"], own["nodes"], own["channels"]) == ("b:4151", "h", None, [])
    assert topic_json(merge_topic("t", []), NOW)["nodes"] is None


def test_a_channel_has_the_originals_keys_in_their_order() -> None:
    [part] = read_stats({"topics": [topic("t", channel("c"))]}, NODE).topics
    shape = channel_json(merge_channel("t", "c", part.channels), NOW)
    assert list(shape) == CHANNEL_KEYS
    assert shape["clients"] is None


def test_delivery_counts_appear_only_when_there_were_deliveries() -> None:
    counted = channel("c", zone_local_msg_count=2, global_msg_count=3)
    [part] = read_stats({"topics": [topic("t", counted)]}, NODE).topics
    shape = channel_json(part.channels[0], NOW)
    assert list(shape)[12:15] == ["delivery_msg_count", "zone_local_msg_count", "global_msg_count"]
    assert shape["delivery_msg_count"] == 5


def test_a_client_has_the_originals_keys_and_its_age_in_nanoseconds() -> None:
    shown = client("w", connect_ts=990, topology_zone="z")
    [part] = read_stats({"topics": [topic("t", channel("c", clients=[shown]))]}, NODE).topics
    shape = client_json(part.channels[0].clients[0], NOW)
    assert shape["connected"] == 10_000_000_000
    assert list(shape) == [
        "node",
        "remote_address",
        "version",
        "client_id",
        "hostname",
        "user_agent",
        "connect_ts",
        "connected",
        "in_flight_count",
        "ready_count",
        "finish_count",
        "requeue_count",
        "message_count",
        "sample_rate",
        "deflate",
        "snappy",
        "authed",
        "auth_identity",
        "auth_identity_url",
        "topology_zone",
        "tls",
        "tls_cipher_suite",
        "tls_version",
        "tls_negotiated_protocol",
        "tls_negotiated_protocol_is_mutual",
    ]


def test_percentiles_have_their_keys_sorted_and_whole_numbers_without_a_point() -> None:
    [part] = read_stats({"topics": [topic("t", e2e_processing_latency=latency(4, p99=2e6))]}, NODE).topics
    assert topic_json(part, NOW)["e2e_processing_latency"] == {
        "count": 4,
        "percentiles": [
            {
                "average": 2000000,
                "count": 4,
                "max": 2000000,
                "min": 2000000,
                "quantile": 0.99,
                "value": 2000000,
            }
        ],
        "topic": "t",
        "channel": "",
        "host": "b:4151",
    }
    total = topic_json(merge_topic("t", [part]), NOW)["e2e_processing_latency"]
    [merged] = total["percentiles"]  # type: ignore[index]
    assert list(merged) == ["average", "count", "max", "min", "quantile"]
    assert not isinstance(merged["average"], float)


def test_a_node_has_the_originals_keys_in_their_order() -> None:
    node = Node(
        "b", "h", 4150, 4151, "1.3.0", topics=[NodeTopic("t", tombstoned=True)], remote_addresses=["l/r"]
    )
    shape = node_json(node, by_lookupd=True)
    assert list(shape) == [
        "remote_addresses",
        "remote_address",
        "hostname",
        "broadcast_address",
        "tcp_port",
        "http_port",
        "version",
        "topics",
        "out_of_date",
    ]
    assert shape["topics"] == [{"topic": "t", "tombstoned": True}]
    assert node_json(NODE, by_lookupd=False)["remote_addresses"] is None
    assert node_json(NODE, by_lookupd=False)["topics"] is None


def test_what_is_left_out_when_it_is_nothing() -> None:
    near = client("w", topology_zone="z", topology_region="r")
    zone_counts = {"zone_local_msg_count": 1, "region_local_msg_count": 2, "global_msg_count": 3}
    node = replace(NODE, topology_zone="z", topology_region="r")
    [part] = read_stats({"topics": [topic("t", channel("c", clients=[near], **zone_counts))]}, node).topics
    for deliveries, left_out in [(NO_DELIVERIES, set()), (Deliveries(1, 2, 3), set(zone_counts))]:
        part.deliveries = deliveries
        assert set(topic_json(part, NOW)) - set(TOPIC_KEYS) == left_out
    shown = channel_json(part.channels[0], NOW)
    assert set(shown) - set(CHANNEL_KEYS) == {*zone_counts, "delivery_msg_count"}
    of_client = client_json(part.channels[0].clients[0], NOW)
    for key in ("node_topology_region", "node_topology_zone", "topology_region", "topology_zone"):
        assert of_client[key] == key.rpartition("_")[2][0]
    assert node_json(node, by_lookupd=True)["topology_zone"] == "z"
    assert "topology_zone" not in node_json(NODE, by_lookupd=True)


def test_every_key_is_a_row_of_the_compatibility_page() -> None:
    listed = set(items("nsqadmin: JSON fields"))
    e2e = latency(1, p99=1.0)
    [part] = read_stats(
        {"topics": [topic("t", channel("c", clients=[client("w")]), e2e_processing_latency=e2e)]}, NODE
    ).topics
    shape = topic_json(part, NOW)
    [of_latency] = [shape["e2e_processing_latency"]]
    assert isinstance(of_latency, dict)
    told = {
        *(f"topic {key}" for key in shape),
        *(f"channel {key}" for key in channel_json(part.channels[0], NOW)),
        *(f"client {key}" for key in client_json(part.channels[0].clients[0], NOW)),
        *(f"e2e {key}" for key in of_latency),
        *(f"percentile {key}" for key in of_latency["percentiles"][0]),
        *(f"/api/nodes nodes[].{key}" for key in node_json(NODE, by_lookupd=True)),
    }
    assert told - listed == set()
