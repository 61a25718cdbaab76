"""Bridges and real daemons as processes: ours, and the originals where ``NSQ_PEER_BIN`` names them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

import nsqclient
from nsqclient import ConnectionOptions, Lookup
from nsqclient.push import Bridge, Settings
from tests.nsqclient.push.browsers import Client, Tokens, mail, welcomed
from tests.support.needs import original
from tests.support.nsqd import eventually
from tests.support.processes import DaemonProcess, spawn

LOCAL = ("--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--broadcast-address=127.0.0.1")


@pytest.fixture(params=["ours", "original"])
def programs(request: pytest.FixtureRequest) -> tuple[str | Path, str | Path]:
    """nsqd and nsqlookupd."""
    if request.param == "ours":
        return "nsqd", "nsqlookupd"
    return original("nsqd"), original("nsqlookupd")


@pytest.fixture
def lookupd(programs: tuple[str | Path, str | Path]) -> Iterator[DaemonProcess]:
    with spawn(programs[1], *LOCAL) as daemon:
        yield daemon


@pytest.fixture
def nsqd(
    programs: tuple[str | Path, str | Path], lookupd: DaemonProcess, tmp_path: Path
) -> Iterator[DaemonProcess]:
    data = f"--data-path={tmp_path}"
    with spawn(programs[0], *LOCAL, data, f"--lookupd-tcp-address={lookupd.tcp}") as daemon:
        yield daemon


def bridge(lookupd: DaemonProcess, **settings: object) -> Bridge:
    given = {"user_topics": ("mail",), "linger": 0, "retry_delay": 0.1, "shutdown_timeout": 3.0, **settings}
    return Bridge(
        Lookup(f"http://{lookupd.http}", poll_interval=0.1),
        Tokens(),
        settings=Settings(**given),  # type: ignore[arg-type]
        options=ConnectionOptions(),
        address="127.0.0.1:0",
        admin_address="127.0.0.1:0",
    )


async def healthy(http: aiohttp.ClientSession, one: Bridge) -> None:
    """Until the bridge says that browsers may come."""
    async with asyncio.timeout(10):
        while True:
            async with http.get(f"http://{one.admin_address}/health") as answer:
                if answer.status == 200:
                    return
            await asyncio.sleep(0.05)


async def test_users_topics_and_work_on_two_bridges_that_know_nsqlookupd_only(
    nsqd: DaemonProcess, lookupd: DaemonProcess
) -> None:
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())
        one, two = [await stack.enter_async_context(bridge(lookupd)) for _ in range(2)]
        for each in (one, two):
            await healthy(http, each)  # although nobody has published to the user topic
        here, there = [
            await welcomed(await stack.enter_async_context(Client(where, "user ann"))) for where in (one, two)
        ]
        producer = await stack.enter_async_context(nsqclient.Producer(nsqd.tcp))
        await producer.publish("mail", mail("ann", "first"))
        for client in (here, there):
            assert json.loads((await client.message())["body"])["text"] == "first"
        await producer.publish("jobs", b"1")  # makes the topic
        for client in (here, there):
            await client.subscribe("jobs", channel="agents", max=1)
        await producer.publish_many("jobs", [b"%d" % n for n in range(2, 21)])
        done: list[str] = []

        async def work(client: Client) -> None:
            while True:
                done.append((await client.message())["body"])

        working = [asyncio.create_task(work(client)) for client in (here, there)]
        await eventually(lambda: len(done) == 20, timeout=15)
        for task in working:
            task.cancel()
        await asyncio.wait(working)
        assert sorted(done, key=int) == [str(n) for n in range(1, 21)]


async def test_what_is_handed_back_and_left_behind_comes_again(
    nsqd: DaemonProcess, lookupd: DaemonProcess
) -> None:
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())
        one = await stack.enter_async_context(bridge(lookupd))
        await healthy(http, one)
        producer = await stack.enter_async_context(nsqclient.Producer(nsqd.tcp))
        async with Client(one, "user ann") as first:
            await welcomed(first)
            await producer.publish("mail", mail("ann", "x"))
            refused = await first.message(ack=False)
            await first.send(op="nack", seq=refused["seq"], delay=0)
            assert (await first.message(ack=False))["attempts"] == 2
        second = await welcomed(await stack.enter_async_context(Client(one, "user ann")))
        assert (await second.message())["attempts"] == 3


async def test_a_bridge_goes_on_without_nsqlookupd(nsqd: DaemonProcess, lookupd: DaemonProcess) -> None:
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())
        one = await stack.enter_async_context(bridge(lookupd))
        await healthy(http, one)
        ann = await welcomed(await stack.enter_async_context(Client(one, "user ann")))
        lookupd.kill()
        await asyncio.sleep(0.3)  # some polls
        await healthy(http, one)
        async with nsqclient.Producer(nsqd.tcp) as producer:
            await producer.publish("mail", mail("ann", "still"))
        assert json.loads((await ann.message())["body"])["text"] == "still"
