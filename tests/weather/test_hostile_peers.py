"""Peers that mean harm, through every layer: bombs, garbage, silence, deafness, resets. They harm themselves only.

The numbers are small, so that this takes seconds; ``NSQ_HOSTILE_CLIENTS`` is how many silent ones there are in all
(10,000 need a limit of 11,000 open files for the tests and for nsqd each).
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from nsqcore.wire.commands import encode_identify, encode_mpub, encode_pub, encode_rdy, encode_sub
from nsqcore.wire.frames import MAGIC_V2
from tests.support.history import Publisher, drain, get, nsqd, post, stats
from tests.support.hostile import (
    LAYERS,
    MB,
    Peer,
    client_hello,
    cpu_seconds,
    crowd,
    dial,
    enough_descriptors,
    forget_peak,
    join,
    memory,
    shake,
    sockets,
    wait_until,
)
from tests.support.processes import DaemonProcess
from tests.support.tls import Authority

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory and CPU are read from /proc")

SILENT = int(os.environ.get("NSQ_HOSTILE_CLIENTS") or 1400)
STOP_S = 5.0
"""For a stop; it takes little more than the second of grace, on a machine that has nothing else to do."""


@pytest.fixture(autouse=True)
def _enough_descriptors() -> Iterator[None]:
    with enough_descriptors(SILENT + 500):
        yield


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def daemon(tmp_path: Path, authority: Authority) -> Iterator[DaemonProcess]:
    """One that serves everything there is."""
    with nsqd(tmp_path, *authority.flags, "--https-address=127.0.0.1:0", "--mem-queue-size=100000") as d:
        yield d


async def serves(daemon: DaemonProcess) -> None:
    """Others publish and consume over TCP and HTTP meanwhile, and miss nothing."""
    name = f"p{time.monotonic_ns()}"
    publisher = await Publisher.start(daemon.tcp, name, name)
    await publisher.reached(300)
    await publisher.stop()
    assert post(daemon, f"/pub?topic={name}", b"over http") == (200, b"OK")
    await drain(daemon.tcp, name, "c", publisher.confirmed | {b"over http"})


async def stops(daemon: DaemonProcess) -> None:
    """It ends in order, and soon."""
    started = time.monotonic()
    assert await asyncio.to_thread(daemon.stop) == 0
    assert time.monotonic() - started < STOP_S


def https(daemon: DaemonProcess) -> str:
    daemon.wait_for_log(" HTTPS: listening on ")
    return daemon.listening("HTTPS")


# -- bombs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("layers", ["deflate", "snappy", "tls deflate", "tls snappy"])
async def test_a_bomb_costs_time_of_its_own_and_no_memory(
    tmp_path: Path, authority: Authority, layers: str
) -> None:
    """150 MB of messages to a topic that keeps one; inflated they come in a fiftieth of that."""
    flags = [*authority.flags, "--https-address=127.0.0.1:0", "--mem-queue-size=1"]
    with nsqd(tmp_path, *flags) as d, ExitStack() as stack:
        (peer,) = crowd(stack, 1, lambda: join(d.tcp, layers, authority))
        bomb = peer.encode(encode_pub("bomb#ephemeral", bytes(1_000_000)) * 150)
        assert len(bomb) < 10 * MB
        before = forget_peak(d)
        sending = asyncio.create_task(asyncio.to_thread(peer.sock.sendall, bomb))
        await serves(d)
        await sending
        await asyncio.to_thread(
            wait_until, lambda: stats(d)["bomb#ephemeral"]["message_count"] == 150, "all of it is obeyed"
        )
        assert memory(d).peak - before < 60 * MB
        await stops(d)


@pytest.mark.parametrize("layers", ["deflate", "snappy", "tls deflate"])
async def test_a_bomb_that_is_no_command_ends_its_connection_at_once(
    daemon: DaemonProcess, authority: Authority, layers: str
) -> None:
    with ExitStack() as stack:
        (peer,) = crowd(stack, 1, lambda: join(daemon.tcp, layers, authority))
        bomb = peer.encode(bytes(100 * MB))
        before, worked = forget_peak(daemon), cpu_seconds(daemon)
        sending = asyncio.create_task(asyncio.to_thread(send_what_is_taken, peer, bomb))
        await asyncio.to_thread(daemon.wait_for_log, "exiting messagePump")
        await sending
        assert memory(daemon).peak - before < 30 * MB
        assert cpu_seconds(daemon) - worked < 0.5, "what it would inflate to is never looked at"


def send_what_is_taken(peer: Peer, data: bytes) -> None:
    try:
        peer.sock.sendall(data)
    except OSError:
        return


# -- silence ---------------------------------------------------------------------------------------


async def test_silent_connections_of_every_kind_cost_little_and_hold_up_no_stop(
    daemon: DaemonProcess, authority: Authority
) -> None:
    hello = client_hello(authority)
    kinds: dict[str, Callable[[], Peer]] = {
        "tcp": lambda: dial(daemon.tcp),
        "http": lambda: dial(daemon.http),
        "https": lambda: shake(dial(https(daemon)), authority),
        "magic": lambda: said(daemon.tcp, MAGIC_V2),
        **{layers: lambda layers=layers: join(daemon.tcp, layers, authority) for layers in LAYERS},  # type: ignore[misc]
    }
    with ExitStack() as stack:
        for make in kinds.values():  # what the first of a kind costs, all of them share
            crowd(stack, 2, make)
        before = memory(daemon).now
        costs = {}
        for kind, make in kinds.items():
            count, had = SILENT // len(kinds), memory(daemon).now
            await asyncio.to_thread(crowd, stack, count, make)
            costs[kind] = (memory(daemon).now - had) // count // 1024
        # Half-open handshakes end by themselves after 5 s; here they are ended by the stop.
        crowd(stack, 50, lambda: said(https(daemon), hello[: len(hello) // 2]))
        crowd(stack, 50, lambda: said(daemon.tcp, MAGIC_V2 + encode_identify({"feature_negotiation": True, "tls_v1": True}) + hello[:20]))  # fmt: skip
        assert memory(daemon).now - before < SILENT * 100 * 1024, costs
        assert max(costs.values()) < 300, costs
        await serves(daemon)
        worked, started = cpu_seconds(daemon), time.monotonic()
        await asyncio.sleep(2)
        share = (cpu_seconds(daemon) - worked) / (time.monotonic() - started)
        assert share < 0.05, "nothing is to be done for them"
        await stops(daemon)


def said(address: str, data: bytes) -> Peer:
    """A connection on which this was said, and no more."""
    peer = dial(address)
    peer.sock.sendall(data)
    return peer


# -- deafness --------------------------------------------------------------------------------------


async def test_those_who_never_read_are_not_written_to_without_end_and_hold_up_no_stop(
    daemon: DaemonProcess, authority: Authority
) -> None:
    """Consumers, publishers and HTTP clients, plain and through every layer, all of them together."""
    bodies = [os.urandom(100_000) for _ in range(150)]
    requests: list[tuple[str, bytes]] = [
        (
            "lane",
            b"POST /pub?topic=deaf%23ephemeral HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx" * 1000,
        ),
        ("api", b"GET /stats?format=json HTTP/1.1\r\nHost: x\r\n\r\n" * 1000),
    ]
    assert post(daemon, "/topic/create?topic=feed") == (200, b"")
    with ExitStack() as stack:
        peers = []
        for layers in LAYERS:
            (consumer,) = crowd(stack, 1, lambda: join(daemon.tcp, layers, authority, buffer=4096))  # noqa: B023
            consumer.sendall(encode_sub("feed", layers.replace(" ", "_") or "plain") + encode_rdy(2500))
            peers += crowd(stack, 1, lambda: join(daemon.tcp, layers, authority, buffer=4096))  # noqa: B023
        before = forget_peak(daemon)
        for at in range(0, len(bodies), 10):
            await asyncio.to_thread(post, daemon, "/mpub?topic=feed&binary=true", encode_mpub("feed", bodies[at : at + 10]).partition(b"\n")[2][4:])  # fmt: skip
        pushes = [asyncio.to_thread(peer.push, encode_pub("deaf#ephemeral", b"x") * 1000) for peer in peers]
        for _, request in requests:
            for address, secure in ((daemon.http, False), (https(daemon), True)):
                peer = dial(address, buffer=4096)
                stack.callback(peer.close)
                pushes.append(asyncio.to_thread((shake(peer, authority) if secure else peer).push, request))
        await asyncio.gather(*pushes)
        await serves(daemon)
        # The messages themselves, 100,000 small ones, and for each of sixteen peers some MB on the way.
        assert memory(daemon).peak - before < 200 * MB
        assert stats(daemon)["feed"]["channels"]["plain"]["clients"], "it is cut off later"
        channels = stats(daemon)["feed"]["channels"]
        assert {c["depth"] + c["in_flight_count"] for c in channels.values()} == {len(bodies)}
        await stops(daemon)


# -- resets ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("flags", [[], ["--mem-queue-size=0"]], ids=["memory", "disk"])
async def test_resets_in_the_midst_of_everything_leave_nothing_behind(
    tmp_path: Path, authority: Authority, flags: list[str]
) -> None:
    identify = encode_identify({"feature_negotiation": True, "tls_v1": True, "deflate": True})
    hello = client_hello(authority)
    publish = encode_pub("t", b"x" * 1000)
    batch = encode_mpub("t", [b"x"] * 20_000)
    plain = [
        b"", b" ", MAGIC_V2, MAGIC_V2 + identify[:-5], MAGIC_V2 + identify, MAGIC_V2 + identify + hello[:50],
        MAGIC_V2 + identify + hello, MAGIC_V2 + identify + b"\x16\x03\x01garbage", MAGIC_V2 + publish * 500,
        MAGIC_V2 + publish[:-1], MAGIC_V2 + batch[:-1], MAGIC_V2 + batch + publish * 3, MAGIC_V2 + b"NOP\n" * 50_000,
        MAGIC_V2 + encode_sub("t", "c") + encode_rdy(100), MAGIC_V2 + encode_sub("t", "c") + b"CLS\n" + publish,
    ]  # fmt: skip
    web = [hello[:50], hello, b"GET / HTTP/1.1\r\n", b"POST /pub?topic=t HTTP/1.1\r\nContent-Length: 9\r\n\r\nx",
           b"POST /pub?topic=t HTTP/1.1\r\nContent-Length: 1\r\n\r\nx" * 500, b"GET /stats HTTP/1.1\r\n\r\n"]  # fmt: skip
    with nsqd(tmp_path, *authority.flags, "--https-address=127.0.0.1:0", *flags) as d:
        await serves(d)
        had = sockets(d)

        def storm() -> None:
            for turn in range(8):
                peers = [said(d.tcp, data) for data in plain]
                peers += [said(address, data) for address in (d.http, https(d)) for data in web]
                for layers in LAYERS[turn % 2 :: 2]:
                    for data in (b"", publish * 300, publish[:-1], batch, b"CLS\n"):
                        peers.append(join(d.tcp, layers, authority))
                        peers[-1].sendall(data[: len(data) - turn])
                peers.append(shake(dial(https(d)), authority))
                peers[-1].sendall(web[-1])
                for peer in peers[turn % 3 :] + peers[: turn % 3]:
                    peer.reset()

        await asyncio.to_thread(storm)
        await serves(d)
        await asyncio.to_thread(wait_until, lambda: sockets(d) <= had + 3, "their sockets are closed")
        assert stats(d)["t"]["channels"]["c"]["clients"] in (None, [])
        assert "never retrieved" not in d.log
        await stops(d)


async def test_clients_that_reset_while_their_auth_server_thinks_take_their_question_with_them(
    tmp_path: Path,
) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=500) as silent:
        host, port = silent.getsockname()
        ask = MAGIC_V2 + b"AUTH\n\x00\x00\x00\x06secr%02d" + encode_sub("t", "c") + encode_pub("t", b"x")
        with nsqd(tmp_path, f"--auth-http-address={host}:{port}", "--http-client-request-timeout=30s") as d:
            had = sockets(d)
            peers = [said(d.tcp, ask % n) for n in range(40) for _ in range(3)]
            await asyncio.to_thread(
                wait_until, lambda: sockets(d) >= had + 160, "all of them are asked about"
            )
            for peer in peers:
                peer.reset()
            await asyncio.to_thread(wait_until, lambda: sockets(d) <= had + 3, "nobody is asked any more")
            assert get(d, "/ping") == (200, b"OK")
            peers = [said(d.tcp, ask % n) for n in range(40)]
            await asyncio.to_thread(wait_until, lambda: sockets(d) >= had + 80, "all of them are asked about")
            await stops(d)
            for peer in peers:
                peer.close()
            assert "never retrieved" not in d.log


# -- small reads, garbage ----------------------------------------------------------------------------


async def test_streams_of_single_bytes_are_obeyed_through_every_layer(
    daemon: DaemonProcess, authority: Authority
) -> None:
    """Byte by byte in turns, so that they can't come together."""
    with ExitStack() as stack:
        peers = [crowd(stack, 1, lambda: join(daemon.tcp, layers, authority))[0] for layers in LAYERS]  # noqa: B023
        wires = [(peer, peer.encode(encode_pub("t", b"x" * 150) + encode_pub("t", b"y"))) for peer in peers]
        for at in range(max(len(data) for _, data in wires)):
            for peer, data in wires:
                if at < len(data):
                    peer.sock.sendall(data[at : at + 1])
        await asyncio.to_thread(
            wait_until, lambda: stats(daemon).get("t", {}).get("depth") == 12, "all are obeyed"
        )


@pytest.mark.parametrize("layers", LAYERS[1:])
async def test_garbage_in_a_stream_ends_it_with_a_line_in_the_log(
    daemon: DaemonProcess, authority: Authority, layers: str
) -> None:
    with ExitStack() as stack:
        (peer,) = crowd(stack, 1, lambda: join(daemon.tcp, layers, authority))
        peer.sendall(encode_pub("t", b"x"))
        await asyncio.to_thread(wait_until, lambda: "t" in stats(daemon), "it is obeyed")
        raw = socket.socket(fileno=os.dup(peer.sock.fileno()))
        stack.callback(raw.close)
        raw.sendall(b"\x07" * 40_000)
        await asyncio.to_thread(daemon.wait_for_log, "exiting messagePump")
        errors = [line for line in daemon.log.splitlines() if " ERROR" in line or " WARNING" in line]
        assert len(errors) == 1, daemon.log
        await serves(daemon)
        assert stats(daemon)["t"]["depth"] == 1
