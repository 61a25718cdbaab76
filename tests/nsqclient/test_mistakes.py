"""What a newcomer gets wrong is told at once, or where he looks, in words that say what to do."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, cast

import pytest

from nsqclient import (
    ConfigError,
    ConnectionOptions,
    Consumer,
    Lookup,
    NodeDown,
    NoNodes,
    Nsqd,
    Producer,
)
from tests.nsqclient.consumers import QUICK
from tests.support.fake_nsqd import FakeNsqd

NOBODY = "127.0.0.1:1"

MISTAKES: list[tuple[Callable[[], object], str]] = [
    (lambda: Producer(cast(Any, None)), "not NoneType"),
    (lambda: Producer(cast(Any, ("localhost", 4150))), "4150 is not a nsqd address"),
    (lambda: Producer("a:1", options=cast(Any, {"auth": "s3cret"})), r"options is of type dict"),
    (lambda: Producer("a:1", retry=cast(Any, 3)), r"retry is of type int, want RetryPolicy\(\.\.\.\)"),
    (lambda: Producer("a:1", batch=cast(Any, 500)), "batch is of type int"),
    (lambda: Producer("a:1", routing=cast(Any, "sticky")), "routing is of type str"),
    (lambda: Consumer("t", "c", "a:1", flow=cast(Any, {})), r"flow is of type dict, want FlowControl"),
    (lambda: Consumer("t", "c", "a:1", failures=cast(Any, 5)), "failures is of type int"),
    (lambda: Consumer("t", "c", "a:1", leases=cast(Any, 60)), "leases is of type int"),
    (lambda: Consumer("t", "c", "a:1", dedup=cast(Any, True)), "dedup is of type bool"),
    (lambda: ConnectionOptions(tls=cast(Any, True)), r"tls is of type bool, want Tls\(\.\.\.\)"),
    (lambda: ConnectionOptions(limits=cast(Any, 100)), "limits is of type int"),
    (lambda: ConnectionOptions(topology=cast(Any, "eu")), "topology is of type str"),
]


@pytest.mark.parametrize(("mistake", "told"), MISTAKES)
def test_an_argument_of_the_wrong_kind_is_named(mistake: Callable[[], object], told: str) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        mistake()
    assert "s3cret" not in str(caught.value)


async def test_what_cannot_handle_a_message_is_no_handler() -> None:
    def takes_nothing() -> None: ...

    async def takes_two(message: object, other: object) -> None: ...

    async with FakeNsqd() as nsqd, Consumer("t", "c", nsqd.address) as consumer:
        for wrong in (None, takes_nothing, takes_two):
            with pytest.raises(ConfigError, match="handler"):
                async with asyncio.timeout(5):
                    await consumer.run(cast(Any, wrong))
            with pytest.raises(ConfigError, match="handler"):
                async with asyncio.timeout(5):
                    await consumer.run_batches(cast(Any, wrong), max_messages=2, linger=1)


async def test_a_handler_whose_parameters_nobody_knows_is_taken() -> None:
    handled: list[object] = []

    async with FakeNsqd() as nsqd, Consumer("t", "c", nsqd.address) as consumer:
        nsqd.message(b"x")
        async with asyncio.timeout(5):
            running = asyncio.create_task(consumer.run(handled.append))
            await nsqd.expect("IDENTIFY", "SUB t c", "RDY 1", "RDY 2", "FIN *")
        consumer.stop()
        await running
    assert len(handled) == 1


async def test_a_time_out_says_why_no_message_can_come() -> None:
    async with Consumer("orders", "billing", NOBODY) as consumer:
        with pytest.raises(TimeoutError, match=f"no message of orders/billing .*: {NOBODY}: .*refused"):
            await consumer.get(timeout=0.05)


async def test_a_time_out_of_the_caller_stays_its_own() -> None:
    async with FakeNsqd() as nsqd, Consumer("orders", "billing", nsqd.address) as consumer:
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(0.02):
                await consumer.get(timeout=5)
        assert not str(caught.value)
        with pytest.raises(TimeoutError, match=r"came in time$"):
            await consumer.get(timeout=0.02)


async def test_a_nsqd_that_cannot_be_reached_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="nsqclient")
    consumer = Consumer("t", "c", NOBODY, reconnect=QUICK)
    events, failed = consumer.events(), 0
    async with consumer, asyncio.timeout(5):
        async for event in events:
            failed += isinstance(event, NodeDown)
            if failed == 3:
                break
        assert not consumer.health().ready
    levels = [r.levelno for r in caplog.records if "can't receive t/c" in r.getMessage()]
    assert levels[0] == logging.WARNING
    assert set(levels[1:]) == {logging.DEBUG}


async def test_a_producer_tells_what_is_wrong_with_its_nsqlookupds() -> None:
    async with Producer(Lookup(NOBODY)) as producer:
        with pytest.raises(NoNodes, match=f"no nsqd of Lookup.*{NOBODY}/nodes does not answer - .*refused"):
            await producer.publish("t", b"x", timeout=0.5)


async def test_a_port_that_speaks_no_http_is_not_a_nsqlookupd() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"\x00\x00\x00\x0eE_BAD_PROTOCOL")
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, Producer(Lookup(f"127.0.0.1:{port}")) as producer:
        with pytest.raises(NoNodes, match=r"the answer is not HTTP$"):
            await producer.publish("t", b"x", timeout=0.5)


async def test_several_addresses_may_come_as_any_iterable() -> None:
    assert Nsqd("a:1", "b:1").addresses == ("a:1", "b:1")
    with pytest.raises(ConfigError, match="3 is not a nsqd address"):
        Nsqd("a:1", cast(Any, 3))
