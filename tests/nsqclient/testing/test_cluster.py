import asyncio
import time

import pytest

from nsqclient import (
    ConfigError,
    ConnectionOptions,
    Consumer,
    Failures,
    LinearRequeue,
    Lookup,
    NoNodes,
    Nsqd,
    Producer,
    PublishTimeout,
    PublishUnknown,
    RetryPolicy,
    blocking,
)
from nsqclient.testing import Clock, Commands, FakeCluster, NodeOptions


async def test_messages_go_from_a_producer_to_a_consumer() -> None:
    async with FakeCluster(nodes=3) as cluster:
        async with Producer(cluster) as producer, Consumer("t", "c", cluster) as consumer:
            await producer.publish("t", b"x")
            async with await consumer.get(timeout=1) as message:
                assert message.body == b"x"
        assert cluster.published("t") == [b"x"]
        assert cluster.depth("t", "c") == cluster.in_flight("t", "c") == 0


async def test_the_commands_of_a_node_are_compared_with_patterns() -> None:
    async with FakeCluster(nodes=1) as cluster:
        cluster.node(0).publish("t", b"x")
        async with Consumer("t", "c", cluster) as consumer:
            async with await consumer.get(timeout=1):
                pass
            await cluster.wait_until_idle()
            assert cluster.commands(0) == ["IDENTIFY", "SUB t c", "RDY 1", "FIN *"]
        assert cluster.commands(0)[-1] == "CLS"
        assert cluster.commands(0).verbs == ["IDENTIFY", "SUB", "RDY", "FIN", "CLS"]


async def test_every_channel_gets_a_copy() -> None:
    async with FakeCluster(nodes=1) as cluster:
        node = cluster.node(0)
        node.publish("t", b"1")
        assert node.depth("t") == 1
        node.create("t", "a")
        node.create("t", "b")
        node.publish("t", b"2")
        assert (node.depth("t"), node.depth("t", "a"), node.depth("t", "b")) == (0, 2, 1)


async def test_leases_run_out_when_the_clock_says_so() -> None:
    async with FakeCluster(nodes=1, frozen=True, msg_timeout=5) as cluster:
        cluster.node(0).publish("t", b"x")
        async with Consumer("t", "c", cluster, max_in_flight=1) as consumer:
            first = await consumer.get()
            await cluster.clock.advance(4.9)
            assert cluster.in_flight("t", "c") == 1
            await cluster.clock.advance(0.2)
            second = await consumer.get()
            assert (first.attempts, second.attempts) == (1, 2)
            second.finish()
            await cluster.wait_until_idle()
            assert cluster.node(0).timed_out("t", "c") == 1


async def test_requeued_messages_and_back_off_follow_the_clock() -> None:
    async with FakeCluster(nodes=1, frozen=True) as cluster:
        cluster.node(0).publish("t", b"x")
        async with Consumer("t", "c", cluster, failures=Failures(requeue=LinearRequeue(90))) as consumer:
            began = time.monotonic()
            for attempt in (1, 2, 3):
                message = await consumer.get()
                assert message.attempts == attempt
                message.requeue()
                await cluster.clock.settle()
                assert cluster.deferred("t", "c") == 1
                await cluster.clock.advance(90 * attempt - 1)
                assert cluster.deferred("t", "c") == 1
                await cluster.clock.advance(1)
            assert time.monotonic() - began < 5
        assert cluster.commands(0).matching("REQ *") == [
            "REQ * 90000",
            "REQ * 180000",
            "REQ * 270000",
            "REQ * 0",
        ]


async def test_heartbeats_come_at_their_times_and_are_answered() -> None:
    options = ConnectionOptions(heartbeat=10)
    async with FakeCluster(nodes=1, frozen=True) as cluster, Producer(cluster, options=options):
        await cluster.wait_for_commands(0, "IDENTIFY")
        await cluster.clock.advance(35)
        assert cluster.node(0).nops == 3
        assert cluster.commands(0) == ["IDENTIFY"]


