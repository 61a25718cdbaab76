"""A client's socket: the magic, heartbeats and deadlines, clients that do not read, disks that fail."""

from __future__ import annotations

import asyncio
import random
import socket
from pathlib import Path

import pytest

from nsqcore import last_words
from nsqcore.wire.commands import NOP, encode_identify, encode_mpub, encode_pub
from nsqcore.wire.frames import ERROR, MAGIC_V2, RESPONSE, encode_frame
from nsqd.channel import MAX_RUN_BYTES
from nsqd.protocol import connection as module
from nsqd.protocol.connection import HIGH_WATER, Connection
from tests.support.clock import Clock
from tests.support.codecs import compress
from tests.support.nsqd import Node, RawClient, eventually

pytestmark = pytest.mark.usefixtures("quick_disk")


async def beating_client(node: Node, interval: int) -> tuple[RawClient, Clock]:
    """A client with that heartbeat interval (ms), and the clock that its connection goes by."""
    client = await node.connect(magic=b"")
    end = await node.end_of(client)
    clock = Clock()
    end._loop, end._now, end._heard = clock.loop, clock.time, clock.time()
    client.send(MAGIC_V2)
    await client.identify(heartbeat_interval=interval)
    return client, clock


# -- the magic -------------------------------------------------------------------------------------


