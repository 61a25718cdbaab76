"""``/stats``: both forms, their order, and their filters."""

from __future__ import annotations

import json
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from nsqcore.version import banner
from tests.nsqd.answers import BAD_QUERIES, JSON, TEXT, expect_empty, expect_ok, expect_refusal, headers_of
from tests.support.nsqd import Node, eventually

pytestmark = pytest.mark.usefixtures("quick_disk")


@pytest_asyncio.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    """A topic t with a channel c."""
    async with Node(tmp_path) as running:
        running.broker.channel(running.broker.topic(b"t"), "c")
        yield running


CLIENT_KEYS = [
    "client_id", "hostname", "version", "remote_address", "state", "ready_count", "in_flight_count",
    "message_count", "finish_count", "requeue_count", "connect_ts", "sample_rate", "deflate", "snappy",
    "user_agent", "topology_zone", "topology_region", "tls", "tls_cipher_suite", "tls_version",
    "tls_negotiated_protocol", "tls_negotiated_protocol_is_mutual",
]  # fmt: skip
CHANNEL_KEYS = [
    "channel_name", "depth", "backend_depth", "in_flight_count", "deferred_count", "message_count",
    "requeue_count", "timeout_count", "client_count", "clients", "paused", "e2e_processing_latency",
]  # fmt: skip
TOPIC_KEYS = [
    "topic_name", "channels", "depth", "backend_depth", "message_count", "message_bytes", "paused",
    "e2e_processing_latency",
]  # fmt: skip
MEMORY_KEYS = [
    "heap_objects", "heap_idle_bytes", "heap_in_use_bytes", "heap_released_bytes", "gc_pause_usec_100",
    "gc_pause_usec_99", "gc_pause_usec_95", "next_gc_bytes", "gc_total_runs",
]  # fmt: skip


async def test_stats_have_the_originals_keys_in_its_order(node: Node) -> None:
    consumer = await node.subscribe("t", "c", 1, user_agent="ua/1", client_id="me", hostname="here")
    producer = await node.connect()
    await producer.pub("t", b"abc", b"de")
    await consumer.message()
    answer = await node.request("GET", "/stats?format=json")
    assert (answer.status, headers_of(answer)["Content-Type"]) == (200, JSON["Content-Type"])
    assert b": " not in answer.body
    stats = json.loads(answer.body)
    assert list(stats) == [
        "version",
        "health",
        "start_time",
        "topics",
        "memory",
        "producers",
    ]
    assert (stats["version"], stats["health"]) == ("1.3.0", "OK")
    assert list(stats["memory"]) == MEMORY_KEYS
    assert all(isinstance(value, int) and value >= 0 for value in stats["memory"].values())

    [topic] = stats["topics"]
    assert list(topic) == TOPIC_KEYS
    [channel] = topic.pop("channels")
    assert topic == {
        "topic_name": "t",
        "depth": 0,
        "backend_depth": 0,
        "message_count": 2,
        "message_bytes": 5,
        "paused": False,
        "e2e_processing_latency": {"count": 0, "percentiles": None},
    }
    keys = CHANNEL_KEYS.copy()
    keys.insert(keys.index("message_count") + 1, "global_msg_count")
    assert list(channel) == keys
    [client] = channel.pop("clients")
    assert channel == {
        "channel_name": "c",
        "depth": 1,
        "backend_depth": 0,
        "in_flight_count": 1,
        "deferred_count": 0,
        "message_count": 2,
        "global_msg_count": 1,
        "requeue_count": 0,
        "timeout_count": 0,
        "client_count": 1,
        "paused": False,
        "e2e_processing_latency": {"count": 0, "percentiles": None},
    }
    assert list(client) == CLIENT_KEYS
    assert abs(client.pop("connect_ts") - time.time()) < 60
    assert client == {
        "client_id": "me",
        "hostname": "here",
        "version": "V2",
        "remote_address": consumer.name,
        "state": 3,
        "ready_count": 1,
        "in_flight_count": 1,
        "message_count": 1,
        "finish_count": 0,
        "requeue_count": 0,
        "sample_rate": 0,
        "deflate": False,
        "snappy": False,
        "user_agent": "ua/1",
        "topology_zone": "",
        "topology_region": "",
        "tls": False,
        "tls_cipher_suite": "",
        "tls_version": "",
        "tls_negotiated_protocol": "",
        "tls_negotiated_protocol_is_mutual": False,
    }
    [sender] = stats["producers"]
    keys = CLIENT_KEYS.copy()
    keys.insert(keys.index("tls"), "pub_counts")
    assert list(sender) == keys
    assert (sender["remote_address"], sender["pub_counts"]) == (producer.name, [{"topic": "t", "count": 2}])