async def test_a_stopped_node_keeps_its_messages_and_a_killed_one_loses_them() -> None:
    async with FakeCluster(nodes=2) as cluster:
        for node in cluster.nodes:
            node.create("t", "c")
            node.publish("t", b"%d" % node.queues.topics["t"].channels["c"].depth)
        cluster.node(0).stop()
        cluster.node(1).kill()
        async with Producer(cluster) as producer:
            with pytest.raises(NoNodes):
                await producer.publish("t", b"y", timeout=0.05)
        cluster.node(0).start()
        cluster.node(1).start()
        assert [node.depth("t", "c") for node in cluster.nodes] == [1, 0]


async def test_a_consumer_survives_the_end_of_a_node() -> None:
    async with FakeCluster(nodes=1, frozen=True) as cluster:
        node = cluster.node(0)
        node.publish("t", b"1")
        async with Consumer("t", "c", cluster) as consumer:
            held = await consumer.get()
            node.stop()
            await cluster.clock.settle()
            assert held.state == "lost"
            node.start()
            await cluster.clock.advance(60)
            again = await consumer.get()
            assert (again.body, again.attempts) == (b"1", 2)
            again.finish()


async def test_answers_that_are_lost_leave_a_publish_unknown() -> None:
    async with FakeCluster(nodes=1) as cluster, Producer(cluster) as producer:
        await producer.publish("t", b"1")
        cluster.node(0).drop_replies()
        publishing = asyncio.create_task(producer.publish("t", b"2"))
        await cluster.wait_for_commands(0, "PUB t 2")
        cluster.node(0).drop_connections()
        with pytest.raises(PublishUnknown):
            await publishing
        assert cluster.published("t") == [b"1", b"2"]
        cluster.node(0).heal()
        await producer.publish("t", b"3")


async def test_a_refused_publish_goes_to_another_node() -> None:
    async with FakeCluster(nodes=2) as cluster:
        for node in cluster.nodes:
            node.refuse("PUB t *", "E_PUB_FAILED PUB failed exiting", times=1)
        async with Producer(cluster, retry=RetryPolicy()) as producer:
            receipt = await producer.publish("t", b"x")
            assert receipt.attempts == 3
        assert cluster.published("t") == [b"x"]


async def test_a_paused_node_does_nothing_until_it_is_resumed() -> None:
    async with FakeCluster(nodes=1) as cluster, Producer(cluster) as producer:
        node = cluster.node(0)
        await producer.publish("t", b"1")
        node.pause()
        with pytest.raises(PublishTimeout):
            await producer.publish("t", b"2", timeout=0.05)
        assert cluster.published("t") == [b"1"]
        node.resume()
        await producer.publish("t", b"3")
        assert cluster.published("t") == [b"1", b"2", b"3"]


async def test_what_a_slow_node_says_comes_late_and_in_order() -> None:
    async with FakeCluster(nodes=1, frozen=True) as cluster, Producer(cluster, timeout=60) as producer:
        await cluster.wait_for_commands(0, "IDENTIFY")
        await cluster.clock.settle()
        cluster.node(0).delay(3)
        publishing = [asyncio.create_task(producer.publish("t", b"%d" % n)) for n in range(3)]
        await cluster.clock.advance(2.9)
        assert len(cluster.published("t")) == 3
        assert not any(task.done() for task in publishing)
        await cluster.clock.advance(0.2)
        assert all(task.done() for task in publishing)


async def test_a_node_reads_no_faster_than_it_is_told() -> None:
    async with FakeCluster(nodes=1, frozen=True) as cluster, Producer(cluster, timeout=60) as producer:
        await cluster.wait_for_commands(0, "IDENTIFY")
        await cluster.clock.settle()
        cluster.node(0).throttle(1000)
        first = asyncio.create_task(producer.publish("t", b"x" * 10_000))
        await cluster.clock.settle()
        second = asyncio.create_task(producer.publish("t", b"y"))
        await cluster.clock.advance(9)
        assert first.done()
        assert not second.done()
        await cluster.clock.advance(2)
        assert second.done()


async def test_a_half_open_connection_is_noticed_and_replaced() -> None:
    options = ConnectionOptions(heartbeat=5, read_timeout=20)
    async with FakeCluster(nodes=1, frozen=True) as cluster, Producer(cluster, options=options) as producer:
        await cluster.wait_for_commands(0, "IDENTIFY")
        cluster.node(0).half_open()
        await cluster.clock.advance(30)
        publishing = asyncio.create_task(producer.publish("t", b"x"))
        await cluster.clock.advance(1)
        assert (await publishing).attempts == 1


