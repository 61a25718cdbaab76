"""What ends messages, channels and topics, and what limits them: emptying, deleting, ``#ephemeral``, memory, sampling."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from nsqcore.wire.commands import encode_dpub, encode_pub
from tests.support.nsqd import Node, RawClient, eventually, numbers

pytestmark = pytest.mark.usefixtures("quick_disk")


# -- emptying --------------------------------------------------------------------------------------


async def test_emptying_a_channel_drops_what_waits_what_is_out_and_what_is_deferred(node: Node) -> None:
    consumer = await node.subscribe("t", "c", rdy=2)
    await consumer.mpub("t", *numbers(10))
    held, requeued = await consumer.messages(2)
    consumer.req(requeued.id, 60_000)
    await consumer.message()
    await node.post("/channel/empty?topic=t&channel=c")
    channel = node.channel("t", "c")
    assert (channel.depth, channel.in_flight_count, len(channel.deferred)) == (0, 0, 0)
    consumer.fin(held.id)
    await consumer.expect_error(f"E_FIN_FAILED FIN {held.id.decode()} failed ID not in flight")
    await node.publish("t", b"new", b"newer")
    assert await consumer.bodies(2) == [b"new", b"newer"]


async def test_emptying_a_channel_with_a_backlog_on_disk_drops_that_too(tmp_path: Path) -> None:
    async with Node(tmp_path, "--mem-queue-size=10") as node:
        consumer = await node.subscribe("t", "c")
        await consumer.mpub("t", *numbers(100))
        assert node.channel("t", "c").queue.backend_depth == 90
        await node.post("/channel/empty?topic=t&channel=c")
        await consumer.mpub("t", *numbers(100, 1000))
        consumer.rdy(100)
        assert await consumer.take(100) == numbers(100, 1000)
        await consumer.settled()
        assert node.channel("t", "c").depth == 0


async def test_emptying_a_topic_leaves_its_channels_alone(node: Node) -> None:
    consumer = await node.subscribe("t", "c")
    await consumer.pub("t", b"in the channel")
    await node.post("/topic/pause?topic=t")
    await consumer.mpub("t", *numbers(5))
    await consumer.dpub("t", 10, b"deferred")
    await node.post("/topic/empty?topic=t")
    await node.post("/topic/unpause?topic=t")
    consumer.rdy(10)
    assert await consumer.bodies(1) == [b"in the channel"]
    await consumer.settled()
    assert (node.topic("t").depth, node.channel("t", "c").depth) == (0, 0)
    await node.publish("t", b"new")
    assert await consumer.bodies(1) == [b"new"]


# -- deleting --------------------------------------------------------------------------------------


async def test_deleting_a_channel_disconnects_all_its_consumers_without_a_word(node: Node) -> None:
    consumers = [await node.subscribe("t", "c", rdy=1) for _ in range(5)]
    other = await node.subscribe("t", "other", rdy=1)
    await node.post("/channel/delete?topic=t&channel=c")
    for consumer in consumers:
        await consumer.closed()
    await node.publish("t", b"x")
    assert await other.bodies(1) == [b"x"]
    assert list(node.topic("t").channels) == ["other"]


async def test_deleting_a_topic_deletes_its_channels_and_disconnects_their_consumers(node: Node) -> None:
    consumers = [await node.subscribe("t", name) for name in ("a", "b", "b")]
    producer = await node.connect()
    await producer.pub("t", b"x")
    await node.post("/topic/delete?topic=t")
    assert b"t" not in node.broker.topics
    for consumer in consumers:
        await consumer.closed()
    await producer.pub("t", b"y")
    assert (node.topic("t").depth, node.topic("t").message_count) == (1, 1)
    assert not node.topic("t").channels


async def test_a_deleted_topic_leaves_no_files(tmp_path: Path) -> None:
    async with Node(tmp_path, "--mem-queue-size=0") as node:
        consumer = await node.subscribe("t", "c")
        await consumer.mpub("t", *numbers(10))
        await node.post("/topic/pause?topic=t")
        await consumer.mpub("t", *numbers(10))
        assert len(list(tmp_path.glob("t*.diskqueue.*"))) >= 2
        await node.post("/topic/delete?topic=t")
        await node.broker.disk.drain()
        assert list(tmp_path.glob("t*.diskqueue.*")) == []


async def test_a_topic_created_again_right_after_its_deletion_loses_nothing(tmp_path: Path) -> None:
    """The files of the old one are removed by another thread, perhaps when the new one has written."""
    async with Node(tmp_path, "--mem-queue-size=0", "--max-bytes-per-file=300") as node:
        producer = await node.connect()
        await producer.mpub("t", *[b"old%d" % n for n in range(50)])
        busy = threading.Event()
        node.broker.disk.run(busy.wait)
        deletion = asyncio.create_task(node.post("/topic/delete?topic=t"))  # answered when the files are gone
        await eventually(lambda: b"t" not in node.broker.topics)
        again = asyncio.create_task(producer.mpub("t", *numbers(50)))
        await eventually(lambda: b"t" in node.broker.topics)
        busy.set()
        await deletion
        await again
        await node.broker.disk.drain()
        await producer.mpub("t", *numbers(50, 50))
        await node.restart()
        consumer = await node.subscribe("t", "c", rdy=100)
        assert await consumer.take(100) == numbers(100)


async def test_what_is_deferred_keeps_its_time_over_a_restart(node: Node) -> None:
    """In a channel by REQ and DPUB, and in a topic that no channel took it from; attempts are kept."""
    loop = asyncio.get_running_loop()
    consumer = await node.subscribe("t", "c", rdy=1)
    producer = await node.connect()
    await producer.pub("t", b"put off")
    message = await consumer.message()
    consumer.rdy(0)
    consumer.req(message.id, 600)
    await consumer.settled()
    began = loop.time()
    await producer.dpub("t", 60_000, b"late")
    await producer.dpub("u", 600, b"in a topic")
    await node.restart()
    assert (node.channel("t", "c").depth, len(node.channel("t", "c").deferred)) == (0, 2)
    assert node.topic("u").depth == 1
    consumer = await node.subscribe("t", "c", rdy=5)
    other = await node.subscribe("u", "c", rdy=5)
    again, first = await consumer.message(), await other.message()
    assert loop.time() - began > 0.5
    assert (again.body, again.attempts, again.id) == (b"put off", 2, message.id)
    assert (first.body, first.attempts) == (b"in a topic", 1)
    consumer.fin(again.id)
    other.fin(first.id)
    await node.request("POST", "/channel/empty?topic=t&channel=c", b"")
    await node.restart()
    assert len(node.channel("t", "c").deferred) == 0
    assert not list(node.folder.glob("*.deferred.dat"))


async def test_with_a_portable_exit_it_is_delivered_at_once(node: Node) -> None:
    await node.publish("t", b"1")
    consumer = await node.subscribe("t", "c")
    producer = await node.connect()
    await producer.dpub("t", 60_000, b"late")
    await consumer.settled()
    await node.restart("--portable-exit")
    await node.restart()
    consumer = await node.subscribe("t", "c", rdy=5)
    assert {message.body for message in await consumer.messages(2)} == {b"1", b"late"}


async def test_a_deleted_channel_does_not_come_back_after_a_restart(node: Node) -> None:
    await node.subscribe("t", "gone", rdy=1)
    await node.post("/channel/create?topic=t&channel=stays")
    await node.post("/channel/delete?topic=t&channel=gone")
    await node.restart()
    assert list(node.topic("t").channels) == ["stays"]


# -- ephemeral -------------------------------------------------------------------------------------


async def test_an_ephemeral_channel_goes_with_its_last_consumer(node: Node) -> None:
    one, two = await node.subscribe("t", "c#ephemeral"), await node.subscribe("t", "c#ephemeral")
    one.close()
    await eventually(lambda: len(node.channel("t", "c#ephemeral").clients) == 1)
    two.close()
    await eventually(lambda: not node.topic("t").channels)
    await node.publish("t", b"x")
    assert node.topic("t").depth == 1


@pytest.mark.parametrize("leaves_first", [True, False])
async def test_a_consumer_that_comes_as_the_last_one_goes_has_a_channel(
    node: Node, leaves_first: bool
) -> None:
    """In the original both may meet: it tries once more, and refuses the consumer if they meet again."""
    last = await node.subscribe("t#ephemeral", "c#ephemeral")
    comes = await node.connect()
    await comes.pub("elsewhere", b"x")
    old, new = await node.end_of(last), await node.end_of(comes)
    for step in sorted((True, False), reverse=leaves_first):
        if step:
            old.close()
        else:
            new.data_received(b"SUB t#ephemeral c#ephemeral\nRDY 1\n")
    await comes.expect_ok()
    await node.publish("t#ephemeral", b"x")
    assert (await comes.message()).body == b"x"


async def test_an_ephemeral_channel_that_never_had_a_consumer_stays(node: Node) -> None:
    await node.post("/topic/create?topic=t")
    await node.post("/channel/create?topic=t&channel=c%23ephemeral")
    await node.publish("t", b"x")
    consumer = await node.subscribe("t", "c#ephemeral", rdy=1)
    assert await consumer.bodies(1) == [b"x"]


async def test_an_ephemeral_topic_goes_with_its_last_channel(node: Node) -> None:
    one, two = await node.subscribe("t#ephemeral", "a#ephemeral"), await node.subscribe("t#ephemeral", "b")
    one.close()
    await eventually(lambda: list(node.topic("t#ephemeral").channels) == ["b"])
    two.close()
    await node.post("/channel/delete?topic=t%23ephemeral&channel=b")
    assert b"t#ephemeral" not in node.broker.topics


async def test_an_ephemeral_topic_without_channels_keeps_its_messages(node: Node) -> None:
    await node.publish("t#ephemeral", *numbers(3))
    consumer = await node.subscribe("t#ephemeral", "c", rdy=10)
    assert await consumer.bodies(3) == numbers(3)


async def test_ephemeral_queues_drop_what_does_not_fit_and_say_ok(tmp_path: Path) -> None:
    async with Node(tmp_path, "--mem-queue-size=2") as node:
        producer = await node.connect()
        await producer.pub("t#ephemeral", *numbers(5))
        await producer.mpub("t#ephemeral", *numbers(5, 5))
        consumer = await node.subscribe("t#ephemeral", "c", rdy=10)
        assert await consumer.bodies(2) == numbers(2)
        await consumer.settled()
        other = await node.subscribe("u", "c#ephemeral")
        await node.publish("u", *numbers(5))
        other.rdy(10)
        assert await other.bodies(2) == numbers(2)
        await other.settled()
        assert not list(tmp_path.glob("*ephemeral*"))
        stats = {t["topic_name"]: t for t in (await node.stats())["topics"]}
        assert stats["t#ephemeral"]["message_count"] == 10


async def test_ephemeral_topics_and_channels_do_not_survive_a_restart(node: Node) -> None:
    await node.publish("t#ephemeral", b"x")
    await node.subscribe("u", "c#ephemeral")
    await node.subscribe("u", "c")
    await node.restart()
    assert list(node.broker.topics) == [b"u"]
    assert list(node.topic("u").channels) == ["c"]


# -- memory, then disk -----------------------------------------------------------------------------


async def test_what_does_not_fit_into_memory_goes_to_disk_and_the_order_stays(tmp_path: Path) -> None:
    async with Node(tmp_path, "--mem-queue-size=10") as node:
        consumer = await node.subscribe("t", "c")
        await consumer.pub("t", *numbers(5))
        await consumer.mpub("t", *numbers(20, 5))
        await consumer.pub("t", *numbers(5, 25))
        channel = node.channel("t", "c")
        assert (channel.depth, channel.queue.backend_depth) == (30, 20)
        consumer.rdy(1)
        assert await consumer.take(15) == numbers(15)
        await node.publish("t", *numbers(5, 30))
        assert await consumer.take(20) == numbers(20, 15)
        await consumer.settled()
        await node.publish("t", b"in memory again")
        assert await consumer.bodies(1) == [b"in memory again"]
        assert channel.queue.backend_depth == 0


async def test_in_flight_and_deferred_messages_take_no_room_in_memory(tmp_path: Path) -> None:
    async with Node(tmp_path, "--mem-queue-size=10") as node:
        consumer = await node.subscribe("t", "c", rdy=10)
        await consumer.mpub("t", *numbers(10))
        for message in (await consumer.messages(10))[:5]:
            consumer.req(message.id, 60_000)
        consumer.rdy(0)
        await consumer.settled()
        await consumer.mpub("t", *numbers(10, 10))
        channel = node.channel("t", "c")
        assert (channel.queue.backend_depth, len(channel.deferred)) == (0, 5)


async def test_a_queue_beyond_the_byte_budget_of_the_process_spills(tmp_path: Path) -> None:
    async with Node(tmp_path, "--mem-queue-bytes=100000") as node:
        producer = await node.connect()
        await producer.pub("t", b"a" * 90_000)
        await producer.pub("u", b"b" * 90_000, b"c" * 1000)
        assert [node.topic(name).queue.backend_depth for name in ("t", "u")] == [0, 2]
        consumer = await node.subscribe("t", "c", rdy=1)
        await consumer.take(1)
        await consumer.settled()
        await producer.pub("v", b"d" * 90_000)
        assert node.topic("v").queue.backend_depth == 0
        consumer = await node.subscribe("u", "c", rdy=2)
        assert await consumer.take(2) == [b"b" * 90_000, b"c" * 1000]
        await eventually(lambda: node.topic("u").depth == 0)
        assert node.broker.budget.used == 90_034


async def test_the_byte_budget_is_given_back_in_the_end(tmp_path: Path) -> None:
    async with Node(tmp_path, "--mem-queue-bytes=1000000") as node:
        consumers = [await node.subscribe("t", name, rdy=1) for name in ("a", "b")]
        sampling = await node.subscribe("t", "s", 100, sample_rate=50)
        producer = await node.connect()
        await producer.mpub("t", *[b"x" * 1000] * 100)
        for consumer in consumers:
            await consumer.take(50)
        await node.post("/channel/empty?topic=t&channel=a")
        await node.post("/topic/pause?topic=t")
        await producer.mpub("t", *[b"x" * 1000] * 100)
        await node.post("/topic/delete?topic=t")
        await sampling_ended(sampling)
        assert node.broker.budget.used == 0


async def sampling_ended(consumer: RawClient) -> None:
    """The connection is over; what it got before is of no interest."""
    await consumer.until(lambda: consumer.ended)


# -- limits and sampling ---------------------------------------------------------------------------


async def test_a_channel_takes_no_more_consumers_than_allowed(tmp_path: Path) -> None:
    async with Node(tmp_path, "--max-channel-consumers=2") as node:
        first, _ = await node.subscribe("t", "c"), await node.subscribe("t", "c")
        third = await node.connect()
        third.send(b"SUB t c\n")
        await third.refused("E_SUB_FAILED SUB failed consumers for t:c exceeds limit of 2")
        await node.subscribe("t", "other")
        first.close()
        await eventually(lambda: len(node.channel("t", "c").clients) == 1)
        await node.subscribe("t", "c")


async def test_a_sampling_consumer_gets_about_its_share_and_the_rest_is_done_with(node: Node) -> None:
    consumer = await node.subscribe("t", "c", 2500, sample_rate=10)
    producer = await node.connect()
    for _ in range(10):
        await producer.mpub("t", *[b"x"] * 200)
    channel = node.channel("t", "c")
    await eventually(lambda: channel.depth == 0)
    assert 110 < channel.in_flight_count < 310  # six sigma around 200
    assert channel.requeue_count == channel.timeout_count == 0
    messages = await consumer.messages(channel.in_flight_count)
    assert {m.attempts for m in messages} == {1}


async def test_a_consumer_with_a_sample_rate_of_99_loses_about_one_percent(node: Node) -> None:
    await node.subscribe("t", "c", 2500, sample_rate=99)
    producer = await node.connect()
    await producer.mpub("t", *[b"x"] * 2400)
    channel = node.channel("t", "c")
    await eventually(lambda: channel.depth == 0)
    assert 2340 < channel.in_flight_count < 2400


async def test_nothing_is_published_or_subscribed_to_while_the_daemon_stops(node: Node) -> None:
    client, late = await node.connect(), await node.connect()
    await client.pub("t", b"x")
    await late.identify()
    node.broker.exiting = node.topic("t").exiting = True
    client.send(encode_pub("t", b"y"))
    await client.refused("E_PUB_FAILED PUB failed exiting")
    late.send(b"SUB u c\n")
    await late.refused("E_SUB_FAILED SUB failed exiting")
    node.broker.exiting = node.topic("t").exiting = False


# -- limits of nothing -------------------------------------------------------------------------------


async def test_without_a_time_out_messages_come_back_soon_unless_they_are_finished(tmp_path: Path) -> None:
    async with Node(tmp_path, "--msg-timeout=-5s", "--max-msg-timeout=0") as node:
        consumer = await node.subscribe("t", "c", rdy=1)
        await node.publish("t", b"m")
        assert [(await consumer.message()).attempts for _ in range(2)] == [1, 2]
        third = await consumer.message()
        consumer.touch(third.id)
        fourth = await consumer.message()
        consumer.fin(fourth.id)
        await eventually(lambda: node.channel("t", "c").in_flight_count == 0)
        assert (third.attempts, fourth.attempts, node.channel("t", "c").depth) == (3, 4, 0)


async def test_a_longest_delay_of_less_than_nothing_refuses_dpub_and_requeues_at_once(tmp_path: Path) -> None:
    async with Node(tmp_path, "--max-req-timeout=-1s") as node:
        consumer = await node.subscribe("t", "c", rdy=1)
        await node.publish("t", b"m")
        consumer.req((await consumer.message()).id, 60_000)
        assert (await consumer.message()).attempts == 2
        consumer.send(encode_dpub("t", 0, b"x"))
        await consumer.expect_error("E_INVALID DPUB timeout 0 out of range 0--1000")


async def test_a_nsqd_that_takes_no_messages_delivers_those_it_has(tmp_path: Path) -> None:
    async with Node(tmp_path) as node:
        await node.publish("t", b"kept")
    async with Node(tmp_path, "--max-msg-size=0", "--max-body-size=0") as node:
        answer = await node.request("POST", "/pub?topic=t", b"x")
        assert (answer.status, answer.body) == (413, b'{"message":"MSG_TOO_BIG"}')
        consumer = await node.subscribe("t", "c", rdy=1)
        message = await consumer.message()
        assert message.body == b"kept"
        consumer.fin(message.id)
        consumer.send(encode_pub("t", b"x"))
        await consumer.expect_error("E_BAD_MESSAGE PUB message too big 1 > 0")


async def test_a_nsqd_may_be_told_to_have_no_consumers(tmp_path: Path) -> None:
    async with Node(tmp_path, "--max-channel-consumers=-1", "--max-rdy-count=0") as node:
        await node.publish("t", b"m")
        client = await node.connect()
        client.send(b"SUB t c\n")
        await client.expect_error("E_SUB_FAILED SUB failed consumers for t:c exceeds limit of -1")
