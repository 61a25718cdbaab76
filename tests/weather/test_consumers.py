"""Consumers that die, stop reading, or lose their channel: the others go on, and nothing is lost."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from pathlib import Path

from nsqcore.wire.commands import encode_identify, encode_mpub, encode_rdy, encode_sub
from nsqcore.wire.frames import MAGIC_V2
from nsqd.channel import MAX_RUN_BYTES
from nsqd.protocol.connection import HIGH_WATER
from tests.support.history import PATIENCE_S, Publisher, connect, drain, nsqd, part, post, stats
from tests.support.nsqd import Node, RawClient, eventually

CONSUMER = """
import socket, sys
sock = socket.create_connection((sys.argv[1], int(sys.argv[2])))
sock.sendall(b"  V2SUB t c\\nRDY 100\\n")
data = b""
while data.count(b"message-") < 100:
    data += sock.recv(65536)
print("holding 100", flush=True)
sock.recv(1)
"""


async def test_what_a_killed_consumer_held_reaches_another_at_once(tmp_path: Path) -> None:
    bodies = [b"message-%03d" % n for n in range(100)]
    async with Node(tmp_path, "--msg-timeout=10m") as node:
        producer = await node.connect()
        await producer.mpub("t", *bodies)
        host, port = node.tcp
        consumer = await asyncio.create_subprocess_exec(
            sys.executable, "-c", CONSUMER, host, str(port), stdout=subprocess.PIPE
        )
        assert consumer.stdout is not None
        try:
            assert await consumer.stdout.readline() == b"holding 100\n"
            other = await node.subscribe("t", "c", rdy=100)
            await other.settled()
        finally:
            consumer.kill()
            await consumer.wait()
        messages = await other.messages(100)
        assert [message.body for message in messages] == bodies
        assert {message.attempts for message in messages} == {2}


def deaf_consumer(address: tuple[str, int], topic: str, channel: str, heartbeat_ms: int) -> socket.socket:
    """Subscribes, is ready for all there is, and reads nothing."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(address)
    identify = encode_identify({"heartbeat_interval": heartbeat_ms})
    sock.sendall(MAGIC_V2 + identify + encode_sub(topic, channel) + encode_rdy(2500))
    return sock


async def test_consumers_that_stop_reading_hold_up_nobody_and_are_closed(tmp_path: Path) -> None:
    """Their buffers stay bounded, and what they held is delivered to those who read."""
    bodies = [b"%05d" % n + b"x" * 10_000 for n in range(2000)]
    async with Node(tmp_path, "--msg-timeout=10m", "--max-body-size=30000000") as node:
        deaf = [deaf_consumer(node.tcp, "t", "c", 1000) for _ in range(3)]
        await eventually(lambda: b"t" in node.broker.topics and len(clients_of(node)) == 3)
        other = await node.subscribe("t", "other", rdy=2500)
        producer = await node.connect()
        for at in range(0, 2000, 100):
            producer.send(encode_mpub("t", bodies[at : at + 100]))
            await producer.expect_ok()
        assert await other.bodies(2000) == bodies, "another channel is not held up"
        for connection in node.nsqd._connections._open:
            waits = connection._transport.get_write_buffer_size()
            assert waits <= HIGH_WATER + MAX_RUN_BYTES + 20_000
        reader = await node.subscribe("t", "c", rdy=2500)
        assert set(await reader.bodies(2000)) == set(bodies), (
            "those that were held came when their holders went"
        )
        assert len(clients_of(node)) == 1
        for sock in deaf:
            sock.close()


def clients_of(node: Node) -> list[object]:
    return list(node.channel("t", "c").clients)


async def test_deleting_a_channel_at_work_costs_the_others_nothing(tmp_path: Path) -> None:
    """Deleted again and again while clients publish and consume: publishers notice nothing, others miss nothing."""
    with nsqd(tmp_path, "--mem-queue-size=50", "--max-bytes-per-file=5000") as d:
        post(d, "/topic/create?topic=t")
        post(d, "/channel/create?topic=t&channel=kept")
        publishers = [await Publisher.start(d.tcp, "t", f"p{n}") for n in range(2)]
        for n in range(15):
            consumers = [await connect(d.tcp) for _ in range(3)]
            for consumer in consumers:
                await consumer.sub("t", "doomed")
                consumer.rdy(10)
            for consumer in consumers[:2]:
                consumer.fin((await consumer.message()).id)
            for publisher in publishers:
                await publisher.reached(100 * (n + 1))
            assert (await asyncio.to_thread(post, d, "/channel/delete?topic=t&channel=doomed"))[0] == 200
            await asyncio.gather(*(end_of(consumer) for consumer in consumers))
        for publisher in publishers:
            await publisher.stop()
            assert not publisher.refused
        await drain(d.tcp, "t", "kept", publishers[0].confirmed | publishers[1].confirmed)
        assert set(stats(d)["t"]["channels"]) == {"kept"}
        assert "ERROR" not in d.log.replace("E_FIN_FAILED", "").replace("ERROR: [127.0.0.1", "")
    assert not list(tmp_path.glob("t:doomed*"))


async def end_of(client: RawClient) -> None:
    """The connection ends, whatever came before."""
    await client.until(lambda: client.ended, PATIENCE_S)
    await part(client)


async def test_deleting_a_topic_at_work_leaves_publishers_a_new_one(tmp_path: Path) -> None:
    with nsqd(tmp_path, "--mem-queue-size=50", "--max-bytes-per-file=5000") as d:
        publisher = await Publisher.start(d.tcp, "t", "p")
        for n in range(15):
            await publisher.reached(200 * (n + 1))
            assert (await asyncio.to_thread(post, d, "/topic/delete?topic=t"))[0] == 200
        await publisher.stop()
        assert not publisher.refused
        client = await connect(d.tcp)
        await client.pub("t", b"last")
        await part(client)
        await drain(d.tcp, "t", "c", [b"last"])
        assert post(d, "/topic/unpause?topic=t")[0] == 200, "answered when the metadata is stored"
        d.kill()
    with nsqd(tmp_path) as d:
        assert "t" in stats(d)


async def test_large_messages_that_come_back_are_handed_on_in_bounded_runs(tmp_path: Path) -> None:
    bodies = [b"%02d" % n + b"x" * 500_000 for n in range(40)]
    async with Node(tmp_path) as node:
        first = await node.subscribe("t", "c", rdy=100)
        producer = await node.connect()
        await producer.pub("t", *bodies)
        assert await first.bodies(40) == bodies
        deaf = deaf_consumer(node.tcp, "t", "c", 1000)
        await eventually(lambda: len(clients_of(node)) == 2)
        first.drop()
        await eventually(lambda: len(clients_of(node)) == 1 and node.channel("t", "c").in_flight_count > 0)
        (connection,) = {c for c in node.nsqd._connections._open if c.client.in_flight.messages}
        assert connection._transport.get_write_buffer_size() <= HIGH_WATER + MAX_RUN_BYTES + 500_100
        deaf.close()
        reader = await node.subscribe("t", "c", rdy=100)
        assert set(await reader.bodies(40)) == set(bodies)