async def test_stats_of_an_idle_channel_leave_out_the_counts_that_are_zero(node: Node) -> None:
    [topic] = (await node.stats())["topics"]
    [channel] = topic["channels"]
    assert list(channel) == CHANNEL_KEYS
    assert channel["clients"] == []


async def test_stats_count_what_consumers_did(node: Node) -> None:
    consumer = await node.subscribe("t", "c", rdy=3)
    await consumer.mpub("t", b"1", b"2", b"3")
    finished, requeued, deferred = await consumer.messages(3)
    consumer.rdy(0)
    consumer.fin(finished.id)
    consumer.req(requeued.id)
    consumer.req(deferred.id, 5000)
    await consumer.settled()
    [channel] = (await node.stats())["topics"][0]["channels"]
    assert (channel["depth"], channel["deferred_count"], channel["in_flight_count"]) == (1, 1, 0)
    assert (channel["requeue_count"], channel["message_count"]) == (2, 3)
    [client] = channel["clients"]
    assert [client[f"{what}_count"] for what in ("message", "finish", "requeue", "ready")] == [3, 1, 2, 0]
    assert client["hostname"] == client["client_id"] == "127.0.0.1"


async def test_stats_are_sorted_by_name_and_filtered(node: Node) -> None:
    for target in (
        "/topic/create?topic=b",
        "/topic/create?topic=a",
        "/channel/create?topic=a&channel=y",
        "/channel/create?topic=a&channel=x",
        "/channel/create?topic=t&channel=x",
    ):
        expect_empty(await node.request("POST", target, b""))
    await node.publish("a", b"x")

    async def shown(query: str) -> dict[str, list[str]] | None:
        topics = (await node.stats(query))["topics"]
        if topics is None:
            return None
        return {t["topic_name"]: [c["channel_name"] for c in t["channels"]] for t in topics}

    everything = {"a": ["x", "y"], "b": [], "t": ["c", "x"]}
    assert list((await shown("") or {}).items()) == list(everything.items())
    assert await shown("&topic=") == everything
    assert await shown("&topic=a") == {"a": ["x", "y"]}
    assert await shown("&topic=a&channel=y") == {"a": ["y"]}
    assert await shown("&channel=x") == {"a": ["x"], "t": ["x"]}
    assert await shown("&topic=a&channel=none") == {}
    assert await shown("&topic=none") is None
    assert await shown("&topic=none&channel=x") is None
    [a] = (await node.stats("&topic=a&channel=y"))["topics"]
    assert a["message_count"] == 1  # the topic's own numbers are not filtered


async def test_producers_are_listed_with_what_they_published(node: Node) -> None:
    assert (await node.stats())["producers"] is None
    producer = await node.connect()
    await producer.pub("t", b"x")
    await producer.pub("u", b"x", b"y")
    expect_ok(await node.request("POST", "/pub?topic=t", b"over HTTP there is nobody to list"))
    await node.subscribe("t", "c")

    async def counts(query: str) -> object:
        listed = (await node.stats(query))["producers"]
        return listed and [p.get("pub_counts") for p in listed]

    t, u = {"topic": "t", "count": 1}, {"topic": "u", "count": 2}
    assert await counts("") == [[t, u]]
    assert await counts("&topic=u") == [[u]]
    assert await counts("&channel=c") == [[t, u]]
    expect_empty(await node.request("POST", "/topic/create?topic=other", b""))
    assert await counts("&topic=other") == [None]
    assert await counts("&topic=unknown") is None
    assert await counts("&include_clients=false") is None
    producer.close()
    await eventually(lambda: len(node.nsqd._connections._open) == 1)
    assert await counts("") is None


@pytest.mark.parametrize(
    ("value", "included"), [("true", 1), ("1", 1), ("x", 1), ("", 1), ("TRUE", 1), ("false", 0), ("0", 0)]
)
async def test_clients_and_memory_are_left_out_on_demand(node: Node, value: str, included: int) -> None:
    await node.subscribe("t", "c")
    answer = await node.request("GET", f"/stats?format=json&include_clients={value}")
    [channel] = json.loads(answer.body)["topics"][0]["channels"]
    assert channel["client_count"] == 1
    assert channel["clients"] is None if not included else len(channel["clients"]) == 1
    answer = await node.request("GET", f"/stats?format=json&include_mem={value}")
    assert ("memory" in json.loads(answer.body)) is bool(included)
    answer = await node.request("GET", f"/stats?include_mem={value}&include_clients={value}")
    assert (b"\nMemory:\n" in answer.body) is bool(included)
    assert (b"[V2 " in answer.body) is bool(included)


