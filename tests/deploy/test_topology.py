from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterable
from pathlib import Path

import pytest

from deploy.local import topology as topology_module
from deploy.local.ports import Ports
from deploy.local.processes import StartFailed
from deploy.local.topology import Topology
from nsqcore.http_client import JsonClient
from tests.deploy.test_processes import runs


def pids(topology: Topology) -> dict[str, int]:
    return {node.name: node.child.pid for node in topology.nodes}


async def registered(client: JsonClient, topology: Topology, count: int) -> None:
    """Waits until each nsqlookupd knows so many nsqd."""
    async with asyncio.timeout(20):
        for node in topology.lookupds:
            while len((await client.get(f"http://{node.http}/nodes"))["producers"]) != count:  # noqa: ASYNC110
                await asyncio.sleep(0.02)


async def test_all_daemons_serve_then_end_properly_and_nothing_is_left(tmp_path: Path) -> None:
    topology = Topology(tmp_path)
    async with topology, JsonClient() as client:
        assert [node.name for node in topology.nodes] == [
            "nsqadmin",
            "nsqd-1",
            "nsqd-2",
            "nsqd-3",
            "nsqlookupd-1",
            "nsqlookupd-2",
        ]
        for node in topology.nodes:
            assert await client.get(f"http://{node.http}/ping") == "OK"
        assert topology.nsqadmin_url == f"http://127.0.0.1:{topology.admins[0].http_port}/"
        await registered(client, topology, 3)
        started = pids(topology)
    assert len(set(started.values())) == 6
    assert not any(runs(pid) for pid in started.values())
    assert topology.unclean == []
    assert topology.deaths.empty()
    assert sorted(path.name for path in tmp_path.glob("*.log")) == sorted(f"{name}.log" for name in started)


async def test_a_restarted_nsqd_keeps_ports_identity_and_messages(tmp_path: Path) -> None:
    async with Topology(tmp_path, nsqds=1) as topology, JsonClient() as client:
        (node,) = topology.nsqds
        await client.post(f"http://{node.http}/topic/create", topic="t")
        await client.post(f"http://{node.http}/channel/create", topic="t", channel="c")
        await client.post(f"http://{node.http}/pub?topic=t", b"stays")
        before = pids(topology), node.http
        took = await topology.restart(node)
        assert took > 0
        after = pids(topology), node.http
        assert before[1] == after[1]
        assert {name for name, pid in after[0].items() if pid != before[0][name]} == {"nsqd-1"}
        stats = await client.get(f"http://{node.http}/stats", format="json")
        assert stats["topics"][0]["channels"][0]["depth"] == 1
        await registered(client, topology, 1)
    assert topology.unclean == []
    assert topology.deaths.empty()


async def test_a_daemon_that_dies_is_reported_and_the_rest_still_ends_properly(tmp_path: Path) -> None:
    async with Topology(tmp_path, nsqds=2) as topology:
        victim = topology.nsqds[0]
        os.kill(victim.child.pid, signal.SIGKILL)
        async with asyncio.timeout(10):
            end = await topology.deaths.get()
        assert end.name == "nsqd-1"
        left = pids(topology)
    assert not any(runs(pid) for pid in left.values())
    assert topology.unclean == []


async def test_a_failed_start_stops_what_had_started(tmp_path: Path) -> None:
    topology = Topology(tmp_path, nsqds=1, nsqd_flags=["--data-path=/no/such/folder"])
    with pytest.raises(StartFailed, match=r"(?s)nsqd-1 exited with status 1.*/no/such/folder"):
        await topology.start()
    log = (tmp_path / "nsqlookupd-1.log").read_text()
    assert "listening" in log
    assert topology.nodes == []


async def test_being_cancelled_while_it_starts_leaves_nothing(tmp_path: Path) -> None:
    topology = Topology(tmp_path, nsqds=1)

    async def use() -> None:
        async with topology:
            pytest.fail("it was to be cancelled before")

    task = asyncio.create_task(use())
    async with asyncio.timeout(20):
        while not topology.lookupds or not topology.lookupds[0].child.pid:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.001)
    pid = topology.lookupds[0].child.pid
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not runs(pid)


async def test_named_ports_that_are_taken_are_refused_by_number(tmp_path: Path) -> None:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(StartFailed, match=rf"in use already: .*{port}.*; name others"):
            await Topology(tmp_path, base_port=port).start()


@pytest.mark.parametrize(("daemon", "base"), [("nsqd", 20_150), ("nsqlookupd", 21_150), ("nsqadmin", 22_150)])
async def test_when_somebody_takes_a_port_first_the_next_block_is_used(
    daemon: str, base: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = Ports.at(base, 1, 1), Ports.at(base + 100, 1, 1)  # where no other test looks for ports
    port = {"nsqd": first.nsqds[0].tcp, "nsqlookupd": first.lookupds[0].http, "nsqadmin": first.nsqadmin}
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", port[daemon])
    async with server:

        def stale(nsqds: int, lookupds: int) -> Iterable[Ports]:
            return first, second  # as if the first had been free a moment ago

        monkeypatch.setattr(topology_module, "free_blocks", stale)
        async with Topology(tmp_path, nsqds=1, lookupds=1) as topology:
            assert topology.nsqds[0].tcp_port == second.nsqds[0].tcp
    assert topology.unclean == []
    assert topology.deaths.empty()


def test_the_number_of_daemons_is_bounded(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nsqd must be 1 to 40, not 41"):
        Topology(tmp_path, nsqds=41)
    with pytest.raises(ValueError, match="nsqlookupd must be 1 to 5, not 0"):
        Topology(tmp_path, lookupds=0)
