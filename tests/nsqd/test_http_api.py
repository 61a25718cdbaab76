"""The HTTP API: every endpoint with every refusal, by status, headers and body."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from nsqcore.version import banner, suite_version
from nsqcore.wire.commands import encode_batch, encode_pub
from tests.support.clock import Clock
from tests.support.nsqd import Answer, Node, eventually

API = {"X-Nsq-Content-Type": "nsq; version=1.0"}
TEXT = {"Content-Type": "text/plain; charset=utf-8"}
JSON = {"Content-Type": "application/json; charset=utf-8"}
EPHEMERAL = "%23ephemeral"


def headers_of(answer: Answer) -> dict[str, str]:
    """Without those that tell of the moment, the server and the connection."""
    return {k: v for k, v in answer.headers.items() if k not in ("Date", "Server", "Connection")}


def expect_ok(answer: Answer) -> None:
    assert (answer.status, answer.body) == (200, b"OK")
    assert headers_of(answer) == {**API, **TEXT, "Content-Length": "2"}


def expect_empty(answer: Answer) -> None:
    assert (answer.status, answer.body) == (200, b"")
    assert headers_of(answer) == {**API, "Content-Length": "0"}


def expect_refusal(answer: Answer, status: int, code: str) -> None:
    body = b'{"message":"%b"}' % code.encode()
    assert (answer.status, answer.body) == (status, body)
    assert headers_of(answer) == {**API, **JSON, "Content-Length": str(len(body))}


@pytest_asyncio.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    """A topic t with a channel c, and low limits."""
    flags = ("--max-msg-size=100", "--max-body-size=1000", "--max-req-timeout=10s", "--msg-timeout=50s")
    async with Node(tmp_path, *flags) as running:
        running.broker.channel(running.broker.topic(b"t"), "c")
        yield running


# -- refusals --------------------------------------------------------------------------------------

BAD_QUERIES = ["topic=t;channel=c", "topic=%zz", "topic=t&x=%", "topic=%2"]
TOPIC_ENDPOINTS = ["create", "delete", "empty", "pause", "unpause"]
CHANNEL_ENDPOINTS = ["create", "delete", "empty", "pause", "unpause"]


def topic_refusals() -> list[tuple[str, int, str]]:
    found = []
    for verb in TOPIC_ENDPOINTS:
        path = f"/topic/{verb}"
        found += [(f"{path}?{query}", 400, "INVALID_REQUEST") for query in BAD_QUERIES]
        found += [
            (f"{path}{query}", 400, "MISSING_ARG_TOPIC") for query in ("", "?", "?channel=c", "?Topic=t")
        ]
        judged = verb in ("create", "empty")
        for name in ("", "a%20b", "%ff", "t" * 65, "t%0A", f"t{EPHEMERAL}x"):
            refusal = (400, "INVALID_TOPIC") if judged else (404, "TOPIC_NOT_FOUND")
            found.append((f"{path}?topic={name}", *refusal))
        if verb != "create":
            found.append((f"{path}?topic=unknown", 404, "TOPIC_NOT_FOUND"))
    return found


def channel_refusals() -> list[tuple[str, int, str]]:
    found = []
    for verb in CHANNEL_ENDPOINTS:
        path = f"/channel/{verb}"
        found += [(f"{path}?{query}", 400, "INVALID_REQUEST") for query in BAD_QUERIES]
        found += [
            (path, 400, "MISSING_ARG_TOPIC"),
            (f"{path}?channel=c", 400, "MISSING_ARG_TOPIC"),
            (f"{path}?topic=", 400, "INVALID_ARG_TOPIC"),
            (f"{path}?topic=a%00&channel=c", 400, "INVALID_ARG_TOPIC"),
            (f"{path}?topic=unknown", 400, "MISSING_ARG_CHANNEL"),
            (f"{path}?topic=t&channel=", 400, "INVALID_ARG_CHANNEL"),
            (f"{path}?topic=unknown&channel=c@", 400, "INVALID_ARG_CHANNEL"),
            (f"{path}?topic=unknown&channel=c", 404, "TOPIC_NOT_FOUND"),
        ]
        if verb != "create":
            found.append((f"{path}?topic=t&channel=unknown", 404, "CHANNEL_NOT_FOUND"))
    return found


@pytest.mark.parametrize(("target", "status", "code"), topic_refusals() + channel_refusals())
async def test_an_endpoint_refuses(node: Node, target: str, status: int, code: str) -> None:
    expect_refusal(await node.request("POST", target, b""), status, code)
    assert list(node.broker.topics) == [b"t"]
    assert list(node.topic("t").channels) == ["c"]


@pytest.mark.parametrize(
    ("target", "body", "status", "code"),
    [
        ("/pub?topic=u", b"x" * 101, 413, "MSG_TOO_BIG"),
        ("/pub", b"x" * 101, 413, "MSG_TOO_BIG"),
        ("/pub?topic=u", b"", 400, "MSG_EMPTY"),
        ("/pub?topic=%", b"", 400, "MSG_EMPTY"),
        ("/pub?topic=%", b"x", 400, "INVALID_REQUEST"),
        ("/pub?topic=u;", b"x", 400, "INVALID_REQUEST"),
        ("/pub", b"x", 400, "MISSING_ARG_TOPIC"),
        ("/pub?defer=x", b"x", 400, "MISSING_ARG_TOPIC"),
        ("/pub?topic=", b"x", 400, "INVALID_TOPIC"),
        ("/pub?topic=u+v&defer=x", b"x", 400, "INVALID_TOPIC"),
        ("/mpub?topic=u", b"x\n" * 501, 413, "BODY_TOO_BIG"),
        ("/mpub?topic=%2", b"x", 400, "INVALID_REQUEST"),
        ("/mpub", b"x", 400, "MISSING_ARG_TOPIC"),
        ("/mpub?topic=u%00", b"x", 400, "INVALID_TOPIC"),
    ],
)
async def test_publishing_is_refused(node: Node, target: str, body: bytes, status: int, code: str) -> None:
    expect_refusal(await node.request("POST", target, body), status, code)
    assert list(node.broker.topics) == [b"t"]


@pytest.mark.parametrize(
    ("target", "body", "status", "code"),
    [
        *[
            (f"/pub?topic=u&defer={delay}", b"x", 400, "INVALID_DEFER")
            for delay in ("", "x", "-1", "1.5", "1s", "10001", "+", "1_000", "%201", "9" * 30, "0x10")
        ],
        ("/mpub?topic=u", b"ok\n" + b"x" * 101, 413, "MSG_TOO_BIG"),
        ("/mpub?topic=u&binary=true", b"", 413, "BAD_BODY"),
        ("/mpub?topic=u&binary=true", b"\0\0\0", 413, "BAD_BODY"),
        ("/mpub?topic=u&binary=true", b"\0\0\0\0", 413, "BAD_BODY"),
        ("/mpub?topic=u&binary=1", b"\xff\xff\xff\xff", 413, "BAD_BODY"),
        ("/mpub?topic=u&binary=true", b"\0\0\0\xc8", 413, "BAD_BODY"),
        ("/mpub?topic=u&binary=true", b"\0\0\0\1", 413, "BAD_MESSAGE"),
        ("/mpub?topic=u&binary=true", b"\0\0\0\1\0\0\0\0", 413, "BAD_MESSAGE"),
        ("/mpub?topic=u&binary=true", b"\0\0\0\1\xff\xff\xff\xff", 413, "BAD_MESSAGE"),
        ("/mpub?topic=u&binary=true", encode_batch([b"a", b"bc"])[:-1], 413, "BAD_MESSAGE"),
        ("/mpub?topic=u&binary=true", encode_batch([b"a", b"b" * 101]), 413, "BAD_MESSAGE"),
        ("/mpub?topic=u&binary=yes", b"text", 413, "BAD_BODY"),
        ("/mpub?topic=u&binary=", b"text\n", 413, "BAD_BODY"),
    ],
)
async def test_publishing_is_refused_when_the_topic_is_there_already(
    node: Node, target: str, body: bytes, status: int, code: str
) -> None:
    expect_refusal(await node.request("POST", target, body), status, code)
    assert node.topic("u").message_count == 0


@pytest.mark.parametrize("path", ["/", "/nothing", "/topic", "/topic/", "/topic/rename", "/pub/x", "//ping"])
async def test_unknown_paths_are_not_found(node: Node, path: str) -> None:
    expect_refusal(await node.request("GET", path), 404, "NOT_FOUND")
    expect_refusal(await node.request("POST", path, b"x"), 404, "NOT_FOUND")


GETS = ["/ping", "/info", "/stats"]
POSTS = ["/pub", "/mpub"] + [f"/{what}/{verb}" for what in ("topic", "channel") for verb in TOPIC_ENDPOINTS]


@pytest.mark.parametrize("path", GETS + POSTS)
async def test_the_wrong_method_is_told_the_right_ones(node: Node, path: str) -> None:
    for method in ("GET", "POST", "PUT", "DELETE", "PATCH"):
        if method == ("GET" if path in GETS else "POST"):
            continue
        answer = await node.request(method, path, b"" if method != "GET" else None)
        assert answer.headers.pop("Allow") == ("GET, OPTIONS" if path in GETS else "OPTIONS, POST")
        expect_refusal(answer, 405, "METHOD_NOT_ALLOWED")
    answer = await node.request("OPTIONS", path)
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["Allow"] == ("GET, OPTIONS" if path in GETS else "OPTIONS, POST")


@pytest.mark.parametrize(
    ("method", "target", "status", "location"),
    [
        ("GET", "/ping/", 301, "/ping"),
        ("GET", "/Stats?format=json&x=%20", 301, "/stats?format=json&x=%20"),
        ("POST", "/PUB?topic=t", 307, "/pub?topic=t"),
        ("POST", "/topic/create/?topic=t", 307, "/topic/create?topic=t"),
    ],
)
async def test_a_misspelt_path_is_redirected(
    node: Node, method: str, target: str, status: int, location: str
) -> None:
    answer = await node.request(method, target, b"x" if method == "POST" else None)
    assert (answer.status, answer.headers["Location"]) == (status, location)


# -- publishing ------------------------------------------------------------------------------------


def waiting(node: Node, topic: str) -> list[bytes]:
    """Bodies in memory of a topic without channels."""
    return [frame[34:] for frame in node.topic(topic).queue.memory]


async def test_pub_publishes_the_body_as_it_came(node: Node) -> None:
    for body in (b"x", b"\0\xff\r\n", b"y" * 100, b"a=b&topic=z"):
        expect_ok(await node.request("POST", "/pub?topic=u", body))
    assert waiting(node, "u") == [b"x", b"\0\xff\r\n", b"y" * 100, b"a=b&topic=z"]
    assert list(node.broker.topics) == [b"t", b"u"]


async def test_the_first_of_repeated_parameters_counts(node: Node) -> None:
    expect_ok(await node.request("POST", "/pub?topic=u&topic=v&defer=0&defer=x", b"x"))
    assert waiting(node, "u") == [b"x"]


@pytest.mark.parametrize("spelling", ["e%23ephemeral", "%65%23ephemeral", "e#ephemeral"])
async def test_an_ephemeral_topic_may_be_spelled_with_or_without_an_escape(node: Node, spelling: str) -> None:
    expect_ok(await node.request("POST", f"/pub?topic={spelling}", b"1"))
    expect_ok(await node.request("POST", f"/mpub?topic={spelling}", b"2\n3"))
    assert waiting(node, "e#ephemeral") == [b"1", b"2", b"3"]


@pytest.mark.parametrize("delay", ["5000", "%2B5000", "005000", "10000"])
async def test_pub_defers(node: Node, delay: str) -> None:
    consumer = await node.subscribe("t", "c", rdy=1)
    clock = Clock()
    node.topic("t")._loop = node.channel("t", "c")._loop = clock.loop
    expect_ok(await node.request("POST", f"/pub?topic=t&defer={delay}", b"later"))
    clock.advance(4.9)
    await consumer.settled()
    assert len(node.channel("t", "c").deferred) == 1
    clock.advance(5.1)
    message = await consumer.message()
    assert (message.body, message.attempts) == (b"later", 1)


@pytest.mark.parametrize("delay", ["0", "-0", "00"])
async def test_no_delay_is_no_deferral(node: Node, delay: str) -> None:
    expect_ok(await node.request("POST", f"/pub?topic=u&defer={delay}", b"now"))
    assert waiting(node, "u") == [b"now"]


@pytest.mark.parametrize("binary", ["", "&binary=false", "&binary=0"])
@pytest.mark.parametrize(
    ("body", "messages"),
    [
        (b"one\ntwo\n", [b"one", b"two"]),
        (b"one\ntwo", [b"one", b"two"]),
        (b"\n\none\r\n\n\0\n", [b"one\r", b"\0"]),
        (b"x" * 100 + b"\n" + b"y" * 100, [b"x" * 100, b"y" * 100]),
        (b"", []),
        (b"\n\n", []),
    ],
)
async def test_mpub_publishes_lines(node: Node, binary: str, body: bytes, messages: list[bytes]) -> None:
    expect_ok(await node.request("POST", f"/mpub?topic=u{binary}", body))
    assert waiting(node, "u") == messages


@pytest.mark.parametrize("binary", ["true", "1", "yes", "TRUE", ""])
async def test_mpub_publishes_a_binary_batch(node: Node, binary: str) -> None:
    body = encode_batch([b"a\n", b"\0" * 100]) + b"trailing bytes are ignored"
    expect_ok(await node.request("POST", f"/mpub?topic=u&binary={binary}", body))
    assert waiting(node, "u") == [b"a\n", b"\0" * 100]


async def test_a_full_disk_is_an_answer_of_503_and_an_unhealthy_ping(tmp_path: Path) -> None:
    async with Node(tmp_path, "--mem-queue-size=0") as node:
        (tmp_path / "bad.diskqueue.000000.dat").mkdir()
        for target, body in (("/pub?topic=bad", b"x"), ("/mpub?topic=bad", b"x\ny")):
            expect_refusal(await node.request("POST", target, body), 503, "EXITING")
        answer = await node.request("GET", "/ping")
        assert (answer.status, headers_of(answer)["Content-Type"]) == (500, TEXT["Content-Type"])
        assert answer.body.startswith(b"NOK - ")
        assert "X-Nsq-Content-Type" not in answer.headers
        assert (await node.stats())["health"] == answer.body.decode()
        text = (await node.request("GET", "/stats")).body.decode()
        assert f"\n\nHealth: {answer.body.decode()}\n" in text
        expect_ok(await node.request("POST", "/pub?topic=good", b"x"))
        assert (await node.request("GET", "/ping")).body == b"OK"


async def test_while_the_daemon_stops_publishing_and_creating_are_refused_with_503(node: Node) -> None:
    node.broker.exiting = node.topic("t").exiting = True
    for target, body in [
        ("/pub?topic=t", b"x"),
        ("/pub?topic=u", b"x"),
        ("/pub?topic=t&defer=5", b"x"),
        ("/mpub?topic=t", b"x"),
        ("/topic/create?topic=u", b""),
        ("/channel/create?topic=t&channel=d", b""),
    ]:
        expect_refusal(await node.request("POST", target, body), 503, "EXITING")
    node.broker.exiting = node.topic("t").exiting = False


# -- operations ------------------------------------------------------------------------------------


async def test_topics_and_channels_are_created_and_deleted(node: Node) -> None:
    for _ in range(2):  # what is there may be created
        expect_empty(await node.request("POST", "/topic/create?topic=u", b""))
        expect_empty(await node.request("POST", "/channel/create?topic=u&channel=c", b"ignored"))
    assert list(node.topic("u").channels) == ["c"]
    expect_empty(await node.request("POST", "/channel/delete?topic=u&channel=c", b""))
    assert not node.topic("u").channels
    expect_empty(await node.request("POST", "/topic/delete?topic=u"))
    assert list(node.broker.topics) == [b"t"]


async def test_pausing_is_stored_before_it_is_answered(node: Node) -> None:
    def stored() -> tuple[bool, bool]:
        [topic] = json.loads((node.folder / "nsqd.dat").read_text())["topics"]
        [channel] = topic["channels"]
        return topic["paused"], channel["paused"]

    expect_empty(await node.request("POST", "/topic/pause?topic=t", b""))
    assert stored() == (True, False)
    expect_empty(await node.request("POST", "/channel/pause?topic=t&channel=c", b""))
    assert stored() == (True, True)
    expect_empty(await node.request("POST", "/topic/unpause?topic=t", b""))
    assert stored() == (False, True)
    expect_empty(await node.request("POST", "/channel/unpause?topic=t&channel=c", b""))
    assert stored() == (False, False)


async def test_queues_are_emptied(node: Node) -> None:
    await node.publish("t", b"x")
    await node.publish("u", b"x")
    expect_empty(await node.request("POST", "/topic/empty?topic=t", b""))
    assert node.channel("t", "c").depth == 1
    expect_empty(await node.request("POST", "/channel/empty?topic=t&channel=c", b""))
    expect_empty(await node.request("POST", "/topic/empty?topic=u", b""))
    assert node.channel("t", "c").depth == node.topic("u").depth == 0


# -- about the node --------------------------------------------------------------------------------


async def test_ping_answers_in_plain_text(node: Node) -> None:
    answer = await node.request("GET", "/ping?x=1")
    assert (answer.status, answer.reason, answer.body) == (200, "OK", b"OK")
    assert headers_of(answer) == {**TEXT, "Content-Length": "2"}


async def test_info_tells_of_the_node_in_the_originals_order(node: Node) -> None:
    before = int(time.time())
    answer = await node.request("GET", "/info")
    assert (answer.status, headers_of(answer)["Content-Type"]) == (200, JSON["Content-Type"])
    info = json.loads(answer.body)
    assert before - 5 <= info["start_time"] <= before
    assert list(info.items()) == [
        ("version", "1.3.0"),
        ("broadcast_address", "127.0.0.1"),
        ("hostname", socket.gethostname()),
        ("http_port", node.http[1]),
        ("tcp_port", node.tcp[1]),
        ("start_time", info["start_time"]),
        ("max_heartbeat_interval", 60_000_000_000),
        ("max_output_buffer_size", 65536),
        ("max_output_buffer_timeout", 30_000_000_000),
        ("max_deflate_level", 6),
        ("topology_zone", ""),
        ("topology_region", ""),
        ("suite_version", suite_version()),
    ]
    assert answer.body.startswith(b'{"version":"1.3.0","broadcast_address":"127.0.0.1","hostname":"')


# -- stats -----------------------------------------------------------------------------------------

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


async def test_access_is_logged_but_for_publishing(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    await node.request("POST", "/topic/create?topic=u", b"")
    await node.request("POST", "/pub?topic=u", b"x")
    await node.request("GET", "/nothing")
    lines = [r.getMessage() for r in caplog.records if r.name == "nsqcore.http_server"]
    assert [re.sub(r"127.0.0.1:\d+\) .*", "PEER) TIME", line) for line in lines] == [
        "200 POST /topic/create?topic=u (PEER) TIME",
        "404 GET /nothing (PEER) TIME",
    ]


async def test_a_publisher_over_tcp_and_one_over_http_share_a_topic(node: Node) -> None:
    client = await node.connect()
    client.send(encode_pub("u", b"1"))
    await client.expect_ok()
    expect_ok(await node.request("POST", "/pub?topic=u", b"2"))
    assert waiting(node, "u") == [b"1", b"2"]