async def test_connecting_to_an_unreachable_node_takes_the_dial_timeout() -> None:
    async with FakeCluster(nodes=1, frozen=True) as cluster:
        cluster.node(0).unreachable()
        async with Producer(cluster) as producer:
            publishing = asyncio.create_task(producer.publish("t", b"x"))
            await cluster.clock.advance(6)
            with pytest.raises(NoNodes, match="connecting took too long"):
                await publishing


async def test_nodes_are_found_through_nsqlookupds_and_may_come_and_go() -> None:
    async with FakeCluster(nodes=1, lookups=2, frozen=True, poll_interval=10) as cluster:
        cluster.node(0).create("t")
        async with Producer(cluster), Consumer("t", "c", cluster):
            await cluster.wait_for_commands(0, "SUB t c")
            late = cluster.add_node()
            late.create("t")
            hidden = cluster.add_node()
            hidden.create("t")
            for lookup in cluster.lookups:
                lookup.tombstone("t", hidden)
            await cluster.clock.advance(11)
            assert "SUB t c" in late.commands
            assert "SUB t c" not in hidden.commands
            assert "IDENTIFY" in hidden.commands  # the producer's
        assert cluster.lookup(0).requests.matching("GET /lookup?topic=t")
        assert cluster.lookup(1).requests.matching("GET /nodes")


async def test_a_lying_failing_or_silent_nsqlookupd_does_no_harm() -> None:
    async with FakeCluster(nodes=1, lookups=4) as cluster:
        cluster.node(0).publish("t", b"x")
        cluster.lookup(0).lie({"producers": "nobody"})
        cluster.lookup(1).fail(503, "BUSY")
        cluster.lookup(2).hang()
        async with Consumer("t", "c", cluster) as consumer, await consumer.get(timeout=5) as message:
            assert message.body == b"x"
        for lookup in cluster.lookups:
            lookup.heal()


async def test_a_nsqlookupd_comes_back_at_its_port() -> None:
    async with FakeCluster(nodes=1, lookups=1) as cluster:
        lookup = cluster.lookup(0)
        address = lookup.address
        await lookup.stop()
        await lookup.start()
        assert lookup.address == address


async def test_it_is_accepted_where_a_target_is() -> None:
    cluster = FakeCluster(nodes=2)
    assert isinstance(cluster.target, Nsqd)
    assert cluster.target.addresses == ("nsqd-0.test:4150", "nsqd-1.test:4150")
    with pytest.raises(ConfigError, match="within its 'async with' only"):
        Producer(FakeCluster(nodes=1, lookups=1))
    async with FakeCluster(nodes=1, lookups=1) as cluster:
        assert isinstance(cluster.target, Lookup)
    with pytest.raises(ConfigError, match="makes no sense"):
        FakeCluster(nodes=0)


async def test_an_address_that_is_no_node_can_not_be_dialed() -> None:
    async with FakeCluster(nodes=1) as cluster:
        with pytest.raises(OSError, match="no such host"):
            await cluster.connect("other:1", asyncio.Protocol)


async def test_it_uses_a_clock_that_runs_already() -> None:
    async with Clock() as clock, FakeCluster(nodes=1) as cluster:
        assert cluster.clock.frozen
        now = clock.time()
        await cluster.clock.advance(1)
        assert clock.time() == now + 1


async def test_what_does_not_come_true_is_told_with_the_state_of_the_nodes() -> None:
    async with FakeCluster(nodes=1, frozen=True) as cluster:
        cluster.node(0).publish("t", b"x")
        async with Consumer("t", "c", cluster) as consumer:
            message = await consumer.get()
            with pytest.raises(AssertionError, match=r"did not come true: <FakeNode .*SUB t c"):
                await cluster.wait_until_idle(timeout=0.05)
            message.finish()


