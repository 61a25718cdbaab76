"""The upgrade of a connection by IDENTIFY: what is granted, in which order, and life behind it."""

from __future__ import annotations

import asyncio
import os
import socket
import zlib
from pathlib import Path

import pytest

from nsqcore.layers import transport
from nsqcore.layers.transport import Layers
from nsqcore.wire.commands import NOP, encode_identify, encode_mpub, encode_pub, encode_sub
from nsqcore.wire.frames import RESPONSE, encode_frame
from nsqd.protocol import connection
from nsqd.protocol.connection import HIGH_WATER
from tests.support.clock import Clock
from tests.support.codecs import compress, deflate, pair
from tests.support.nsqd import Node, RawClient, eventually

pytestmark = pytest.mark.usefixtures("quick_disk")
both = pytest.mark.parametrize("name", ["deflate", "snappy"])
OK = encode_frame(RESPONSE, b"OK")


@both
async def test_all_that_a_client_does_goes_through_the_layer(node: Node, name: str) -> None:
    producer, consumer = await node.connect(), await node.connect()
    await compress(producer, name)
    await compress(consumer, name)
    await consumer.sub("t", "c")
    consumer.rdy(5)
    await producer.pub("t", b"one", os.urandom(100_000))
    await producer.mpub("t", b"two" * 1000, b"three")
    messages = await consumer.messages(4)
    assert [len(m.body) for m in messages] == [3, 100_000, 3000, 5]
    for message in messages:
        consumer.fin(message.id)
    await consumer.settled()
    assert node.channel("t", "c").in_flight_count == 0


@both
async def test_stats_tell_what_a_client_goes_through(node: Node, name: str) -> None:
    client = await node.connect()
    await compress(client, name)
    await client.sub("t", "c")
    (seen,) = (await node.stats())["topics"][0]["channels"][0]["clients"]
    assert {key: seen[key] for key in ("deflate", "snappy", "tls")} == {
        "deflate": name == "deflate",
        "snappy": name == "snappy",
        "tls": False,
    }


async def test_without_an_upgrade_there_is_nothing_between_socket_and_connection(node: Node) -> None:
    client = await node.connect()
    await client.identify(user_agent="plain")
    end = await node.end_of(client)
    assert not isinstance(end._transport, Layers)
    assert end.client.write == end._transport.write


@pytest.mark.parametrize(
    ("asked", "given", "shown"),
    [(0, 6, 6), (-1, 6, 6), (1, 1, 1), (9, 6, 6), (6, 6, 6)],
)
async def test_deflate_levels(node: Node, asked: int, given: int, shown: int) -> None:
    client = await node.connect()
    answer = await client.identify(deflate=True, deflate_level=asked)
    assert (answer["deflate_level"], answer["max_deflate_level"]) == (shown, 6)
    assert (await node.end_of(client)).client.upgrade.deflate_level == given


async def test_the_server_may_allow_less(tmp_path: Path) -> None:
    async with Node(tmp_path, "--max-deflate-level=3", "--snappy=false") as node:
        client = await node.connect()
        # Only one of the two is to be had, so asking for both is no mistake.
        answer = await client.identify(deflate=True, deflate_level=5, snappy=True, tls_v1=True)
        assert (answer["deflate"], answer["snappy"], answer["tls_v1"]) == (True, False, False)
        assert (answer["deflate_level"], answer["max_deflate_level"]) == (3, 3)
        client.go_through(*deflate())
        await client.expect_ok()
        await client.alive()


async def test_a_server_may_compress_nothing(tmp_path: Path) -> None:
    async with Node(tmp_path, "--deflate=false", "--snappy=false") as node:
        client = await node.connect()
        answer = await client.identify(deflate=True, snappy=True)
        assert (answer["deflate"], answer["snappy"]) == (False, False)
        await client.alive()


async def test_two_ways_to_compress_are_refused_before_anything_is_answered(node: Node) -> None:
    client = await node.connect()
    client.send(encode_identify({"feature_negotiation": True, "deflate": True, "snappy": True}))
    await client.refused("E_IDENTIFY_FAILED cannot enable both deflate and snappy compression")


