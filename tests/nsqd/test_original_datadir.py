"""A data folder of an original nsqd 1.3.0 is served as the original would: order, attempts, pauses, backlogs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.nsqd import Node
from tests.support.original_datadir import OriginalQueue, Stored, Topic, write_metadata

FLAGS = ("--mem-queue-size=0", "--max-bytes-per-file=4096")


def order(number: int, attempts: int = 0) -> Stored:
    return Stored(b"order-%04d " % number + b"x" * (number % 97), attempts, number=1000 + number)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One topic with a channel in the midst of its work and a paused one, and a paused topic; then a clean stop."""
    orders = OriginalQueue(tmp_path, "orders")
    orders.write(*map(order, range(200)))
    orders.read(200)
    orders.stop()

    billing = OriginalQueue(tmp_path, "orders:billing")
    billing.write(*map(order, range(200)))
    billing.read(38)
    billing.write(*(order(n, attempts=1) for n in range(33, 38)))  # these were in flight
    billing.write(*(order(n, attempts=2) for n in range(30, 33)))  # and these deferred
    billing.stop()

    archive = OriginalQueue(tmp_path, "orders:archive")
    archive.write(*map(order, range(200)))
    archive.stop()

    held = OriginalQueue(tmp_path, "stopped")
    held.write(*(Stored(b"held-%02d" % n) for n in range(50)))
    held.stop()
    OriginalQueue(tmp_path, "stopped:ch").stop()

    write_metadata(
        tmp_path,
        {
            "orders": Topic(channels={"billing": False, "archive": True}),
            "stopped": Topic(paused=True, channels={"ch": False}),
        },
    )
    return tmp_path


def bad_files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.bad")}


async def test_depths_and_pauses_are_as_they_were(folder: Path) -> None:
    async with Node(folder, *FLAGS) as node:
        orders, stopped = node.topic("orders"), node.topic("stopped")
        assert (orders.depth, orders.paused, stopped.depth, stopped.paused) == (0, False, 50, True)
        billing, archive = node.channel("orders", "billing"), node.channel("orders", "archive")
        assert (billing.depth, billing.paused, archive.depth, archive.paused) == (170, False, 200, True)
        assert node.channel("stopped", "ch").depth == 0


async def test_messages_come_in_order_with_their_attempts_ids_and_times(folder: Path) -> None:
    expected = [
        *(order(n) for n in range(38, 200)),
        *(order(n, 1) for n in range(33, 38)),
        *(order(n, 2) for n in range(30, 33)),
    ]
    async with Node(folder, *FLAGS) as node:
        consumer = await node.subscribe("orders", "billing", rdy=100)
        for stored in expected:
            message = await consumer.message()
            assert (message.body, message.attempts) == (stored.body, stored.attempts + 1)
            assert (message.id, message.timestamp) == (b"%016x" % stored.number, stored.timestamp)
            consumer.fin(message.id)
        await consumer.settled()


async def test_what_is_paused_stays_so_until_somebody_says_otherwise(folder: Path) -> None:
    async with Node(folder, *FLAGS) as node:
        archive = await node.subscribe("orders", "archive", rdy=200)
        held = await node.subscribe("stopped", "ch", rdy=100)
        await archive.settled()
        await held.settled()
        await node.request("POST", "/channel/unpause?topic=orders&channel=archive", b"")
        await node.request("POST", "/topic/unpause?topic=stopped", b"")
        assert await archive.bodies(200) == [order(n).body for n in range(200)]
        assert await held.bodies(50) == [b"held-%02d" % n for n in range(50)]


async def test_files_that_the_original_set_aside_are_left_alone(folder: Path) -> None:
    before = bad_files(folder)
    assert len(before) == 4
    async with Node(folder, *FLAGS) as node:
        consumer = await node.subscribe("orders", "billing", rdy=200)
        consumer.fin(*[message.id for message in await consumer.messages(170)])
        await node.request("POST", "/channel/empty?topic=orders&channel=archive", b"")
        await node.request("POST", "/topic/delete?topic=orders", b"")
    assert bad_files(folder) == before
    assert [path.name for path in folder.glob("orders*") if path.name not in before] == []


async def test_stops_in_the_midst_of_it_lose_nothing(folder: Path) -> None:
    seen: set[bytes] = set()
    async with Node(folder, *FLAGS) as node:
        while len(seen) < 170:
            consumer = await node.subscribe("orders", "billing", rdy=10)
            for _ in range(min(45, 170 - len(seen))):
                message = await consumer.message()
                seen.add(message.body)
                consumer.fin(message.id)
            await node.restart()
        assert seen == {order(n).body for n in range(30, 200)}
        assert node.channel("orders", "archive").depth == 200


async def test_a_depth_that_the_original_understated_keeps_nothing_back(tmp_path: Path) -> None:
    """It does so when it stops before it has read all that a kill had left."""
    queue = OriginalQueue(tmp_path, "t:c")
    queue.write(*map(order, range(150)))
    queue.stop(depth=3)
    write_metadata(tmp_path, {"t": Topic(channels={"c": False})})
    async with Node(tmp_path, *FLAGS) as node:
        consumer = await node.subscribe("t", "c", rdy=1000)
        assert await consumer.bodies(150) == [order(n).body for n in range(150)]


async def test_files_without_metadata_are_served_when_the_names_are_used(tmp_path: Path) -> None:
    queue = OriginalQueue(tmp_path, "t:c")
    queue.write(*map(order, range(60)))
    queue.read(10)
    queue.stop()
    async with Node(tmp_path, *FLAGS) as node:
        consumer = await node.subscribe("t", "c", rdy=1000)
        assert await consumer.bodies(50) == [order(n).body for n in range(10, 60)]
