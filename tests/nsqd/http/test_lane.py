"""The fast lane of HTTP: what is for it, how it hands over, and clients that are slow."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from nsqcore import last_words
from nsqcore.wire.commands import encode_batch
from nsqd.http import lane as module
from nsqd.http.head import read_head
from nsqd.http.lane import HIGH_WATER, MAX_HEAD, HttpLane
from nsqd.http.publish import Arguments
from tests.nsqd.answers import post_bytes
from tests.support.nsqd import Node, eventually

pytestmark = pytest.mark.usefixtures("quick_disk")


def lane_of(node: Node) -> HttpLane:
    """The only connection that was not handed over."""
    [lane] = node.lanes.open
    return lane


def messages(node: Node, topic: str) -> list[bytes]:
    """Bodies in memory of a topic without channels."""
    return [frame[34:] for frame in node.topic(topic).queue.memory]


# -- what is for the lane --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_bytes", "args", "length", "keep_alive"),
    [
        (post_bytes("/pub?topic=t", b"x"), Arguments(b"t", None, None), 1, True),
        (post_bytes("/mpub?topic=t&binary=true", b""), Arguments(b"t", None, "true"), 0, True),
        (post_bytes("/pub?topic=a%23b+c&x", b"x"), Arguments(b"a#b c", None, None), 1, True),
        (post_bytes("/pub?topic=t", b"x", length="content-length:1"), Arguments(b"t", None, None), 1, True),
        (
            post_bytes("/pub?topic=t", b"x", length="CONTENT-LENGTH: \t 01 \t"),
            Arguments(b"t", None, None),
            1,
            True,
        ),
        (post_bytes("/pub?topic=t", b"x", "Connection: close"), Arguments(b"t", None, None), 1, False),
        (
            post_bytes("/pub?topic=t", b"x", "connection: Keep-Alive, CLOSE"),
            Arguments(b"t", None, None),
            1,
            False,
        ),
        (
            post_bytes("/pub?topic=t", b"x", "Content-Type: text/plain", "X-Y: \xff"),
            Arguments(b"t", None, None),
            1,
            True,
        ),
    ],
)
def test_plain_publishes_are_for_the_lane(
    request_bytes: bytes, args: Arguments, length: int, keep_alive: bool
) -> None:
    head = read_head(request_bytes.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
    assert head is not None
    assert (head.args, head.length, head.keep_alive) == (args, length, keep_alive)


@pytest.mark.parametrize(
    "head",
    [
        post_bytes("/pub?topic=t", b"", length="Content-Length: 1").replace(b"POST", b"PUT"),
        post_bytes("/pub?topic=t", b"", length="Content-Length: 1").replace(b"1.1", b"1.0"),
        post_bytes("/pub?topic=t", b"", length="Content-Length: 1").replace(b"Host: nsqd\r\n", b""),
        post_bytes("/pub?topic=t", b"", "Host: again", length="Content-Length: 1"),
        post_bytes("/pub?topic=t", b"", "Transfer-Encoding: chunked", length="Content-Length: 1"),
        post_bytes("/pub?topic=t", b"", "Transfer-Encoding: chunked", length=""),
        post_bytes("/pub?topic=t", b"", "transfer-encoding: identity", length="Content-Length: 1"),
        post_bytes("/pub?topic=t", b"", "Expect: 100-continue", length="Content-Length: 1"),
        post_bytes("/pub?topic=t", b"", "Connection: upgrade", "Upgrade: h2c", length="Content-Length: 1"),
        post_bytes("/pub?topic=t", b"", "Content-Length: 1", length="Content-Length: 1"),
        post_bytes("/pub?topic=t", b"", "Content-Length: 1", length="Content-Length: 2"),
        post_bytes("/pub?topic=t", b"", length=""),
        post_bytes("/pub?topic=t", b"", length="Content-Length: 1, 1"),
        post_bytes("/pub?topic=t", b"", length="Content-Length: +1"),
        post_bytes("/pub?topic=t", b"", length="Content-Length: -1"),
        post_bytes("/pub?topic=t", b"", length="Content-Length: 0x1"),
        post_bytes("/pub?topic=t", b"", length="Content-Length: "),
        post_bytes("/pub?topic=t", b"", length="Content-Length: 99999999999999999999999999"),
        post_bytes("/pub?topic=t", b"", length="Content-Length : 1"),
        post_bytes("/pub?topic=t", b""),
        post_bytes("/pub?topic=%", b"", length="Content-Length: 1"),
        post_bytes("/pub/?topic=t", b"", length="Content-Length: 1"),
        post_bytes("/Pub?topic=t", b"", length="Content-Length: 1"),
        post_bytes("http://nsqd/pub?topic=t", b"", length="Content-Length: 1"),
        post_bytes("/topic/create?topic=t", b"", length="Content-Length: 1"),
        b"\0\0\0\0\r\n\r\n",
        b"garbage\r\n\r\n",
    ],
)
def test_everything_else_is_not(head: bytes) -> None:
    assert read_head(head) is None


# -- keeping and closing connections ---------------------------------------------------------------


async def test_a_connection_serves_many_requests(node: Node) -> None:
    client = await node.connect_http()
    for n in range(50):
        answer = await client.request("POST", "/pub?topic=t", b"%d" % n)
        assert (answer.status, answer.body) == (200, b"OK")
        assert "Connection" not in answer.headers
    assert messages(node, "t") == [b"%d" % n for n in range(50)]
    assert not lane_of(node)._over


@pytest.mark.parametrize("target", ["/pub?topic=t", "/pub?topic=", "/mpub?topic=t"])
async def test_connection_close_is_answered_and_closed(node: Node, target: str) -> None:
    client = await node.connect_http()
    first = await client.request("POST", "/pub?topic=t", b"x")
    assert "Connection" not in first.headers
    answer = await client.request("POST", target, b"x", ["Connection: close"])
    assert answer.headers["Connection"] == "close"
    assert answer.status == (400 if target.endswith("=") else 200)
    await client.closed()


async def test_connection_close_behind_a_write_to_disk_is_answered_and_closed(tmp_path: Path) -> None:
    async with Node(tmp_path, "--mem-queue-size=0") as node:
        client = await node.connect_http()
        client.send(post_bytes("/pub?topic=t", b"1") + post_bytes("/pub?topic=t", b"2", "Connection: close"))
        assert [(await client.answer()).headers.get("Connection") for _ in range(2)] == [None, "close"]
        await client.closed()
        assert node.topic("t").depth == 2


async def test_what_is_too_long_is_refused_before_it_is_sent_and_the_connection_closed(node: Node) -> None:
    for length in (1024 * 1024 + 1, 10**14):
        client = await node.connect_http()
        client.send(post_bytes("/pub?topic=t", b"x" * 1_000_000, length=f"Content-Length: {length}"))
        answer = await client.answer()
        assert (answer.status, answer.body) == (413, b'{"message":"MSG_TOO_BIG"}')
        assert answer.headers["Connection"] == "close"
        await client.closed()
    assert not node.broker.topics


@pytest.mark.parametrize("flag", ["", "--mem-queue-size=0"])
async def test_what_was_sent_whole_is_answered_behind_the_end_of_the_stream(
    tmp_path: Path, flag: str
) -> None:
    async with Node(tmp_path, *filter(None, [flag])) as node:
        client = await node.connect_http()
        long = b"\n".join([b"x"] * 30_000)
        client.send(
            post_bytes("/pub?topic=t", b"1")
            + post_bytes("/mpub?topic=t", long)
            + post_bytes("/pub?topic=t", b"2")
        )
        client.send(post_bytes("/pub?topic=t", b"3")[:-1])
        client.send_eof()
        assert [(await client.answer()).body for _ in range(3)] == [b"OK"] * 3
        assert (await client.answer()).status == 500  # the last one lacks a byte
        await client.closed()
        assert node.topic("t").depth == 30_002


async def test_a_client_that_is_gone_leaves_what_it_published_and_nothing_else(node: Node) -> None:
    client = await node.connect_http()
    await client.request("POST", "/pub?topic=t", b"x")
    client.send(post_bytes("/pub?topic=t", b"y")[:-1])
    lanes = node.lanes
    await eventually(lambda: bool(lane_of(node)._parts))
    client.drop()
    await eventually(lambda: not lanes.open)
    assert messages(node, "t") == [b"x"]


# -- handing over ----------------------------------------------------------------------------------


async def test_a_connection_goes_over_to_the_api_at_the_first_other_request_and_stays(node: Node) -> None:
    client = await node.connect_http()
    client.send(
        post_bytes("/pub?topic=t", b"1")
        + post_bytes("/mpub?topic=t", b"2\n3")
        + b"GET /ping HTTP/1.1\r\nHost: nsqd\r\n\r\n"
        + post_bytes("/pub?topic=t", b"4")
    )
    answers = [await client.answer() for _ in range(4)]
    assert [answer.body for answer in answers] == [b"OK"] * 4
    assert messages(node, "t") == [b"1", b"2", b"3", b"4"]
    assert not node.lanes.open


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /stats?format=json HTTP/1.1\r\nHost: nsqd\r\n\r\n",
        b"DELETE /pub?topic=t HTTP/1.1\r\nHost: nsqd\r\n\r\n",
        b"POST /topic/create?topic=u HTTP/1.1\r\nHost: nsqd\r\nContent-Length: 0\r\n\r\n",
        b"POST /pub?topic=t HTTP/1.1\r\nHost: nsqd\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        b"POST /pub?topic=t HTTP/1.1\r\nHost: nsqd\r\nX: " + b"y" * 5000 + b"\r\nContent-Length: 1\r\n\r\nx",
    ],
)
@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_not_a_byte_is_lost_at_the_hand_over(node: Node, request_bytes: bytes, size: int) -> None:
    client = await node.connect_http()
    await client.request("POST", "/pub?topic=t", b"x")
    lane = lane_of(node)
    for at in range(0, len(request_bytes), size):
        protocol = lane._transport.get_protocol()
        assert isinstance(protocol, asyncio.Protocol)
        protocol.data_received(request_bytes[at : at + size])
    assert (await client.answer()).status in (200, 405)
    assert (await client.request("GET", "/ping")).body == b"OK"


async def test_a_hand_over_waits_for_the_answers_that_wait_for_the_disk(tmp_path: Path) -> None:
    async with Node(tmp_path, "--mem-queue-size=0") as node:
        client = await node.connect_http()
        client.send(post_bytes("/pub?topic=t", b"1") + b"GET /ping HTTP/1.1\r\nHost: nsqd\r\n\r\n")
        answers = [await client.answer() for _ in range(2)]
        assert ["X-Nsq-Content-Type" in answer.headers for answer in answers] == [True, False]
        assert not node.lanes.open


async def test_curls_way_to_send_a_large_body_works(node: Node) -> None:
    client = await node.connect_http()
    body = b"x" * 2000
    client.send(post_bytes("/pub?topic=t", b"", "Expect: 100-continue", length="Content-Length: 2000"))
    assert await client.read(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(body)
    assert (await client.answer()).body == b"OK"
    client.send(
        post_bytes("/pub?topic=t", b"", "Transfer-Encoding: chunked", "Expect: 100-continue", length="")
        + b"3\r\nabc\r\n"
        + b"2;extension=1\r\nde\r\n0\r\n\r\n"
    )
    assert await client.read(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert (await client.answer()).body == b"OK"
    assert messages(node, "t") == [body, b"abcde"]


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"  V2PUB t\n",
        b"POST /pub?topic=t HTTP/1.1\r\nX: " + b"y" * 100_000,
        b"POST /pub?topic=t HTTP/1.1\r\n" + b"X: y\r\n" * 10_000 + b"\r\n",
        post_bytes("/pub?topic=t", b"x", "Content-Length: 1", length="Content-Length: 2"),
        post_bytes("/pub?topic=t", b"x", "Transfer-Encoding: chunked"),
        b"POST /pub?topic=t HTTP/9.9\r\nHost: nsqd\r\nContent-Length: 1\r\n\r\nx",
        b"POST /pub?topic=t HTTP/1.1\r\nbad\r\nContent-Length: 1\r\n\r\nx",
    ],
)
async def test_garbage_is_refused_and_harms_nobody(node: Node, garbage: bytes) -> None:
    client = await node.connect_http()
    client.send(garbage + b"\r\n\r\n")
    await client.until(lambda: client.ended or b"\r\n\r\n" in client.buffer)
    assert bytes(client.buffer[:10]) in (b"HTTP/1.1 4", b"HTTP/1.1 5")
    client.close()
    assert (await node.request("POST", "/pub?topic=u", b"x")).status == 200
    assert list(node.broker.topics) == [b"u"]


# -- long work and slow clients --------------------------------------------------------------------


async def test_a_long_batch_is_published_in_slices_and_in_order(tmp_path: Path) -> None:
    async with Node(tmp_path, "--mem-queue-size=1000000") as node:
        lines = [b"%d" % n for n in range(100_000)]
        client, other = await node.connect_http(), await node.connect_http()
        client.send(post_bytes("/mpub?topic=t", b"\n".join(lines)) + post_bytes("/pub?topic=t", b"behind"))
        client.send(post_bytes("/mpub?topic=t&binary=true", encode_batch(lines)))
        between = 0
        while not client.buffer:
            await other.request("POST", "/pub?topic=u", b"x")
            between += 1
        assert between > 5
        assert [(await client.answer()).body for _ in range(3)] == [b"OK"] * 3
        assert messages(node, "t") == [*lines, b"behind", *lines]


async def test_a_long_batch_that_is_wrong_at_its_end_publishes_nothing(node: Node) -> None:
    batch = encode_batch([b"x"] * 50_000)[:-1]
    answer = await node.request("POST", "/mpub?topic=t&binary=true", batch)
    assert (answer.status, answer.body) == (413, b'{"message":"BAD_MESSAGE"}')
    assert node.topic("t").depth == 0


async def test_very_many_requests_in_one_read_are_answered_in_slices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_REQUESTS", 10)
    async with Node(tmp_path) as node:
        client, other = await node.connect_http(), await node.connect_http()
        client.send(b"".join(post_bytes("/pub?topic=t", b"%d" % n) for n in range(2000)))
        between = 0
        while node.broker.topics.get(b"t") is None or node.topic("t").depth < 2000:
            await other.request("POST", "/pub?topic=u", b"x")
            between += 1
        assert between > 5
        assert [(await client.answer()).body for _ in range(2000)] == [b"OK"] * 2000
        assert messages(node, "t") == [b"%d" % n for n in range(2000)]


async def test_what_comes_behind_a_long_batch_is_buffered_within_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_UNREAD", 100_000)
    async with Node(tmp_path, "--mem-queue-size=1000000") as node:
        client = await node.connect_http()
        client.send(
            post_bytes("/mpub?topic=t", b"x\n" * 200_000) + post_bytes("/pub?topic=t", b"y" * 1000) * 5000
        )
        await eventually(lambda: bool(node.lanes.open))
        lane, most = lane_of(node), 0

        def done() -> bool:
            nonlocal most
            if lane._at_work:
                most = max(most, lane._have)
            return node.broker.topics.get(b"t") is not None and node.topic("t").depth == 205_000

        await eventually(done, 20)
        assert most < 1_000_000
        assert [(await client.answer()).body for _ in range(5001)] == [b"OK"] * 5001


async def test_a_client_that_does_not_take_its_answers_is_not_read(tmp_path: Path) -> None:
    async with Node(tmp_path, "--mem-queue-size=1000000") as node:
        client = await node.connect_http()
        client.transport.pause_reading()
        count = 100_000
        client.send(post_bytes("/pub?topic=t", b"x") * count)
        await eventually(lambda: bool(node.lanes.open))
        lane = lane_of(node)
        await eventually(lambda: lane._blocked_since > 0)
        assert lane._transport.get_write_buffer_size() < 2 * HIGH_WATER
        assert (await node.request("POST", "/pub?topic=u", b"x")).status == 200
        assert node.topic("t").depth < count
        client.transport.resume_reading()
        await eventually(lambda: node.topic("t").depth == count, 20)
        size = len(lane._lanes.ok)
        assert len(await client.read(count * size)) == count * size


@pytest.mark.parametrize("target", ["/pub?topic=t", "/nowhere"], ids=["lane", "api"])
async def test_a_client_that_takes_no_answers_can_not_keep_its_end_from_closing(
    node: Node, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    monkeypatch.setattr(last_words, "STALLED_S", 0.1)
    client = await node.connect_http()
    client.transport.pause_reading()
    client.send(post_bytes("/pub?topic=t", b"x"))
    await eventually(lambda: b"t" in node.broker.topics)
    lane = lane_of(node)
    lane._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    client.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.send(post_bytes(target, b"x") * 4500)
    client.send_eof()
    (api,) = node.nsqd._http
    await eventually(lambda: lane._transport.get_write_buffer_size() > 100_000)
    await eventually(lambda: not node.lanes.open and not api.open, 10)


async def test_a_client_that_never_takes_its_answers_is_cut_off(tmp_path: Path) -> None:
    async with Node(tmp_path, "--mem-queue-size=1000000") as node:
        client = await node.connect_http()
        client.transport.pause_reading()
        client.send(post_bytes("/pub?topic=t", b"x") * 100_000)
        lanes = node.lanes
        await eventually(lambda: bool(lanes.open))
        lane = lane_of(node)
        await eventually(lambda: lane._blocked_since > 0)
        lane.sweep(lane._blocked_since + module.SLOW_S - 1)
        assert not lane._transport.is_closing()
        lane.sweep(lane._blocked_since + module.SLOW_S + 1)
        await eventually(lambda: not lanes.open)


@pytest.mark.parametrize(
    "part", [b"P", b"POST /pub?topic=t HTTP/1.1\r\nHo", post_bytes("/pub?topic=t", b"xyz")[:-1]]
)
async def test_a_request_that_does_not_get_finished_is_swept_away(node: Node, part: bytes) -> None:
    client = await node.connect_http()
    await client.request("POST", "/pub?topic=t", b"x")
    lane, now = lane_of(node), asyncio.get_running_loop().time
    client.send(part)
    await eventually(lambda: lane._since > 0)
    lane.sweep(now() + module.SLOW_S - 5)
    assert not lane._transport.is_closing()
    lane.sweep(now() + module.SLOW_S + 5)
    await client.closed()


async def test_the_sweep_runs_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLOW_S", 0.01)
    async with Node(tmp_path) as node:
        client = await node.connect_http()
        client.send(b"POST /pub")
        await client.closed()


async def test_an_idle_connection_is_not_swept_away(node: Node) -> None:
    client = await node.connect_http()
    await client.request("POST", "/pub?topic=t", b"x")
    lane_of(node).sweep(asyncio.get_running_loop().time() + 1_000_000)
    assert (await client.request("POST", "/pub?topic=t", b"x")).status == 200


async def test_a_sender_whose_reads_always_end_inside_a_request_is_not_slow(node: Node) -> None:
    client = await node.connect_http()
    whole = post_bytes("/pub?topic=t", b"0123456789")
    client.send(whole[:-1])
    await eventually(lambda: bool(node.lanes.open) and lane_of(node)._since > 0)
    lane = lane_of(node)
    lane._since -= module.SLOW_S - 1  # so long it has taken so far
    client.send(whole[-1:] + whole[:-1])
    await client.answer()
    lane.sweep(asyncio.get_running_loop().time() + 10)
    client.send(whole[-1:])
    assert (await client.answer()).status == 200


async def test_heads_are_remembered_up_to_a_number(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_REMEMBERED", 10)
    client = await node.connect_http()
    lane = None
    for n in range(35):
        assert (await client.request("POST", f"/pub?topic=t&n={n}", b"x", [f"X: {'y' * 100}"])).status == 200
        lane = lane_of(node)
        assert 0 < len(lane._lanes.heads) <= 10
    assert node.topic("t").depth == 35


async def test_a_head_longer_than_the_lane_takes_goes_to_the_api(node: Node) -> None:
    client = await node.connect_http()
    padding = [f"X-{n}: {'y' * 1000}" for n in range(MAX_HEAD // 1000 + 1)]
    answer = await client.request("POST", "/pub?topic=t", b"x", padding)
    assert (answer.status, answer.body) == (200, b"OK")
    assert not node.lanes.open