async def test_without_negotiation_nothing_is_upgraded(node: Node) -> None:
    client = await node.connect()
    client.send(encode_identify({"feature_negotiation": False, "deflate": True, "snappy": True}))
    await client.expect_ok()
    await client.alive()


# -- the bytes around the switch -------------------------------------------------------------------


@both
async def test_a_client_need_not_wait_for_the_answer(node: Node, name: str) -> None:
    """The original loses what comes together with the IDENTIFY."""
    client = await node.connect()
    encode, decode = pair(name)
    client.send(
        encode_identify({"feature_negotiation": True, name: True}) + encode(encode_pub("t", b"early") + NOP)
    )
    assert (await client.frame())[1].startswith(b'{"max_rdy_count"')
    client.go_through(encode, decode)
    await client.expect_ok(2)
    await client.alive()
    assert node.topic("t").message_count == 1


@both
async def test_bytes_may_come_one_by_one(node: Node, name: str) -> None:
    client = await node.connect(magic=b"")
    encode, decode = pair(name)
    sent = b"  V2" + encode_identify({"feature_negotiation": True, name: True})
    sent += encode(encode_pub("t", b"x" * 50)) + encode(encode_pub("t", b"y") + NOP)
    end = await node.end_of(client)
    for at in range(len(sent)):
        (end if end._layers is None else end._layers).data_received(sent[at : at + 1])
        await asyncio.sleep(0)
    await client.frame()
    client.go_through(encode, decode)
    await client.expect_ok(3)


@both
async def test_publishes_before_the_upgrade_are_answered_before_it(tmp_path: Path, name: str) -> None:
    async with Node(tmp_path, "--mem-queue-size=0") as node:
        client = await node.connect()
        encode, decode = pair(name)
        client.send(
            encode_pub("t", b"to disk") * 3
            + encode_identify({"feature_negotiation": True, name: True})
            + encode(encode_pub("t", b"to disk, too"))
        )
        await client.expect_ok(3)
        await client.frame()
        client.go_through(encode, decode)
        await client.expect_ok(2)


async def test_no_heartbeat_comes_between_the_answer_and_the_layer(node: Node) -> None:
    client = await node.connect()
    end = await node.end_of(client)
    await eventually(lambda: end._greeted)
    end.data_received(encode_identify({"feature_negotiation": True, "deflate": True}))
    end._beat()
    await client.frame()
    await eventually(lambda: end._layers is not None)
    client.go_through(*pair("deflate"))
    await client.expect_ok()


@both
async def test_a_second_identify_is_answered_and_leaves_the_stream_alone(node: Node, name: str) -> None:
    """The original wraps or unwraps the stream once more, and the client is lost."""
    client = await node.connect()
    await compress(client, name)
    for _ in range(2):
        answer = await client.identify(**{name: True}, output_buffer_size=1000, heartbeat_interval=5000)
        assert (answer["deflate"], answer["snappy"]) == (False, False)
        assert answer["output_buffer_size"] == 1000
    await client.alive()
    other = await client.identify(**{"snappy" if name == "deflate" else "deflate": True})
    assert (other["deflate"], other["snappy"]) == (False, False)
    await client.alive()


@both
async def test_an_upgrade_may_come_with_a_later_identify(node: Node, name: str) -> None:
    client = await node.connect()
    await client.identify()
    await compress(client, name)
    await client.alive()


@both
async def test_a_client_may_end_its_side_together_with_its_identify(node: Node, name: str) -> None:
    client = await node.connect()
    encode, decode = pair(name)
    client.send(
        encode_identify({"feature_negotiation": True, name: True}) + encode(encode_pub("t", b"only this"))
    )
    client.send_eof()
    await client.frame()
    client.go_through(encode, decode)
    await client.expect_ok(2)
    await client.closed()


@both
async def test_a_client_that_is_gone_when_the_upgrade_is_due_is_no_trouble(node: Node, name: str) -> None:
    client = await node.connect()
    client.send(encode_identify({"feature_negotiation": True, name: True}))
    client.drop()
    await eventually(lambda: not node.nsqd._connections._open)