@pytest.mark.parametrize("query", ["", "?format=JSON", "?format=", "?format=text"])
async def test_without_format_json_stats_are_text(node: Node, query: str) -> None:
    answer = await node.request("GET", f"/stats{query}")
    assert headers_of(answer)["Content-Type"] == TEXT["Content-Type"]
    assert answer.body.startswith(f"{banner('nsqd')}\n".encode())


async def test_a_bad_query_of_stats_is_refused(node: Node) -> None:
    for query in BAD_QUERIES:
        expect_refusal(await node.request("GET", f"/stats?{query}"), 400, "INVALID_REQUEST")


async def test_the_text_of_stats_is_laid_out_as_the_originals(node: Node) -> None:
    consumer = await node.subscribe("t", "c", 2, user_agent="ua/1", hostname="hst")
    producer = await node.connect()
    await producer.pub("t", b"1", b"2", b"3")
    await producer.pub("a-very-long-topic-name", b"1")
    await consumer.messages(2)
    for target in ("/topic/pause?topic=a-very-long-topic-name", "/channel/pause?topic=t&channel=c"):
        expect_empty(await node.request("POST", target, b""))
    text = (await node.request("GET", "/stats")).body.decode()
    text = re.sub(r"start_time \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)\n", "start_time TIME\n", text)
    text = re.sub(r"uptime (\d+(\.\d+)?(ms|s|µs))+\n", "uptime TIME\n", text)
    text = re.sub(r"\t\d+\n", "\t0\n", text)
    text = re.sub(r"connected: \d+s\n", "connected: 0s\n", text)
    port, other = consumer.name.rpartition(":")[2], producer.name
    queue = "depth: 1     be-depth: 0    "
    channel = "inflt: 2    def: 0    re-q: 0     timeout: 0     msgs: 3        e2e%: "
    consumed = "state: 3 inflt: 2    rdy: 2    fin: 0        re-q: 0        msgs: 2        connected: 0s"
    lines = [
        banner("nsqd"),
        "start_time TIME",
        "uptime TIME",
        "",
        "Health: OK",
        "",
        "Memory:",
        *[f"   {key:<25}\t0" for key in MEMORY_KEYS],
        "",
        "Topics:",
        f"*P [a-very-long-topic-name] {queue} msgs: 1        e2e%: ",
        "",
        "   [t              ] depth: 0     be-depth: 0     msgs: 3        e2e%: ",
        f"   *P [c                        ] {queue} {channel}",
        f"        [V2 {f'hst:{port} ua/1':<21}] {consumed}",
        "",
        "Producers:",
        f"   [V2 {f'{other} ':<21}] msgs: 4        topics: a-very-long-topic-name=1,t=3 connected: 0s",
        "",
    ]
    assert text.split("\n") == lines


async def test_the_text_of_stats_without_topics_and_producers_says_so(tmp_path: Path) -> None:
    async with Node(tmp_path) as node:
        text = (await node.request("GET", "/stats?include_mem=false")).body.decode()
        assert text.endswith("\n\nHealth: OK\n\nTopics: None\n\nProducers: None\n")


async def test_a_producer_of_another_topic_is_shown_as_a_consumer_is(node: Node) -> None:
    producer = await node.connect()
    await producer.pub("u", b"x")
    text = (await node.request("GET", "/stats?topic=t&include_mem=0")).body.decode()
    line = (
        f"   [V2 {f'{producer.name} ':<21}] state: 0 inflt: 0    rdy: 0    fin: 0        re-q: 0        "
        "msgs: 0        connected: "
    )
    assert f"\nProducers:\n{line}" in text


async def test_stats_of_very_many_topics_come_whole(node: Node) -> None:
    for n in range(450):
        node.broker.topic(b"many-%03d" % n)
    topics = (await node.stats())["topics"]
    assert [t["topic_name"] for t in topics] == [f"many-{n:03d}" for n in range(450)] + ["t"]


async def test_bytes_that_are_no_text_in_a_filter_match_nothing(node: Node) -> None:
    assert (await node.stats("&topic=%ff"))["topics"] is None


async def test_a_consumer_that_publishes_too_is_listed_with_what_it_published(node: Node) -> None:
    consumer = await node.subscribe("t", "c", client_id="me", hostname="here")
    await consumer.pub("t", b"x")
    text = (await node.request("GET", "/stats")).body.decode()
    lines = [line for line in text.splitlines() if "[V2 here:" in line]
    assert len(lines) == 2
    assert [line.partition("[")[0] for line in lines] == [" " * 8, " " * 3]
    assert all("] msgs: 1        topics: t=1 connected: " in line for line in lines)
    other = (await node.request("GET", "/stats?topic=u")).body.decode()
    assert "topics: t=1" not in other