async def test_ephemeral_channels_and_topics_go_with_their_last_consumer() -> None:
    async with FakeCluster(nodes=1, options=NodeOptions(mem_queue_size=2)) as cluster:
        node = cluster.node(0)
        async with Consumer("t#ephemeral", "c#ephemeral", cluster, max_in_flight=0):
            node.publish("t#ephemeral", b"1", b"2", b"3")
            assert node.depth("t#ephemeral", "c#ephemeral") == 2
        await cluster.until(lambda: node.topics == [])


async def test_pausing_and_emptying_and_deleting_do_what_the_http_api_does() -> None:
    async with FakeCluster(nodes=1) as cluster:
        node = cluster.node(0)
        async with Consumer("t", "c", cluster, max_in_flight=5) as consumer:
            node.pause_channel("t", "c")
            node.publish("t", b"1")
            assert node.depth("t", "c") == 1
            node.pause_channel("t", "c", False)
            (await consumer.get(timeout=1)).finish()
            node.pause_topic("t")
            node.publish("t", b"2", b"3")
            assert node.depth("t") == 2
            node.empty("t")
            node.pause_topic("t", False)
            await cluster.wait_until_idle()
            node.publish("t", b"4")
            held = await consumer.get(timeout=1)
            assert held.body == b"4"
            node.empty("t", "c")
            assert node.in_flight("t", "c") == 0
            node.delete("t", "c")
            await cluster.until(lambda: len(node.commands.matching("SUB t c")) == 2)
            node.delete("t")
            await cluster.until(lambda: len(node.commands.matching("SUB t c")) == 3)


async def test_a_node_can_listen_on_a_real_socket_as_well() -> None:
    async with FakeCluster(nodes=1) as cluster:
        address = await cluster.node(0).listen()
        async with Producer(address) as producer:
            await producer.publish("t", b"x")
        assert cluster.published("t") == [b"x"]


async def test_a_blocking_producer_in_a_thread_reaches_a_node_that_listens() -> None:
    def publish(address: str) -> None:
        with blocking.Producer(address) as producer:
            producer.publish("t", b"x")

    async with FakeCluster(nodes=1) as cluster:
        await asyncio.to_thread(publish, await cluster.node(0).listen())
        assert cluster.published("t") == [b"x"]


async def test_a_finish_that_is_refused_names_its_message() -> None:
    async with FakeCluster(nodes=1) as cluster, Consumer("t", "c", cluster) as consumer:
        node = cluster.node(0)
        node.refuse("FIN", "E_FIN_FAILED FIN * failed ID not in flight")
        node.publish("t", b"x")
        first = await consumer.get(timeout=5)
        first.finish()
        await cluster.until(lambda: consumer.stats.lost == 1)
        assert len(node.sessions) == 1  # the connection has survived it


async def test_a_share_of_the_messages_is_passed_over_where_the_consumer_asks_for_a_sample() -> None:
    options = ConnectionOptions(sample_rate=20)
    async with FakeCluster(nodes=1) as cluster:
        cluster.node(0).publish("t", *[b"x"] * 1000)
        async with Consumer("t", "c", cluster, options=options, max_in_flight=1000):
            await cluster.until(lambda: cluster.depth("t", "c") == 0)
            assert 120 < cluster.in_flight("t", "c") < 300


def test_commands_are_compared_with_patterns_only() -> None:
    commands = Commands(["SUB t c", "FIN 1", "PUB t a\nb"])
    assert commands == ["SUB t c", "FIN *", "PUB t *"]
    assert commands == ("*", "*", "*")
    assert commands != ["SUB t c"]
    assert commands != ["SUB t c", "FIN", "PUB t *"]
    assert commands != ["SUB t c", "FIN 1", "PUB t a.b"]
    assert commands[1:] == ["FIN *", "*"]
    assert commands.matching("*t*").verbs == ["SUB", "PUB"]
    assert repr(commands[:1]) == "['SUB t c']"
    assert commands != "SUB t c"


async def test_nothing_is_left_behind() -> None:
    before = asyncio.all_tasks()
    async with FakeCluster(nodes=2, lookups=1) as cluster:
        async with Producer(cluster) as producer, Consumer("t", "c", cluster):
            await producer.publish("t", b"x")
        assert all(not node.sessions for node in cluster.nodes)
    assert asyncio.all_tasks() == before