@both
async def test_heartbeats_and_deadlines_go_on_behind_the_upgrade(node: Node, name: str) -> None:
    client = await node.connect(magic=b"")
    end = await node.end_of(client)
    clock = Clock()
    end._loop, end._now, end._heard = clock.loop, clock.time, clock.time()
    client.send(b"  V2")
    client.send(encode_identify({"feature_negotiation": True, name: True, "heartbeat_interval": 1000}))
    await client.frame()
    client.go_through(*pair(name))
    await client.expect_ok()
    clock.advance(1)
    await client.expect_heartbeat()
    client.nop()
    await eventually(lambda: end._heard == clock.time())
    clock.advance(1)
    await client.expect_heartbeat()
    clock.advance(1)
    await client.closed()


# -- the end ---------------------------------------------------------------------------------------


@both
async def test_last_words_go_through_the_layer(node: Node, name: str) -> None:
    client = await node.connect()
    await compress(client, name)
    client.send(b"HELLO\n")
    await client.refused("E_INVALID invalid command HELLO")


@both
async def test_a_stop_sends_what_was_written(node: Node, name: str) -> None:
    consumer = await node.connect()
    await compress(consumer, name)
    await consumer.sub("t", "c")
    consumer.rdy(100)
    await consumer.settled()
    await node.publish("t", *[os.urandom(1000) for _ in range(50)])
    await node.stop()
    await consumer.messages(50)
    await consumer.closed()


