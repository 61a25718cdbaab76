"""Pushing to statsd: when, how fast, what goes wrong, and the end. The servers are real sockets."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from nsqcore.addresses import HostPort
from nsqd.statistics import statsd
from nsqd.statistics.statsd import Statsd
from tests.support.nsqd import DEADLINE_S, Node, eventually
from tests.support.processes import spawn
from tests.support.statsd import Server


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


pytestmark = pytest.mark.usefixtures("quick_disk")


def pusher(node: Node) -> Statsd:
    found = node.nsqd._statsd
    assert found is not None
    return found


async def test_without_an_address_nothing_is_there(node: Node) -> None:
    assert node.nsqd._statsd is None
    host, port = node.http
    assert node.broker.options.statsd_prefix == f"nsq.{host.replace('.', '_')}_{port}."


async def test_every_interval_all_figures_are_pushed_the_first_time_an_interval_after_the_start(
    tmp_path: Path, server: Server
) -> None:
    began = time.monotonic()
    async with Node(tmp_path, server.flag, "--statsd-interval=150ms", "--statsd-prefix=p") as node:
        await node.publish("t", b"123")
        await eventually(lambda: "p.mem.gc_runs" in server.values())
        assert time.monotonic() - began > 0.15
        values = server.values()
        assert values["p.topic.t.message_count"] == "1|c"
        assert values["p.topic.t.message_bytes"] == "3|c"
        assert int(values["p.mem.heap_in_use_bytes"].removesuffix("|g")) > 1 << 20
        await eventually(lambda: server.values()["p.topic.t.message_count"] == "0|c")
        assert all(packet.endswith(b"\n") and len(packet) <= 508 for packet in server.read())


@pytest.mark.parametrize("interval", ["1ms", "20ms", "1s"])
async def test_short_intervals_work(tmp_path: Path, server: Server, interval: str) -> None:
    async with Node(tmp_path, server.flag, f"--statsd-interval={interval}") as node:
        await node.publish("t", b"123")
        await eventually(lambda: sum(b"mem.gc_runs" in packet for packet in server.read()) >= 2)


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
async def test_the_server_may_have_an_ipv6_address(tmp_path: Path) -> None:
    with closing(Server("::1")) as server:
        async with Node(tmp_path, server.flag, "--statsd-interval=20ms"):
            await eventually(lambda: len(server.read()) > 0)


async def test_packets_have_the_size_that_was_set_and_may_leave_memory_and_ephemeral_ones_out(
    tmp_path: Path, server: Server
) -> None:
    flags = ("--statsd-interval=20ms", "--statsd-udp-packet-size=90", "--statsd-mem-stats=false")
    async with Node(tmp_path, server.flag, *flags, "--statsd-exclude-ephemeral") as node:
        await node.publish("e#ephemeral", b"x")
        await node.publish("t", b"x")
        await eventually(lambda: len(server.read()) > 10)
        packets = server.read()
        assert max(map(len, packets)) <= 90
        assert not any(b"mem." in packet or b"#" in packet for packet in packets)


async def test_many_packets_go_out_at_a_pace_and_the_rest_at_once_when_the_daemon_ends(
    tmp_path: Path, server: Server
) -> None:
    async with Node(tmp_path, server.flag, "--statsd-interval=60s") as node:
        for n in range(250):
            node.broker.topic(b"topic-%03d" % n)
        pushing = asyncio.create_task(pusher(node)._push())
        await eventually(lambda: len(server.read()) >= 3)
        early = len(server.read())
        assert early < 50
        stopping = asyncio.create_task(pusher(node).close())
        await asyncio.wait_for(pushing, DEADLINE_S)
        await stopping
        await eventually(lambda: any(b"mem.gc_runs" in packet for packet in server.read()))
        text = b"".join(server.read()).decode()
        assert [f"topic-{n:03}" for n in range(250)] == [
            line.split(".topic.")[1].split(".")[0] for line in text.splitlines() if "message_count" in line
        ]


async def test_thousands_of_topics_never_hold_up_the_loop(tmp_path: Path, server: Server) -> None:
    async with Node(tmp_path, server.flag, "--statsd-interval=60s") as node:
        with patch.object(logging.getLogger("nsqd.broker"), "disabled", True):
            for n in range(2000):
                topic = node.broker.topic(b"topic-%04d" % n)
                node.broker.channel(topic, "c")
        pushing = asyncio.create_task(pusher(node)._push())
        turns = 0
        while not server.read():
            turns += 1
            await asyncio.sleep(0)
        assert turns >= 2000 // statsd.SLICE
        await pusher(node).close()
        await pushing


async def test_a_server_that_is_not_there_costs_one_line(
    tmp_path: Path, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.close()
    async with Node(tmp_path, server.flag, "--statsd-interval=60s") as node:
        for n in range(20):
            node.broker.topic(b"topic-%03d" % n)
        for _ in range(3):
            await pusher(node)._push()
        complaints = [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR]
        assert complaints == [f"STATSD: failed to send to 127.0.0.1:{server.port} - connection refused"]


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("nowhere.invalid:8125", "Name or service not known"),
        ("127.0.0.1", "address 127.0.0.1: missing port in address"),
    ],
)
async def test_an_address_that_leads_nowhere_costs_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, address: str, reason: str
) -> None:
    def unknown(*_: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async with Node(tmp_path, f"--statsd-address={address}", "--statsd-interval=60s") as node:
        with patch("nsqd.statistics.statsd._addresses", unknown):
            for _ in range(3):
                await pusher(node)._push()
        complaints = [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR]
        assert complaints == [f"STATSD: failed to create UDP socket to statsd({address}) - {reason}"]


async def test_names_are_looked_up_beside_the_loop_and_a_slow_answer_delays_no_exit(
    tmp_path: Path, server: Server
) -> None:
    answer = threading.Event()

    def slow(_: HostPort, flags: int) -> Any:
        if flags & socket.AI_NUMERICHOST:
            raise socket.gaierror(socket.EAI_NONAME, "no number")
        assert threading.current_thread() is not threading.main_thread()
        assert answer.wait(DEADLINE_S)
        return [(socket.AF_INET, ("127.0.0.1", server.port))]

    with patch("nsqd.statistics.statsd._addresses", slow):
        async with Node(tmp_path, "--statsd-address=statsd.example:8125", "--statsd-interval=60s") as node:
            pushing = asyncio.create_task(pusher(node)._push())
            await node.publish("t", b"x")  # the loop goes on
            answer.set()
            await asyncio.wait_for(pushing, DEADLINE_S)
            assert "topic.t.depth:1|g" in b"".join(server.read()).decode()
            answer.clear()
            pushing = asyncio.create_task(pusher(node)._push())
            await asyncio.sleep(0)
            await asyncio.wait_for(node.stop(), DEADLINE_S)
            await asyncio.wait_for(pushing, DEADLINE_S)
        answer.set()
        for thread in threading.enumerate():
            if thread.name == "statsd address":
                thread.join(DEADLINE_S)


async def test_a_network_that_takes_no_more_is_waited_for_a_moment_and_then_given_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Full:
        def __init__(self, times: int) -> None:
            self.times = times
            self.sent: list[bytes] = []

        def send(self, packet: bytes) -> None:
            if self.times:
                self.times -= 1
                raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
            self.sent.append(packet)

    async with Node(tmp_path, "--statsd-address=127.0.0.1:9", "--statsd-interval=60s") as node:
        patient: Any = Full(3)
        assert await pusher(node)._send(patient, [b"1\n", b"2\n"])
        assert patient.sent == [b"1\n", b"2\n"]
        for _ in range(2):
            never: Any = Full(10**6)
            with patch.object(statsd, "MOST_NAPS", 2):
                assert not await pusher(node)._send(never, [b"1\n", b"2\n"])
        complaints = [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR]
        assert len(complaints) == 1


async def test_a_complaint_is_made_again_when_all_went_well_between(
    tmp_path: Path, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    async with Node(tmp_path, server.flag, "--statsd-interval=60s") as node:
        push = pusher(node)
        assert not push._complain("gone")
        await push._push()
        assert not push._complain("gone")
        assert not push._complain("gone")
        assert sum(r.getMessage() == "STATSD: gone" for r in caplog.records) == 2


def test_a_daemon_that_is_stopped_within_a_push_sends_the_rest(tmp_path: Path, server: Server) -> None:
    flags = ("--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0", f"--data-path={tmp_path}")
    with spawn(
        "nsqd", *flags, server.flag, "--statsd-interval=300ms", "--statsd-udp-packet-size=1"
    ) as daemon:
        daemon.wait_for_log("STATSD: pushing stats to")
        assert daemon.stop() == 0
        assert "STATSD: closing" in daemon.log
    assert any(b"mem.gc_runs" in packet for packet in server.read())
