"""Thousands of clients that say nothing, half a word, or nonsense; and peers that never answer."""

from __future__ import annotations

import asyncio
import random
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nsqcore.addresses import parse_host_port
from nsqcore.wire.commands import encode_identify, encode_pub, encode_sub
from nsqcore.wire.frames import MAGIC_V2
from nsqd.http import lane as http_lane
from tests.support.history import Publisher, connect, drain, get, nsqd, part, post, stats
from tests.support.hostile import enough_descriptors
from tests.support.nsqd import Node, eventually
from tests.support.processes import DaemonProcess

CLIENTS = 2000
STOP_S = 10.0
"""For a stop with all of them; it takes about a second."""


@contextmanager
def crowd(address: str, count: int, say: bytes) -> Iterator[list[socket.socket]]:
    """So many connections, each of which has said this."""
    host, port = parse_host_port(address)
    sockets: list[socket.socket] = []
    try:
        for _ in range(count):
            sockets.append(socket.create_connection((host, port)))
            sockets[-1].setblocking(False)
            if say:
                sockets[-1].send(say)
        yield sockets
    finally:
        for sock in sockets:
            sock.close()


@pytest.fixture(autouse=True)
def _enough_descriptors() -> Iterator[None]:
    with enough_descriptors(CLIENTS + 500):
        yield


async def serves(daemon: DaemonProcess) -> None:
    """Others publish and consume over TCP and HTTP meanwhile."""
    publisher = await Publisher.start(daemon.tcp, "t", f"p{time.monotonic_ns()}")
    await publisher.reached(300)
    await publisher.stop()
    assert post(daemon, "/pub?topic=t", b"over http") == (200, b"OK")
    await drain(daemon.tcp, "t", "c", publisher.confirmed | {b"over http"})
    assert get(daemon, "/ping") == (200, b"OK")


SAID = {
    "nothing": b"",
    "half the magic": b"  ",
    "only the magic": MAGIC_V2,
    "half a command": MAGIC_V2 + b"SUB top",
    "half a body": MAGIC_V2 + encode_pub("half", b"x" * 100)[:-50],
    "a subscription": MAGIC_V2 + encode_sub("crowd", "c") + b"RDY 10\n",
}


@pytest.mark.parametrize("say", SAID.values(), ids=SAID.keys())
async def test_a_silent_crowd_holds_up_nobody_and_no_stop(tmp_path: Path, say: bytes) -> None:
    with nsqd(tmp_path) as d, crowd(d.tcp, CLIENTS, say):
        await serves(d)
        assert set(stats(d)) == ({"t", "crowd"} if b"crowd" in say else {"t"})
        started = time.monotonic()
        assert await asyncio.to_thread(d.stop) == 0
        assert time.monotonic() - started < STOP_S


async def test_a_silent_crowd_at_the_http_port_holds_up_nobody_and_no_stop(tmp_path: Path) -> None:
    with nsqd(tmp_path) as d:
        third = CLIENTS // 3
        head = b"POST /pub?topic=t HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
        with (
            crowd(d.http, third, b""),
            crowd(d.http, third, head[:20]),
            crowd(d.http, third, head + b"\r\nhalf a body"),
        ):
            await serves(d)
            started = time.monotonic()
            assert await asyncio.to_thread(d.stop) == 0
            assert time.monotonic() - started < STOP_S


async def test_a_crowd_that_talks_nonsense_is_shown_out(tmp_path: Path) -> None:
    chance = random.Random(7)
    with nsqd(tmp_path) as d:
        with crowd(d.tcp, 500, b"") as sockets:
            for n, sock in enumerate(sockets):
                nonsense = chance.randbytes(chance.randrange(4, 3000))
                sock.send(MAGIC_V2 + nonsense + b"\n" if n % 2 else nonsense)
            await serves(d)
            for sock in sockets:
                sock.setblocking(True)
                sock.settimeout(10)
                sock.shutdown(socket.SHUT_WR)
                await asyncio.to_thread(read_to_end, sock)
        await serves(d)
        assert set(stats(d)) == {"t"}