@both
@pytest.mark.parametrize(
    ("begun", "last"),
    [(b"", b""), (b"PUB t\n\0\0\0\5abc", b"E_BAD_MESSAGE PUB failed to read message body")],
)
async def test_a_damaged_stream_ends_as_if_the_client_had_stopped(
    node: Node, name: str, begun: bytes, last: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    client = await node.connect()
    await compress(client, name)
    if begun:
        client.send(begun)
        end = await node.end_of(client)
        await eventually(lambda: end._have > 0)
    client.transport.write(b"\xff\xfe\xfd\xfc\xfb\xfa" * 10)
    if last:
        await client.expect_error(last.decode())
    await client.until(lambda: client.ended)
    assert not client.buffer
    lines = [r.getMessage() for r in caplog.records if f"{name}: " in r.getMessage()]
    assert len(lines) == 1
    assert lines[0].startswith(f"client({client.name}) - {name}: ")


@both
async def test_a_stream_that_stops_inside_a_command_is_answered(node: Node, name: str) -> None:
    client = await node.connect()
    await compress(client, name)
    client.send(b"PUB t\n\0\0\0\5abc")
    client.send_eof()
    await client.refused("E_BAD_MESSAGE PUB failed to read message body")


async def test_a_final_block_is_the_end_of_what_the_client_says(node: Node) -> None:
    client = await node.connect()
    await client.identify(deflate=True)
    stream = zlib.compressobj(6, zlib.DEFLATED, -15)
    client.go_through(lambda data: stream.compress(data) + stream.flush(), deflate()[1])
    await client.expect_ok()
    client.send(encode_pub("t", b"the last"))
    await client.expect_ok()
    await client.closed()


# -- pace ------------------------------------------------------------------------------------------


@both
async def test_a_slow_reader_is_not_written_to_until_it_caught_up(node: Node, name: str) -> None:
    consumer = await node.connect()
    await compress(consumer, name)
    await consumer.sub("t", "c")
    consumer.transport.pause_reading()
    consumer.rdy(2500)
    end = await node.end_of(consumer)
    bodies = [os.urandom(200_000) for _ in range(100)]
    producer = await node.connect()
    for body in bodies:
        await producer.pub("t", body)
    await eventually(lambda: end.client.blocked)
    assert end._transport.get_write_buffer_size() < 2 * HIGH_WATER + 600_000
    consumer.transport.resume_reading()
    got = await consumer.messages(100)
    assert sorted(m.body for m in got) == sorted(bodies)
    await eventually(lambda: not end.client.blocked)


async def test_a_publisher_that_reads_none_of_its_answers_is_not_read_either(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through snappy: of deflate's a million OKs are a few packets, which nobody has to take."""
    monkeypatch.setattr(connection, "HIGH_WATER", 20_000)
    monkeypatch.setattr(transport, "RAW_HIGH_WATER", 2000)
    client = await node.connect()
    await compress(client, "snappy")
    end = await node.end_of(client)
    client.transport.pause_reading()
    end._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2048)
    client.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    sent = 0
    while not end.client.blocked:
        client.send(encode_pub("t#ephemeral", b"x") * 20_000)
        sent += 20_000
        await eventually(lambda: end.client.blocked or end.client.published.get("t#ephemeral") == sent)  # noqa: B023
        assert sent < 5_000_000
    client.send(encode_pub("t#ephemeral", b"x") * 200_000)
    for _ in range(20):
        await node.publish("u", b"x")
        assert end._transport.get_write_buffer_size() < 100_000
    assert end._paused_reading
    client.transport.resume_reading()
    assert await client.read((sent + 200_000) * len(OK)) == OK * (sent + 200_000)


@both
async def test_a_bomb_is_obeyed_in_slices_and_others_are_served(node: Node, name: str) -> None:
    """64 MiB of publishes in a few kilobytes: little is held at a time, and nobody waits for the end of it."""
    client, other = await node.connect(), await node.connect()
    await compress(client, name)
    encode, _ = pair(name)
    await other.alive()
    end = await node.end_of(client)
    count = 64
    batch = encode_mpub("t#ephemeral", [bytes(1000)] * 1000)
    held: list[int] = []
    bomb = b"".join(encode(batch) for _ in range(count))
    assert len(bomb) < len(batch) * count / 15
    # Through the client's own streams, which have begun.
    client.send(batch * count)
    answered = 0
    while answered < count:
        await other.alive()
        held.append(end._have)
        answered = client.buffer.count(OK)
    assert max(held) < 10 << 20
    assert len(held) > 5


async def test_a_bomb_that_is_no_command_ends_its_own_connection_only(node: Node) -> None:
    client, other = await node.connect(), await node.connect()
    await compress(client, "deflate")
    client.send(bytes(64 << 20))
    await client.until(lambda: client.ended)
    await other.alive()


@both
async def test_a_turns_messages_leave_in_one_write(node: Node, name: str) -> None:
    consumer = await node.connect()
    await compress(consumer, name)
    await consumer.sub("t", "c")
    consumer.rdy(2000)
    await consumer.settled()
    end = await node.end_of(consumer)
    assert end._layers is not None
    codec, sizes = end._layers._stack._codecs[0], list[int]()

    class Counting:
        def __getattr__(self, attribute: str) -> object:
            return getattr(codec, attribute)

        def encode(self, data: bytes) -> bytes:
            sizes.append(len(data))
            return codec.encode(data)

    end._layers._stack._codecs[0] = Counting()  # type: ignore[call-overload]
    producer = await node.connect()
    await producer.mpub("t", *[b"small"] * 1000)
    await consumer.messages(1000)
    assert len(sizes) <= 3


# -- all combinations ------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [1, 6])
async def test_clients_of_every_kind_share_a_channel(node: Node, level: int) -> None:
    plain, snappy, deflated = [await node.connect() for _ in range(3)]
    await compress(snappy, "snappy")
    await compress(deflated, "deflate", deflate_level=level)
    clients: list[RawClient] = [plain, snappy, deflated]
    for client in clients:
        client.send(encode_sub("t", "c"))
        await client.expect_ok()
        client.rdy(10)
    for sender in [await node.connect(), *[await node.connect() for _ in range(2)]]:
        await sender.pub("t", b"a" * 500, b"b" * 500)
    await eventually(lambda: sum(len(c.buffer) > 0 for c in clients) >= 1)
    await eventually(lambda: node.channel("t", "c").in_flight_count == 6)
