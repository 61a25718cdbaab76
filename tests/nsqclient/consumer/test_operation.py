"""Running a consumer: what it tells, nodes left and joined by hand, topics created beforehand."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from nsqclient import (
    Closed,
    ConfigError,
    ConnectionOptions,
    Consumer,
    EventStream,
    Lookup,
    LookupFailed,
    LoopBlocked,
    NodeDown,
    NodeUp,
    RdyChanged,
    Subscribed,
    SubscribeRefused,
)
from nsqclient.testing import ScriptedNsqd
from tests.nsqclient.consumers import OPENING, QUICK, make
from tests.support.fake_nsqd import FakeNsqd, refuse
from tests.support.processes import spawn

LOCAL = ("--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--broadcast-address=127.0.0.1")


async def next_of(events: EventStream, kind: type) -> object:
    async with asyncio.timeout(5):
        async for event in events:
            if isinstance(event, kind):
                return event
    raise AssertionError(kind)


async def test_it_tells_of_nodes_that_come_and_go() -> None:
    async with FakeNsqd() as nsqd:
        nsqd.script("SUB", refuse("E_SUB_FAILED SUB failed channel consumers exceeds limit"))
        consumer = make([nsqd.address, "127.0.0.1:1"], reconnect=QUICK)
        events = consumer.events()
        async with consumer:
            assert await next_of(events, Subscribed) == Subscribed(nsqd.address)
            assert await next_of(events, RdyChanged) == RdyChanged(nsqd.address, 1)
            nsqd.link.drop()
            while True:
                down = await next_of(events, NodeDown)
                assert isinstance(down, NodeDown)
                if down.node == nsqd.address:
                    break
            assert await next_of(events, NodeUp) == NodeUp(nsqd.address)


async def test_a_node_that_refuses_is_news_while_others_accept() -> None:
    async with FakeNsqd() as good, FakeNsqd() as bad:
        bad.always("SUB", refuse("E_SUB_FAILED SUB failed channel consumers exceeds limit"))
        consumer = make([good.address, bad.address], reconnect=QUICK)
        events = consumer.events()
        async with consumer:
            async with asyncio.timeout(5):
                async for event in events:
                    if isinstance(event, NodeDown):
                        break
            assert isinstance(event, NodeDown)
            assert isinstance(event.error, SubscribeRefused)
            assert event.node == bad.address
            health = consumer.health()
            assert (health.live, health.ready) == (True, True)
            assert any("E_SUB_FAILED" in reason for reason in health.reasons)


async def test_a_nsqlookupd_that_fails_is_told_once() -> None:
    consumer = make(Lookup("http://127.0.0.1:1", poll_interval=0.05))
    events = consumer.events()
    async with consumer:
        failed = await next_of(events, LookupFailed)
        assert isinstance(failed, LookupFailed)
        assert failed.url.startswith("http://127.0.0.1:1/")
        health = consumer.health()
        assert (health.live, health.ready) == (True, False)
        assert health.reasons == ("no nsqd is known to have the topic",)


async def test_health_follows_its_life() -> None:
    async with FakeNsqd() as nsqd:
        consumer = make(nsqd.address, reconnect=QUICK)
        assert (consumer.health().live, consumer.health().ready) == (True, False)
        async with consumer:
            assert consumer.health().ready
            assert consumer.health().reasons == ()
            await nsqd.stop()
            async with asyncio.timeout(5):
                while consumer.health().ready:  # noqa: ASYNC110 - it has no event
                    await asyncio.sleep(0.005)
            (reason,) = consumer.health().reasons
            assert nsqd.address in reason
        health = consumer.health()
        assert (health.live, health.ready) == (False, False)
        assert "closed" in health.reasons[0]


async def test_a_blocked_loop_is_news_and_the_consumer_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    options = ConnectionOptions(heartbeat=1)
    async with FakeNsqd() as nsqd, make(nsqd.address, options=options) as consumer:
        events = consumer.events()
        await nsqd.expect(*OPENING, "RDY 1")
        time.sleep(1.2)  # noqa: ASYNC251 - this is the point
        blocked = await next_of(events, LoopBlocked)
        assert isinstance(blocked, LoopBlocked)
        assert 0.5 < blocked.seconds < 10
        nsqd.link.heartbeat()
        await nsqd.until(lambda: nsqd.link.nops == 1)
        nsqd.message()
        (await consumer.get(timeout=5)).finish()
    (record,) = [r for r in caplog.records if "stood still" in r.message]
    assert (record.topic, record.channel) == ("t", "c")  # type: ignore[attr-defined]


# ---- nodes by hand


async def test_a_node_is_left_in_order_and_stays_left() -> None:
    async with AsyncExitStack() as stack:
        nsqd, other = [await stack.enter_async_context(FakeNsqd()) for _ in range(2)]
        async with make([nsqd.address, other.address], max_in_flight=4, reconnect=QUICK) as consumer:
            await nsqd.until(lambda: "RDY" in nsqd.verbs)
            held, unstarted = nsqd.message(), nsqd.message()
            message = await consumer.get(timeout=5)
            nsqd.link.heartbeat()
            await nsqd.until(lambda: nsqd.link.nops == 1)
            leaving = asyncio.create_task(consumer.disconnect(nsqd.address, drain=5))
            await nsqd.until(lambda: nsqd.commands[-2:] == ["CLS", f"REQ {unstarted} 0"])
            assert not leaving.done()
            message.finish()
            await leaving
            assert nsqd.commands[-1] == f"FIN {held}"
            assert consumer.stats.connections == 1
            await other.until(lambda: other.commands[-1] == "RDY 4")
            consumer._reception.members.found(frozenset([nsqd.address]), True)
            assert consumer.stats.connections == 1
            assert len(nsqd.links) == 1
            await consumer.disconnect("127.0.0.1:1")
            consumer.connect(nsqd.address)
            await nsqd.until(lambda: nsqd.verbs.count("SUB") == 2)


async def test_a_message_held_too_long_is_handed_back_when_its_node_is_left() -> None:
    async with FakeNsqd() as nsqd, make(nsqd.address) as consumer:
        message_id = nsqd.message()
        message = await consumer.get(timeout=5)
        await consumer.disconnect(nsqd.address, drain=0.05)
        assert message.state == "requeued"
        assert nsqd.commands[-1] == f"REQ {message_id} 0"


@pytest.mark.parametrize("address", ["", "nonsense", "host:", "host:x", "http://host:4150"])
async def test_what_is_no_address_is_not_connected_to(address: str) -> None:
    async with ScriptedNsqd() as nsqd, Consumer("t", "c", nsqd) as consumer:
        with pytest.raises(ConfigError):
            consumer.connect(address)
        assert len(nsqd.links) == 1


async def test_nodes_are_only_left_while_it_is_open() -> None:
    consumer = make("127.0.0.1:1")
    with pytest.raises(Closed):
        await consumer.disconnect("127.0.0.1:1")
    with pytest.raises(Closed):
        consumer.connect("127.0.0.1:1")
    with pytest.raises(Closed):
        consumer.rate_limit(1)


# ---- create=True


async def test_topic_and_channel_are_created_first(tmp_path: Path) -> None:
    with spawn("nsqlookupd", *LOCAL) as lookupd:
        flags = (f"--data-path={tmp_path}", f"--lookupd-tcp-address={lookupd.tcp}")
        with spawn("nsqd", *LOCAL, *flags) as nsqd:
            from nsqclient.http import Lookupd, Nsqd

            async with Lookupd(f"http://{lookupd.http}") as asked, asyncio.timeout(10):
                while not await asked.nodes():  # noqa: ASYNC110 - a process
                    await asyncio.sleep(0.01)
            lookup = Lookup(f"http://{lookupd.http}", poll_interval=60)
            async with Consumer("new", "billing", lookup, create=True) as consumer:
                assert consumer.stats.connections == 1
                async with Nsqd(f"http://{nsqd.http}") as http:
                    await http.publish("new", b"x")
                    (await consumer.get(timeout=5)).finish()


async def test_creating_goes_on_without_those_who_can_not_be_asked() -> None:
    lookup = Lookup("http://127.0.0.1:1", connect_timeout=0.5, request_timeout=0.5)
    async with asyncio.timeout(5), Consumer("new", "billing", lookup, create=True, drain=0) as consumer:
        assert consumer.stats.connections == 0
