"""What topics and channels do with messages: copies, backlogs, pausing, emptying, deleting, overflow, shares."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from nsqcore.wire.commands import encode_pub
from tests.support.clock import Clock
from tests.support.nsqd import Node, eventually, numbers

pytestmark = pytest.mark.usefixtures("quick_disk")


# -- copies ----------------------------------------------------------------------------------------


async def test_every_channel_gets_every_message_with_the_same_id_and_time(node: Node) -> None:
    consumers = [await node.subscribe("t", name, rdy=100) for name in ("a", "b", "c")]
    await node.publish("t", *numbers(50))
    copies = [await consumer.messages(50) for consumer in consumers]
    assert copies[0] == copies[1] == copies[2]
    assert [m.body for m in copies[0]] == numbers(50)
    assert len({m.id for m in copies[0]}) == 50


async def test_channels_count_and_finish_apart_from_each_other(node: Node) -> None:
    one, two = await node.subscribe("t", "one", rdy=1), await node.subscribe("t", "two", rdy=1)
    await node.publish("t", b"x")
    message = await one.message()
    one.fin(message.id)
    await one.settled()
    two.fin((await two.message()).id)
    await two.settled()
    assert node.channel("t", "one").message_count == node.channel("t", "two").message_count == 1


async def test_topics_do_not_mix(node: Node) -> None:
    consumer = await node.subscribe("t", "c", rdy=10)
    await node.publish("u", b"foreign")
    await node.publish("t", b"own")
    assert await consumer.bodies(1) == [b"own"]
    await consumer.settled()
    assert node.topic("u").depth == 1


async def test_the_first_channel_gets_the_backlog_and_later_ones_what_comes_then(node: Node) -> None:
    await node.publish("t", *numbers(5))
    first = await node.subscribe("t", "first", rdy=100)
    assert await first.bodies(5) == numbers(5)
    later = await node.subscribe("t", "later", rdy=100)
    await node.publish("t", b"new")
    assert await later.bodies(1) == [b"new"]
    assert await first.bodies(1) == [b"new"]
    assert (node.topic("t").depth, node.channel("t", "later").message_count) == (0, 1)


async def test_a_long_backlog_reaches_the_first_channel_before_what_is_published_meanwhile(
    tmp_path: Path,
) -> None:
    async with Node(tmp_path, "--mem-queue-size=3000") as node:
        producer = await node.connect()
        await producer.mpub("t", *numbers(20_000))
        assert node.topic("t").queue.backend_depth == 17_000
        producer.send(b"SUB t c\n" + b"".join(encode_pub("t", b"%d" % n) for n in range(20_000, 20_500)))
        await producer.expect_ok(501)
        consumer = await node.subscribe("t", "c", rdy=2500)
        assert await consumer.take(20_500) == numbers(20_500)


async def test_a_topic_without_channels_keeps_messages_again_when_its_last_one_is_deleted(
    node: Node,
) -> None:
    await node.post("/topic/create?topic=t")
    await node.post("/channel/create?topic=t&channel=c")
    await node.publish("t", b"lost with the channel")
    await node.post("/channel/delete?topic=t&channel=c")
    await node.publish("t", b"kept")
    assert node.topic("t").depth == 1
    consumer = await node.subscribe("t", "d", rdy=10)
    assert await consumer.bodies(1) == [b"kept"]


# -- shares ----------------------------------------------------------------------------------------


async def test_consumers_of_a_channel_share_its_messages(node: Node) -> None:
    one, two = await node.subscribe("t", "c", rdy=3), await node.subscribe("t", "c", rdy=3)
    await node.publish("t", *numbers(6))
    assert sorted(await one.bodies(3) + await two.bodies(3)) == numbers(6)


async def test_equal_consumers_get_equal_shares_of_a_backlog(node: Node) -> None:
    consumers = [await node.subscribe("t", "c", rdy=2500) for _ in range(4)]
    for consumer in consumers:
        await consumer.settled()
    await node.post("/channel/pause?topic=t&channel=c")
    await (await node.connect()).mpub("t", *numbers(1000))
    await node.post("/channel/unpause?topic=t&channel=c")
    for consumer in consumers:
        await consumer.messages(250)
        await consumer.settled()


async def test_equal_consumers_get_equal_shares_of_a_trickle(node: Node) -> None:
    consumers = [await node.subscribe("t", "c", rdy=2500) for _ in range(4)]
    for consumer in consumers:
        await consumer.settled()
    await node.publish("t", *numbers(400))
    await eventually(lambda: node.channel("t", "c").in_flight_count == 400)
    assert [client.message_count for client in node.channel("t", "c").clients] == [100] * 4


async def test_equal_consumers_get_equal_shares_of_batches(node: Node) -> None:
    for _ in range(3):
        await (await node.subscribe("t", "c", rdy=2500)).settled()
    producer = await node.connect()
    for _ in range(10):
        await producer.mpub("t", *numbers(10))
    await eventually(lambda: node.channel("t", "c").in_flight_count == 100)
    shares = [client.message_count for client in node.channel("t", "c").clients]
    assert max(shares) - min(shares) <= 10


async def test_a_full_consumer_leaves_the_rest_to_the_others(node: Node) -> None:
    small, large = await node.subscribe("t", "c", rdy=1), await node.subscribe("t", "c", rdy=100)
    await small.settled()
    await node.publish("t", *numbers(20))
    assert len(await small.bodies(1)) == 1
    assert len(await large.bodies(19)) == 19


# -- pausing ---------------------------------------------------------------------------------------


async def test_a_paused_channel_delivers_nothing_until_it_is_unpaused(node: Node) -> None:
    consumer = await node.subscribe("t", "c", rdy=10)
    await node.post("/channel/pause?topic=t&channel=c")
    await node.publish("t", b"x")
    await consumer.settled()
    assert node.channel("t", "c").depth == 1
    await node.post("/channel/unpause?topic=t&channel=c")
    assert await consumer.bodies(1) == [b"x"]


async def test_pausing_one_channel_leaves_the_others_alone(node: Node) -> None:
    paused, other = await node.subscribe("t", "paused", rdy=10), await node.subscribe("t", "other", rdy=10)
    await node.post("/channel/pause?topic=t&channel=paused")
    await node.publish("t", b"x")
    assert await other.bodies(1) == [b"x"]
    await paused.settled()


async def test_in_a_paused_channel_messages_are_finished_requeued_deferred_and_timed_out(node: Node) -> None:
    consumer = await node.subscribe("t", "c", msg_timeout=1000)
    channel, clock = node.channel("t", "c"), Clock()
    channel._loop = clock.loop
    await consumer.mpub("t", *numbers(4))
    consumer.rdy(4)
    finished, requeued, deferred, _ = await consumer.messages(4)
    await node.post("/channel/pause?topic=t&channel=c")
    consumer.fin(finished.id)
    consumer.req(requeued.id)
    consumer.req(deferred.id, 500)
    await consumer.settled()
    assert (channel.depth, channel.in_flight_count, len(channel.deferred)) == (1, 1, 1)
    clock.advance(2)
    await consumer.settled()
    assert (channel.depth, channel.in_flight_count, len(channel.deferred)) == (3, 0, 0)
    assert channel.timeout_count == 1
    await node.post("/channel/unpause?topic=t&channel=c")
    assert sorted(await consumer.bodies(3)) == numbers(3, 1)


async def test_a_paused_topic_keeps_its_messages_from_the_channels(node: Node) -> None:
    consumer = await node.subscribe("t", "c", rdy=10)
    await node.post("/topic/pause?topic=t")
    await node.publish("t", *numbers(3))
    await consumer.settled()
    assert (node.topic("t").depth, node.channel("t", "c").message_count) == (3, 0)
    await node.post("/topic/unpause?topic=t")
    assert await consumer.bodies(3) == numbers(3)


async def test_a_paused_topic_stays_paused_when_a_channel_is_added(node: Node) -> None:
    await node.post("/topic/create?topic=t")
    await node.post("/topic/pause?topic=t")
    await node.publish("t", b"x")
    consumer = await node.subscribe("t", "c", rdy=10)
    await consumer.settled()
    assert node.topic("t").depth == 1


async def test_what_a_paused_topic_kept_comes_before_what_follows(tmp_path: Path) -> None:
    async with Node(tmp_path, "--mem-queue-size=100") as node:
        consumer = await node.subscribe("t", "c", rdy=2500)
        await node.post("/topic/pause?topic=t")
        producer = await node.connect()
        await producer.mpub("t", *numbers(5000))
        await node.post("/topic/unpause?topic=t")
        await producer.mpub("t", *numbers(5000, 5000))
        assert await consumer.take(10_000) == numbers(10_000)


async def test_deferred_messages_wait_for_a_paused_topic_and_not_longer(node: Node) -> None:
    consumer = await node.subscribe("t", "c", rdy=10)
    clock = Clock()
    node.topic("t")._loop = node.channel("t", "c")._loop = clock.loop
    await node.post("/topic/pause?topic=t")
    await consumer.dpub("t", 1000, b"short")
    await consumer.dpub("t", 3000, b"long")
    clock.advance(2)
    await consumer.settled()
    assert node.topic("t").depth == 2
    await node.post("/topic/unpause?topic=t")
    assert await consumer.bodies(1) == [b"short"]
    await consumer.settled()
    clock.advance(1)
    assert await consumer.bodies(1) == [b"long"]


# -- deferred publishing ---------------------------------------------------------------------------


async def test_a_deferred_message_comes_after_its_delay_as_a_first_delivery(node: Node) -> None:
    consumer = await node.subscribe("t", "c", rdy=10)
    clock = Clock()
    node.topic("t")._loop = node.channel("t", "c")._loop = clock.loop
    await consumer.dpub("t", 2000, b"later")
    await consumer.pub("t", b"now")
    assert await consumer.bodies(1) == [b"now"]
    clock.advance(1.99)
    await consumer.settled()
    assert len(node.channel("t", "c").deferred) == 1
    clock.advance(0.01)
    message = await consumer.message()
    assert (message.body, message.attempts) == (b"later", 1)
    assert node.channel("t", "c").requeue_count == 0


async def test_a_delay_of_0_is_none(node: Node) -> None:
    consumer = await node.subscribe("t", "c", rdy=10)
    await consumer.dpub("t", 0, b"now")
    assert await consumer.bodies(1) == [b"now"]


async def test_the_delay_counts_from_the_publish_and_not_from_the_channel(node: Node) -> None:
    await node.post("/topic/create?topic=t")
    clock = Clock()
    node.topic("t")._loop = clock.loop
    client = await node.connect()
    await client.dpub("t", 2000, b"due")
    await client.dpub("t", 4000, b"not yet")
    clock.advance(3)
    await node.post("/channel/create?topic=t&channel=c")
    channel = node.channel("t", "c")
    channel._loop = clock.loop
    consumer = await node.subscribe("t", "c", rdy=10)
    assert await consumer.bodies(1) == [b"due"]
    await consumer.settled()
    clock.advance(1)
    assert await consumer.bodies(1) == [b"not yet"]


async def test_every_channel_gets_a_deferred_message(node: Node) -> None:
    consumers = [await node.subscribe("t", name, rdy=1) for name in ("a", "b")]
    await (await node.connect()).dpub("t", 20, b"x")
    first, second = [await consumer.message() for consumer in consumers]
    assert first == second
    assert first.attempts == 1


async def test_a_delay_of_dpub_passes_in_real_time(node: Node) -> None:
    consumer = await node.subscribe("t", "c", rdy=2)
    await consumer.dpub("t", 60, b"second")
    await consumer.dpub("t", 30, b"first")
    assert await consumer.bodies(2) == [b"first", b"second"]


async def test_deferred_messages_count_as_published_at_once(node: Node) -> None:
    consumer = await node.subscribe("t", "c")
    await consumer.dpub("t", 60_000, b"12345")
    [topic] = (await node.stats())["topics"]
    assert (topic["message_count"], topic["message_bytes"], topic["depth"]) == (1, 5, 0)
    [channel] = topic["channels"]
    assert (channel["message_count"], channel["deferred_count"], channel["depth"]) == (1, 1, 0)


# -- deleted for good ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    [
        "/topic/empty?topic=t",
        "/topic/delete?topic=t",
        "/channel/empty?topic=u&channel=c",
        "/channel/delete?topic=u&channel=c",
    ],
)
async def test_what_is_answered_as_emptied_or_deleted_does_not_outlive_a_kill(
    tmp_path: Path, target: str
) -> None:
    """The disk thread may be busy with syncs, behind which it removes the files."""
    async with Node(tmp_path, "--mem-queue-size=0") as node:
        await node.post("/topic/create?topic=u")
        await node.post("/channel/create?topic=u&channel=c")
        for topic in "tu":
            await node.publish(topic, *numbers(10))
        name = "t" if "=t" in target else "u:c"
        assert list(tmp_path.glob(f"{name}.diskqueue.0*.dat"))
        busy = threading.Event()
        node.broker.disk.run(busy.wait)
        asyncio.get_running_loop().call_later(0.05, busy.set)
        await node.post(target)
        assert not list(tmp_path.glob(f"{name}.diskqueue.0*.dat"))