def read_to_end(sock: socket.socket) -> None:
    try:
        while sock.recv(65536):
            pass
    except ConnectionResetError:
        pass


async def test_endless_lines_are_cut_off(tmp_path: Path) -> None:
    with nsqd(tmp_path) as d:
        with crowd(d.tcp, 50, MAGIC_V2 + b"x" * 17_000) as sockets:
            for sock in sockets:
                sock.setblocking(True)
                sock.settimeout(10)
                await asyncio.to_thread(read_to_end, sock)
        await serves(d)


# -- slow senders ----------------------------------------------------------------------------------

REQUEST = b"POST /pub?topic=t HTTP/1.1\r\nHost: nsqd\r\nContent-Length: 5\r\n\r\nhello"


async def test_a_sender_of_single_bytes_is_served_and_holds_up_nobody(tmp_path: Path) -> None:
    async with Node(tmp_path) as node:
        slow, quick = await node.connect_http(), await node.connect_http()
        for at in range(len(REQUEST)):
            slow.send(REQUEST[at : at + 1])
            if at % 10 == 0:
                assert (await quick.request("POST", "/pub?topic=t", b"x")).status == 200
        assert (await slow.answer()).status == 200


@pytest.mark.parametrize("said", [REQUEST[:10], REQUEST[:40], REQUEST[:-1]], ids=["line", "head", "body"])
async def test_a_sender_that_never_ends_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr(http_lane, "SLOW_S", 0.05)
    async with Node(tmp_path) as node:
        slow = await node.connect_http()
        slow.send(said)
        await slow.until(lambda: slow.ended)
        assert b"t" not in node.broker.topics


async def test_a_slow_body_holds_up_no_stop(tmp_path: Path) -> None:
    with nsqd(tmp_path) as d:
        chunked = b"POST /pub?topic=t HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe"
        with crowd(d.http, 20, chunked), crowd(d.http, 20, REQUEST[:-1]):
            await serves(d)
            started = time.monotonic()
            assert await asyncio.to_thread(d.stop) == 0
            assert time.monotonic() - started < STOP_S


# -- a nsqlookupd that never answers -----------------------------------------------------------------


@pytest.mark.parametrize("accepts", [True, False], ids=["accepts", "does not accept"])
async def test_a_nsqlookupd_that_never_answers_holds_up_nobody(tmp_path: Path, accepts: bool) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=50 if accepts else 0) as silent:
        host, port = silent.getsockname()
        fillers = []
        if not accepts:  # a full backlog: the kernel does not even finish the handshake
            for _ in range(3):
                filler = socket.socket()
                filler.setblocking(False)
                filler.connect_ex((host, port))
                fillers.append(filler)
        with nsqd(tmp_path, f"--lookupd-tcp-address={host}:{port}") as d:
            client = await connect(d.tcp)
            started = time.monotonic()
            for n in range(20):
                await client.pub(f"t{n}", b"x")
                assert post(d, f"/channel/create?topic=t{n}&channel=c")[0] == 200
            assert time.monotonic() - started < 1.0, "publishers do not wait for it"
            for n in range(20):
                await drain(d.tcp, f"t{n}", "c", [b"x"])
            await part(client)
            started = time.monotonic()
            assert await asyncio.to_thread(d.stop) == 0
            assert time.monotonic() - started < STOP_S
        for filler in fillers:
            filler.close()


async def test_idle_clients_are_forgotten_when_they_go(tmp_path: Path) -> None:
    async with Node(tmp_path) as node:
        host, port = node.tcp
        with crowd(f"{host}:{port}", 500, MAGIC_V2 + encode_identify({}) + encode_sub("t", "c")):
            await eventually(lambda: b"t" in node.broker.topics)
            await eventually(lambda: len(node.channel("t", "c").clients) == 500)
        await eventually(lambda: not node.channel("t", "c").clients)
        assert not node.nsqd._connections._open
