"""Both HTTP clients with real daemons: ours, and the originals where ``NSQ_PEER_BIN`` names them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from nsqclient import ApiNotFound, ApiRefused, Consumer, Producer
from nsqclient.http import Lookupd, Nsqd
from tests.support.needs import original
from tests.support.processes import DaemonProcess, spawn

LOCAL = ("--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--broadcast-address=127.0.0.1")


class Daemons(NamedTuple):
    nsqd: DaemonProcess
    lookupd: DaemonProcess


@pytest.fixture(scope="module", params=["ours", "original"])
def daemons(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemons]:
    programs: tuple[str | Path, str | Path] = ("nsqd", "nsqlookupd")
    if request.param == "original":
        programs = (original("nsqd"), original("nsqlookupd"))
    with ExitStack() as stack:
        lookupd = stack.enter_context(spawn(programs[1], *LOCAL))
        flags = (f"--data-path={tmp_path_factory.mktemp('data')}", f"--lookupd-tcp-address={lookupd.tcp}")
        yield Daemons(stack.enter_context(spawn(programs[0], *LOCAL, *flags)), lookupd)


async def received(nsqd: DaemonProcess, topic: str, count: int) -> list[bytes]:
    """Takes and finishes so many messages."""
    bodies = []
    async with Consumer(topic, "taken", nsqd.tcp, max_in_flight=10, drain=0) as consumer:
        for _ in range(count):
            message = await consumer.get(timeout=10)
            message.finish()
            bodies.append(message.body)
    return sorted(bodies)


async def test_nsqd_tells_what_it_is(daemons: Daemons) -> None:
    async with Nsqd(daemons.nsqd.http) as nsqd:
        await nsqd.ping()
        info = await nsqd.info()
    assert info.version
    assert f"127.0.0.1:{info.tcp_port}" == daemons.nsqd.tcp
    assert info.max_heartbeat_interval == 60_000_000_000


async def test_messages_published_singly_deferred_and_in_both_batch_forms_arrive(daemons: Daemons) -> None:
    async with Nsqd(f"http://{daemons.nsqd.http}/") as nsqd:
        await nsqd.publish("published", b"one")
        await nsqd.publish("published", bytearray(b"two"), delay=0.05)
        await nsqd.publish_many("published", [b"three\n3", b"four"])
        await nsqd.publish_many("published", [b"five", b"six"], binary=False)
    assert await received(daemons.nsqd, "published", 6) == [
        b"five", b"four", b"one", b"six", b"three\n3", b"two",
    ]  # fmt: skip


async def test_stats_show_topics_channels_consumers_and_producers(daemons: Daemons) -> None:
    async with (
        Producer(daemons.nsqd.tcp) as producer,
        Consumer("counted", "c", daemons.nsqd.tcp, max_in_flight=7, drain=0) as consumer,
        Nsqd(daemons.nsqd.http) as nsqd,
    ):
        await producer.publish("counted", b"x")
        message = await consumer.get(timeout=10)
        stats = await nsqd.stats("counted", "c")
        text = await nsqd.stats_text("counted")
        lean = await nsqd.stats("counted", clients=False, memory=False)
        none = await nsqd.stats("unknown")
        message.finish()
    assert stats.health == "OK"
    assert stats.memory is not None
    topic = stats.topic("counted")
    assert topic is not None
    assert (topic.message_count, topic.message_bytes, topic.paused) == (1, 1, False)
    (channel,) = topic.channels
    assert (channel.channel_name, channel.in_flight_count, channel.client_count) == ("c", 1, 1)
    (client,) = channel.clients
    assert (client.ready_count, client.state, client.tls) == (7, 3, False)
    assert client.user_agent.startswith("nsqclient/")
    assert stats.producers[0].pub_counts[0].topic == "counted"
    assert "[counted" in text
    assert "Health: OK" in text
    assert lean.memory is None
    assert lean.topics[0].channels[0].clients == ()
    assert lean.topics[0].channels[0].client_count == 1
    assert none.topics == ()
    assert none.topic("unknown") is None


async def test_topics_and_channels_are_made_paused_emptied_and_deleted(daemons: Daemons) -> None:
    async with Nsqd(daemons.nsqd.http) as nsqd:
        await nsqd.create_topic("made")
        await nsqd.create_channel("made", "c")
        await nsqd.pause_topic("made")
        await nsqd.pause_channel("made", "c")
        topic = (await nsqd.stats("made")).topics[0]
        assert (topic.paused, topic.channels[0].paused) == (True, True)
        await nsqd.publish("made", b"x")
        assert (await nsqd.stats("made")).topics[0].depth == 1
        await nsqd.empty_topic("made")
        await nsqd.empty_channel("made", "c")
        await nsqd.unpause_topic("made")
        await nsqd.unpause_channel("made", "c")
        topic = (await nsqd.stats("made")).topics[0]
        assert (topic.depth, topic.paused, topic.channels[0].paused) == (0, False, False)
        await nsqd.delete_channel("made", "c")
        assert (await nsqd.stats("made")).topics[0].channels == ()
        await nsqd.delete_topic("made")
        assert (await nsqd.stats("made")).topics == ()


async def test_what_is_not_there_and_what_is_refused_have_their_codes(daemons: Daemons) -> None:
    async with Nsqd(daemons.nsqd.http) as nsqd:
        with pytest.raises(ApiNotFound) as unknown:
            await nsqd.delete_topic("no-such")
        with pytest.raises(ApiRefused) as refused:
            await nsqd.config("no_such_option")
        await nsqd.create_topic("with")
        with pytest.raises(ApiNotFound) as channel:
            await nsqd.pause_channel("with", "out")
    assert (unknown.value.status, unknown.value.code) == (404, "TOPIC_NOT_FOUND")
    assert (refused.value.status, refused.value.code) == (400, "INVALID_OPTION")
    assert channel.value.code == "CHANNEL_NOT_FOUND"


async def test_options_are_read_and_the_changeable_ones_changed(daemons: Daemons) -> None:
    async with Nsqd(daemons.nsqd.http) as nsqd:
        assert await nsqd.config("mem_queue_size") == 10000
        assert await nsqd.config("broadcast_address") == "127.0.0.1"
        assert await nsqd.config("snappy") is True
        assert await nsqd.config("msg_timeout") == 60_000_000_000
        before = await nsqd.config("nsqlookupd_tcp_addresses")
        assert before == [daemons.lookupd.tcp]
        assert await nsqd.set_lookupd_addresses([]) == ()
        assert await nsqd.set_lookupd_addresses([daemons.lookupd.tcp]) == (daemons.lookupd.tcp,)
        await nsqd.set_log_level("error")
        assert await nsqd.config("log_level") == 4
        await nsqd.set_log_level("info")
        with pytest.raises(ApiRefused) as refused:
            await nsqd.set_log_level("loud")  # type: ignore[arg-type]
    assert refused.value.code == "INVALID_VALUE"


async def test_a_process_can_be_looked_into(daemons: Daemons) -> None:
    async with Nsqd(daemons.nsqd.http) as nsqd:
        assert b"nsqd" in await nsqd.profile("cmdline")
        await nsqd.free_memory()
        await nsqd.set_block_rate(0)
    async with Lookupd(daemons.lookupd.http) as lookupd:
        assert b"nsqlookupd" in await lookupd.profile("cmdline")


async def test_nsqlookupd_tells_who_has_what(daemons: Daemons) -> None:
    async with Nsqd(daemons.nsqd.http) as nsqd, Lookupd(daemons.lookupd.http) as lookupd:
        await lookupd.ping()
        assert (await lookupd.info()).version
        await nsqd.create_topic("registered")
        await nsqd.create_channel("registered", "c")
        async with asyncio.timeout(20):
            while "c" not in await lookupd.channels("registered"):  # noqa: ASYNC110 - nsqd registers by itself
                await asyncio.sleep(0.02)
        answer = await lookupd.lookup("registered")
        (node,) = await lookupd.nodes()
        assert answer.channels == ("c",)
        (producer,) = answer.producers
        assert producer.tcp_address == node.tcp_address == daemons.nsqd.tcp
        assert node.http_address == daemons.nsqd.http
        assert "registered" in node.topics
        assert node.tombstoned == frozenset()
        assert "registered" in await lookupd.topics()
        directory = await lookupd.debug()
        (entry,) = directory["channel:registered:c"]
        assert (entry.tcp_port, entry.tombstoned) == (node.tcp_port, False)
        await lookupd.tombstone("registered", node.http_address)
        assert (await lookupd.nodes())[0].tombstoned == frozenset(["registered"])
        assert (await lookupd.lookup("registered")).producers == ()
        await nsqd.delete_topic("registered")


async def test_nsqlookupd_learns_and_forgets_names(daemons: Daemons) -> None:
    async with Lookupd(f"http://{daemons.lookupd.http}") as lookupd:
        await lookupd.create_topic("known")
        await lookupd.create_channel("known", "c")
        assert await lookupd.channels("known") == ("c",)
        assert (await lookupd.lookup("known")).producers == ()
        await lookupd.delete_channel("known", "c")
        with pytest.raises(ApiNotFound) as gone:
            await lookupd.delete_channel("known", "c")
        await lookupd.delete_topic("known")
        with pytest.raises(ApiNotFound) as unknown:
            await lookupd.lookup("known")
    assert gone.value.code == "CHANNEL_NOT_FOUND"
    assert unknown.value.code == "TOPIC_NOT_FOUND"
