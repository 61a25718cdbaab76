"""What the original and ours tell of the same things, to ``/stats`` and to statsd: key for key, in its order."""

from __future__ import annotations

import re
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from nsqcore.addresses import parse_host_port
from nsqcore.wire.frames import MAGIC_V2
from tests.support.fetch import fetch
from tests.support.history import post
from tests.support.processes import DaemonProcess
from tests.support.raw import RawClient
from tests.support.statsd import Server
from tests.system.cluster import Kind, nsqd, topic_stats
from tests.system.waiting import until

PERCENTILES = "--e2e-processing-latency-percentile=0.99,1.0,0.5"
TOPOLOGY = ("--enable-experiment=topology-aware-consumption", "--topology-zone=z", "--topology-region=r")


async def consumer(daemon: DaemonProcess, channel: str, rdy: int, **settings: object) -> RawClient:
    client = await RawClient.open(parse_host_port(daemon.tcp))
    client.send(MAGIC_V2)
    await client.identify(**settings)
    await client.sub("t", channel)
    client.rdy(rdy)
    await client.settled()
    return client


async def use(daemon: DaemonProcess) -> list[RawClient]:
    """Does a little of everything that is counted."""
    clients = [await consumer(daemon, "c", 5, client_id="one"), await consumer(daemon, "d#ephemeral", 0)]
    await clients[0].mpub("t", *[b"12345"] * 10)
    first, second, *_ = await clients[0].messages(5)
    clients[0].fin(first.id)
    clients[0].req(second.id, 60_000)
    await clients[0].messages(2)
    await clients[0].settled()
    for path in ("/topic/create?topic=lone", "/topic/pause?topic=lone", "/channel/create?topic=t&channel=p"):
        post(daemon, path)
    return clients


def alike(figures: str) -> str:
    """Without what is another time's, port's or process's."""
    for pattern, instead in (
        (r'("value":|latency_\d+:)[1-9]\d*', r"\1N"),
        (r'("remote_address":"127.0.0.1:|"connect_ts":|"start_time":|nsq.127_0_0_1_)\d+', r"\1N"),
        (r"(mem\.\w+:)\d+", r"\1N"),
        (r"((start_time|uptime|connected:) |\(built w/|e2e%: )\S.*", r"\1"),
        (r"\[V2 [^]]*\]", "[V2]"),
    ):
        figures = re.sub(pattern, instead, figures)
    return figures


async def told(kind: Kind, folder: Path) -> list[str]:
    """What a daemon tells to ``/stats`` in both forms, and to statsd first."""
    with (
        closing(Server()) as server,
        nsqd(kind, folder, (), server.flag, "--statsd-interval=2s", PERCENTILES) as daemon,
    ):
        clients = await use(daemon)
        stats = [fetch(daemon.http, f"/stats?include_mem=false{form}")[1] for form in ("&format=json", "")]
        until(lambda: any(b"mem.gc_runs" in packet for packet in server.read()))
        first = b"".join(server.read()).partition(b"mem.gc_runs")[0]
        for client in clients:
            client.close()
    return [alike(each.decode()) for each in (*stats, first)]


async def test_stats_and_statsd_tell_the_same_as_the_originals(tmp_path: Path) -> None:
    originals = await told(Kind.ORIGINAL, tmp_path / "original")
    ours = await told(Kind.OURS, tmp_path / "ours")
    assert [each.splitlines() for each in ours] == [each.splitlines() for each in originals]
    assert originals[2].count("\n") > 40


def all_are_out(daemon: DaemonProcess) -> bool:
    return bool(topic_stats(daemon, "t")["channels"][0]["in_flight_count"] == 40)


@pytest.mark.parametrize("flags", [(), TOPOLOGY, TOPOLOGY[:1], TOPOLOGY[:2], (TOPOLOGY[0], TOPOLOGY[2])])
async def test_near_consumers_are_served_and_counted_as_the_original_does(
    tmp_path: Path, flags: tuple[str, ...]
) -> None:
    counts = []
    for kind in (Kind.ORIGINAL, Kind.OURS):
        with nsqd(kind, tmp_path / kind.value, (), *flags) as daemon:
            places = (("", ""), ("y", "r"), ("z", "r"), ("y", "q"))
            clients = [
                await consumer(daemon, "c", 10, topology_zone=zone, topology_region=region)
                for zone, region in places
            ]
            for _ in range(40):  # as many as all have room for: who gets how many is certain then
                post(daemon, "/pub?topic=t", b"x")
            until(partial(all_are_out, daemon))
            channel = topic_stats(daemon, "t")["channels"][0]
            counts.append({key: value for key, value in channel.items() if "_msg_count" in key})
            for client in clients:
                client.close()
    assert counts[0] == counts[1]