@pytest.mark.parametrize("magic", [b"  V1", b"  V3", b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0\0", b"V2  "])
async def test_a_bad_magic_is_answered_and_closed(node: Node, magic: bytes) -> None:
    client = await node.connect(magic)
    await client.refused("E_BAD_PROTOCOL")


@pytest.mark.parametrize("magic", [b"", b" ", b"  V"])
async def test_a_stream_that_ends_inside_the_magic_is_closed_without_a_word(node: Node, magic: bytes) -> None:
    client = await node.connect(magic)
    client.send_eof()
    await client.closed()


async def test_the_magic_may_come_in_pieces_and_together_with_commands(node: Node) -> None:
    client = await node.connect(b" ")
    end = await node.end_of(client)
    await eventually(lambda: end._have == 1)
    client.send(b" V")
    await eventually(lambda: end._have == 3)
    client.send(b"2" + encode_pub("t", b"x"))
    await client.expect_ok()


@pytest.mark.parametrize("magic", [b"", b"  V"])
async def test_a_connection_without_magic_is_closed_after_a_while(
    node: Node, magic: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAGIC_TIMEOUT_S", 0.05)
    client = await node.connect(magic)
    await client.closed()


async def test_with_the_magic_there_is_time(node: Node) -> None:
    client = await node.connect()
    end = await node.end_of(client)
    await eventually(lambda: end._greeted)
    assert end._timer is not None
    left = end._timer.when() - asyncio.get_running_loop().time()
    assert 29 < left <= 30  # the first heartbeat, and no end of the connection before it


# -- heartbeats ------------------------------------------------------------------------------------


async def test_a_client_that_says_nothing_for_two_intervals_is_closed_without_a_word(node: Node) -> None:
    client, clock = await beating_client(node, 1000)
    end = await node.end_of(client)
    clock.advance(1)
    await client.expect_heartbeat()
    clock.advance(0.99)
    assert not end._ending
    clock.advance(0.01)
    await client.closed()


async def test_heartbeats_come_in_real_time(node: Node) -> None:
    client = await node.connect()
    started = asyncio.get_running_loop().time()
    await client.identify(heartbeat_interval=1000)
    await client.expect_heartbeat()
    assert asyncio.get_running_loop().time() - started > 0.99
    await client.alive()


async def test_nop_keeps_a_connection_alive(node: Node) -> None:
    client, clock = await beating_client(node, 1000)
    end = await node.end_of(client)
    for _ in range(10):
        clock.advance(0.9)
        client.nop()
        await eventually(lambda: end._heard == clock.time())
        clock.advance(0.1)
        await client.expect_heartbeat()
    clock.advance(1.89)
    assert not end._ending
    clock.advance(0.01)
    await client.expect_heartbeat()
    await client.closed()


async def test_producers_get_heartbeats_whatever_else_they_get(node: Node) -> None:
    client, clock = await beating_client(node, 1000)
    await client.pub("t", b"x")
    clock.advance(1)
    await client.expect_heartbeat()
    await client.pub("t", b"x")


async def test_without_heartbeats_there_is_no_deadline_either(node: Node) -> None:
    client, clock = await beating_client(node, -1)
    clock.advance(1_000_000)
    await client.alive()


async def test_a_new_interval_counts_from_its_identify(node: Node) -> None:
    client, clock = await beating_client(node, 5000)
    clock.advance(4)
    await client.identify(heartbeat_interval=2000)
    clock.advance(1.99)
    await client.alive()
    clock.advance(0.01)
    await client.expect_heartbeat()


async def test_the_default_interval_is_thirty_seconds(node: Node) -> None:
    client, clock = await beating_client(node, 0)
    clock.advance(29.9)
    await client.alive()
    clock.advance(0.1)
    await client.expect_heartbeat()


# -- clients that do not read ----------------------------------------------------------------------


def stop_reading(client: RawClient, end: Connection) -> None:
    """From now on the client takes nothing; ``end`` is nsqd's, whose kernel buffer is made small."""
    client.transport.pause_reading()
    end._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)


def read_again(client: RawClient, end: Connection) -> None:
    """Undoes :func:`stop_reading`."""
    end._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    client.transport.resume_reading()


def unsent(end: Connection) -> int:
    """Bytes that wait for a client."""
    return end._transport.get_write_buffer_size()


async def test_a_slow_consumer_holds_up_nobody_and_costs_a_bounded_amount_of_memory(node: Node) -> None:
    slow, quick = await node.subscribe("t", "slow", rdy=2500), await node.subscribe("t", "quick", rdy=2500)
    end = await node.end_of(slow)
    stop_reading(slow, end)
    bodies = [b"%d" % n + b"x" * 200_000 for n in range(100)]
    producer = await node.connect()
    for at in range(0, len(bodies), 20):
        await producer.mpub("t", *bodies[at : at + 20])
        assert await quick.bodies(20) == bodies[at : at + 20]
        assert unsent(end) <= HIGH_WATER + MAX_RUN_BYTES + 300_000
    assert end.client.blocked
    assert node.channel("t", "slow").depth > 0
    read_again(slow, end)
    assert await slow.bodies(100) == bodies


async def test_the_messages_that_a_slow_consumer_can_not_take_go_to_the_others_of_its_channel(
    node: Node,
) -> None:
    slow, quick = await node.subscribe("t", "c", rdy=2500), await node.subscribe("t", "c")
    end = await node.end_of(slow)
    stop_reading(slow, end)
    bodies = [b"%03d" % n + b"x" * 200_000 for n in range(100)]
    producer = await node.connect()
    for at in range(0, len(bodies), 20):
        await producer.mpub("t", *bodies[at : at + 20])
    await eventually(lambda: end.client.blocked)
    held = len(end.client.in_flight)
    quick.rdy(2500)
    rest = await quick.bodies(len(bodies) - held)
    read_again(slow, end)
    assert sorted(rest + await slow.bodies(held)) == bodies


async def test_a_consumer_that_reads_nothing_for_a_heartbeat_interval_is_cut_off(node: Node) -> None:
    consumer, clock = await beating_client(node, 1000)
    await consumer.sub("t", "c")
    consumer.rdy(2500)
    end = await node.end_of(consumer)
    stop_reading(consumer, end)
    producer = await node.connect()
    for _ in range(5):
        await producer.mpub("t", *[b"x" * 200_000] * 20)
    await eventually(lambda: end.client.blocked)
    held = len(end.client.in_flight)
    assert 0 < held < 100
    clock.advance(0.99)
    assert not end._ending
    clock.advance(0.01)
    await eventually(lambda: not node.channel("t", "c").clients)
    assert node.channel("t", "c").depth == 100
    other = await node.subscribe("t", "c", rdy=100)
    assert sorted(m.attempts for m in await other.messages(100)) == [1] * (100 - held) + [2] * held


async def test_a_publisher_that_does_not_read_its_answers_is_not_read_either(tmp_path: Path) -> None:
    async with Node(tmp_path, "--mem-queue-size=1000000") as node:
        client = await node.connect()
        end = await node.end_of(client)
        stop_reading(client, end)
        count = 500_000
        client.send(encode_pub("t", b"x") * count)
        await eventually(lambda: end.client.blocked)
        await node.publish("u", b"x")
        assert unsent(end) < 2 * HIGH_WATER
        assert node.topic("t").depth < count
        read_again(client, end)
        ok = encode_frame(RESPONSE, b"OK")
        assert await client.read(count * len(ok)) == ok * count
        assert node.topic("t").depth == count


async def test_a_consumer_that_provokes_errors_without_end_and_reads_none_is_cut_off(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_UNSENT", 2 << 20)
    client = await node.subscribe("t", "c")
    end = await node.end_of(client)
    stop_reading(client, end)
    client.send(b"FIN 0123456789abcdef\n" * 200_000)
    await eventually(lambda: end._ending)
    await eventually(lambda: not node.channel("t", "c").clients)
    await node.publish("t", b"x")


async def test_a_client_that_says_who_it_is_without_end_and_reads_nothing_is_not_read_either(
    node: Node,
) -> None:
    client = await node.connect()
    end = await node.end_of(client)
    stop_reading(client, end)
    identify = encode_identify({"feature_negotiation": True})
    client.send(identify * 50_000)
    await eventually(lambda: end.client.blocked)
    for _ in range(20):
        await node.publish("u", b"x")
        assert unsent(end) < 3 * HIGH_WATER
    assert end._paused_reading
    read_again(client, end)
    kind, data = await client.frame()
    for _ in range(1000):
        assert await client.frame() == (kind, data)


@pytest.mark.parametrize("layer", ["", "deflate", "snappy"])
async def test_a_client_that_reads_nothing_can_not_keep_its_end_from_closing(
    node: Node, monkeypatch: pytest.MonkeyPatch, layer: str
) -> None:
    """Less waits for it than makes it a slow one."""
    monkeypatch.setattr(last_words, "STALLED_S", 0.1)
    client = await node.connect()
    if layer:
        await compress(client, layer)
    await client.sub("t", "c")
    end = await node.end_of(client)
    stop_reading(client, end)
    client.rdy(1)
    await eventually(lambda: end.client.ready == 1)
    await node.publish("t", random.Random(1).randbytes(900_000))
    await eventually(lambda: unsent(end) > 100_000)
    assert not end.client.blocked
    assert (await node.request("POST", "/channel/delete?topic=t&channel=c")).status == 200
    await eventually(lambda: not node.nsqd._connections._open)


async def test_last_words_reach_a_client_that_is_still_sending_very_much(node: Node) -> None:
    client = await node.connect()
    client.send(encode_mpub("t", [b"x"] * 200_000) + b"BAD\n" + b"z" * (20 << 20))
    client.send_eof()
    await client.expect_ok()
    await client.refused("E_INVALID invalid command BAD")
    assert client.lost is None


# -- very many commands ----------------------------------------------------------------------------


async def test_a_flood_of_commands_is_obeyed_in_slices_and_buffered_within_bounds(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_UNREAD", 100_000)
    client = await node.connect()
    end = await node.end_of(client)
    client.send(b"NOP\n" * 300_000 + encode_pub("t", b"x"))
    most = turns = 0
    while not client.buffer:
        await node.publish("u", b"x")
        most, turns = max(most, end._have), turns + 1
    assert turns > 20
    assert most < 600_000  # the bound, and what is read in one go
    await client.expect_ok()


async def test_a_flood_of_commands_is_not_copied_at_each_stop(node: Node) -> None:
    client = await node.connect()
    end = await node.end_of(client)
    await eventually(lambda: end._greeted)
    end.data_received(NOP * 20_000 + b"PU")
    first, at = end._parts[0], end._at
    end.data_received(b"B t\n\0\0")
    while end._going_on and end._at:
        assert end._parts[0] is first
        assert end._at >= at
        assert end._have == len(first) - end._at + 6
        at = end._at
        await asyncio.sleep(0)
    assert at > 70_000
    end.data_received(b"\0\1x" + encode_pub("t", b"y"))
    await client.expect_ok(2)
    assert (end._parts, end._have, end._at) == ([], 0, 0)


async def test_a_command_that_comes_in_tiny_pieces_takes_up_little_more_than_its_bytes(node: Node) -> None:
    client = await node.connect()
    end = await node.end_of(client)
    await eventually(lambda: end._greeted)
    command = encode_pub("t", b"x" * 30_000)
    for at in range(0, len(command) - 2, 2):
        end.data_received(command[at : at + 2])
        assert len(end._parts) <= module.MOST_PARTS + 1
    end.data_received(command[-2:])
    await client.expect_ok()
    assert node.topic("t").depth == 1


async def test_commands_behind_a_long_batch_wait_within_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_UNREAD", 100_000)
    async with Node(tmp_path, "--mem-queue-size=1000000") as node:
        client = await node.connect()
        end = await node.end_of(client)
        client.send(encode_mpub("t", [b"x"] * 300_000) + encode_pub("t", b"y" * 100) * 50_000)
        most = 0

        def done() -> bool:
            nonlocal most
            if end._session.suspended:
                most = max(most, end._have)
            return len(client.buffer) == 10 * 50_001

        await eventually(done, 20)
        assert most < 1_000_000 + 5 * 300_000  # the batch itself is kept until it is done
        assert node.topic("t").depth == 350_000


# -- disks -----------------------------------------------------------------------------------------


def break_queue(node: Node, name: str) -> None:
    """Makes every write to a queue fail that has not begun yet."""
    (node.folder / f"{name}.diskqueue.000000.dat").mkdir()


async def test_a_failed_write_fails_exactly_its_publisher_and_in_order(tmp_path: Path) -> None:
    async with Node(tmp_path, "--mem-queue-size=0") as node:
        break_queue(node, "bad")
        failing, other = await node.connect(), await node.connect()
        failing.send(encode_pub("good", b"1") + encode_mpub("good", [b"2", b"3"]) + encode_pub("bad", b"4"))
        other.send(encode_pub("good", b"5") + encode_pub("other", b"6"))
        await failing.expect_ok(2)
        kind, data = await failing.frame()
        assert kind == ERROR
        assert data.startswith(b"E_PUB_FAILED PUB failed ")
        await failing.closed()
        await other.expect_ok(2)
        assert [node.topic(name).depth for name in ("good", "bad", "other")] == [4, 0, 1]


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (encode_mpub("bad", [b"1", b"2"]), b"E_MPUB_FAILED MPUB failed "),
        (encode_pub("bad", b"1") * 3, b"E_PUB_FAILED PUB failed "),
        (b"DPUB bad 0\n\0\0\0\1x", b"E_DPUB_FAILED DPUB failed "),
    ],
)
async def test_each_way_of_publishing_has_its_own_error(tmp_path: Path, sent: bytes, code: bytes) -> None:
    async with Node(tmp_path, "--mem-queue-size=0") as node:
        break_queue(node, "bad")
        client = await node.connect()
        client.send(sent)
        kind, data = await client.frame()
        assert (kind, data[: len(code)]) == (ERROR, code)
        await client.closed()
        assert node.topic("bad").depth == 0


async def test_answers_keep_their_order_around_a_write_to_disk(tmp_path: Path) -> None:
    async with Node(tmp_path, "--mem-queue-size=0") as node:
        client = await node.connect()
        client.send(
            encode_pub("t", b"1") + encode_identify({"feature_negotiation": True}) + encode_pub("t", b"2")
        )
        await client.expect_ok()
        kind, data = await client.frame()
        assert (kind, data[:16]) == (RESPONSE, b'{"max_rdy_count"')
        await client.expect_ok()


async def test_publishing_without_a_data_folder_fails_and_works_again_with_one(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    async with Node(folder, "--mem-queue-size=0") as node:
        folder.rename(tmp_path / "gone")
        client = await node.connect()
        client.send(encode_pub("t", b"x"))
        kind, data = await client.frame()
        assert kind == ERROR
        assert data == b"E_PUB_FAILED PUB failed open %s: no such file or directory" % (
            bytes(folder / "t.diskqueue.000000.dat")
        )
        assert (await node.request("GET", "/ping")).status == 500
        (tmp_path / "gone").rename(folder)
        await node.publish("t", b"x")
        assert (await node.request("GET", "/ping")).body == b"OK"
