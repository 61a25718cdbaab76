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

from nsqcore.version import suite_version
from nsqcore.wire.commands import encode_batch, encode_pub
from tests.nsqd.answers import BAD_QUERIES, JSON, TEXT, expect_empty, expect_ok, expect_refusal, headers_of
from tests.support.clock import Clock
from tests.support.nsqd import Node

pytestmark = pytest.mark.usefixtures("quick_disk")

EPHEMERAL = "%23ephemeral"


@pytest_asyncio.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    """A topic t with a channel c, and low limits."""
    flags = ("--max-msg-size=100", "--max-body-size=1000", "--max-req-timeout=10s", "--msg-timeout=50s")
    async with Node(tmp_path, *flags) as running:
        running.broker.channel(running.broker.topic(b"t"), "c")
        yield running


# -- refusals --------------------------------------------------------------------------------------

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


@pytest.mark.parametrize(
    "path", ["/", "/nothing", "/topic", "/topic/", "/topic/rename", "/pub/x", "//nothing"]
)
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


# -- the rest ---------------------------------------------------------------------------------------


async def test_access_is_logged_but_for_publishing(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    await node.request("POST", "/topic/create?topic=u", b"")
    await node.request("POST", "/pub?topic=u", b"x")
    await node.request("GET", "/nothing")
    lines = [r.getMessage() for r in caplog.records if r.name == "nsqcore.api_server"]
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
