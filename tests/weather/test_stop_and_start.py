"""SIGTERM at awkward moments: nothing that was promised is lost, and the process ends with status 0."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from nsqcore.wire.commands import encode_fin, encode_rdy, encode_req
from tests.support.history import PATIENCE_S, Publisher, connect, drain, get, nsqd, part, post, stats
from tests.support.nsqd import RawClient
from tests.support.processes import DaemonProcess

SMALL = ("--mem-queue-size=100", "--max-bytes-per-file=10000")


async def consume(client: RawClient, finished: set[bytes]) -> None:
    """Finishes two of three messages, puts off some of the others, and holds the rest until it is cut off."""
    n = 0
    try:
        while True:
            message = await client.message()
            n += 1
            if n % 3:
                client.send(encode_fin(message.id))
                finished.add(message.body)
            elif n % 2:
                client.send(encode_req(message.id, 2_000))
    except EOFError:
        await part(client)


@pytest.mark.parametrize("flags", [SMALL, ("--mem-queue-size=0",), ()], ids=["spilling", "disk", "memory"])
async def test_a_stop_under_load_loses_nothing_and_keeps_what_is_paused(
    tmp_path: Path, flags: tuple[str, ...]
) -> None:
    finished: set[bytes] = set()
    with nsqd(tmp_path, *flags) as d:
        for target in (
            "/topic/create?topic=t",
            "/channel/create?topic=t&channel=c",
            "/channel/create?topic=t&channel=paused",
            "/channel/pause?topic=t&channel=paused",
            "/topic/create?topic=paused",
            "/channel/create?topic=paused&channel=c",
            "/topic/pause?topic=paused",
        ):
            assert post(d, target)[0] == 200
        consumer = await connect(d.tcp)
        await consumer.sub("t", "c")
        consumer.send(encode_rdy(500))
        consuming = asyncio.ensure_future(consume(consumer, finished))
        publishers = [await Publisher.start(d.tcp, "t", f"t{n}") for n in range(2)]
        held = await Publisher.start(d.tcp, "paused", "held")
        for publisher in (*publishers, held):
            await publisher.reached(2000)
        status = await asyncio.to_thread(d.stop)
        await asyncio.gather(consuming, held.ended, *(publisher.ended for publisher in publishers))
        assert status == 0, d.log
        assert d.log.endswith("NSQ: bye\n")
    confirmed = set[bytes]().union(*(publisher.confirmed for publisher in publishers))
    with nsqd(tmp_path, *flags) as d:
        found = stats(d)
        assert found["paused"]["paused"]
        assert not found["t"]["paused"]
        assert found["t"]["channels"]["paused"]["paused"]
        assert not found["t"]["channels"]["c"]["paused"]
        assert found["t"]["channels"]["paused"]["depth"] >= len(confirmed)
        again = await drain(d.tcp, "t", "c", confirmed - finished)
        assert len({message.id for message in again}) == len(again), "each once"
        post(d, "/channel/unpause?topic=t&channel=paused")
        post(d, "/topic/unpause?topic=paused")
        await drain(d.tcp, "t", "paused", confirmed)
        await drain(d.tcp, "paused", "c", held.confirmed)
        assert "DISKQUEUE" not in d.log.replace("INFO: DISKQUEUE", ""), "a clean stop leaves nothing to mend"


async def test_more_signals_while_it_stops_change_nothing(tmp_path: Path) -> None:
    with nsqd(tmp_path, *SMALL) as d:
        publisher = await Publisher.start(d.tcp, "t", "m")
        await publisher.reached(3000)
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT):
            d.signal(number)
        assert await asyncio.to_thread(d.wait) == 0
        assert d.log.count("NSQ: bye") == 1
        await publisher.ended
    with nsqd(tmp_path, *SMALL) as d:
        await drain(d.tcp, "t", "c", publisher.confirmed)


@pytest.mark.parametrize("moment", ["nsqd v1.3.0", "TOPIC(t0): created", "TCP: listening", "HTTP: listening"])
async def test_a_stop_while_it_starts_is_obeyed_and_loses_nothing(tmp_path: Path, moment: str) -> None:
    with nsqd(tmp_path, "--mem-queue-size=0") as d:
        publishers = [await Publisher.start(d.tcp, f"t{n}", "m") for n in range(3)]
        for publisher in publishers:
            await publisher.reached(500)
        await asyncio.to_thread(d.stop)
        await asyncio.gather(*(publisher.ended for publisher in publishers))
    flags = (f"--data-path={tmp_path}", "--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0")
    started = DaemonProcess("nsqd", flags, None, Path(__file__).parents[2])
    await asyncio.to_thread(started.wait_for_log, moment)
    started.signal(signal.SIGTERM)
    assert await asyncio.to_thread(started.wait) == 0, started.log
    assert started.log.endswith("NSQ: bye\n")
    assert "Traceback" not in started.log
    with nsqd(tmp_path) as d:
        for n, publisher in enumerate(publishers):
            await drain(d.tcp, f"t{n}", "c", publisher.confirmed)


async def test_restarts_one_after_the_other_lose_nothing(tmp_path: Path) -> None:
    confirmed: set[bytes] = set()
    for n in range(4):
        with nsqd(tmp_path, *SMALL) as d:
            publisher = await Publisher.start(d.tcp, "t", f"life{n}")
            await publisher.reached(300 * (n + 1))
            await asyncio.to_thread(d.stop)
            await publisher.ended
            confirmed |= publisher.confirmed
    with nsqd(tmp_path, *SMALL) as d:
        came = await drain(d.tcp, "t", "c", confirmed)
        assert {message.attempts for message in came} == {1}


async def test_nothing_is_left_pending_and_nothing_warns_when_it_ends(tmp_path: Path) -> None:
    """Run as Python is run to find forgotten tasks, coroutines, sockets and files."""
    env = {"PYTHONASYNCIODEBUG": "1", "PYTHONWARNINGS": "always", "PYTHONDEVMODE": "1"}
    flags = (*SMALL, "--lookupd-tcp-address=127.0.0.1:1", "--log-level=debug")
    with nsqd(tmp_path, *flags, env=env) as d:
        publisher = await Publisher.start(d.tcp, "t", "m")
        consumer = await connect(d.tcp)
        await consumer.sub("t", "c")
        consumer.rdy(100)
        silent = [await connect(d.tcp) for _ in range(5)]
        await publisher.reached(500)
        assert get(d, "/stats")[0] == 200
        for n in range(20):
            post(d, f"/topic/create?topic=late{n}")
        async with asyncio.timeout(PATIENCE_S):
            assert await asyncio.to_thread(d.stop) == 0
        await publisher.ended
        await part(*silent, consumer)
        for word in ("Warning", "never awaited", "was destroyed", "never retrieved", "Traceback", "Unclosed"):
            assert word not in d.log
