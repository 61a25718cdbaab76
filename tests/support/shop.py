"""A live cluster as nsqadmin meets it: 3 nsqd, 2 nsqlookupd, producers and consumers, all as processes."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.local.topology import Node, Topology
from nsqcore.http_client import JsonClient
from tests.support.processes import ROOT, spawn

START_S = 60.0
E2E = ("--e2e-processing-latency-percentile=0.99", "--e2e-processing-latency-percentile=0.5")


@dataclass
class Shop:
    """The cluster. ``url`` is where a nsqadmin in front of it is, with a slash at the end."""

    topology: Topology
    client: JsonClient
    url: str = ""

    @property
    def nsqds(self) -> list[Node]:
        """The three."""
        return self.topology.nsqds

    async def stats(self, topic: str, channel: str = "") -> list[dict[str, Any]]:
        """The topic, or its channel, as each nsqd that has it tells it."""
        found = []
        for node in self.nsqds:
            answer = await self.client.get(f"http://{node.http}/stats", format="json", topic=topic)
            for one in answer["topics"] or []:
                if not channel:
                    found.append(one)
                found += [c for c in one["channels"] if c["channel_name"] == channel]
        return found

    async def publish(self, topic: str, count: int = 1, *, node: int = 0) -> None:
        """So many messages to one nsqd."""
        body = b"\n".join([b"test"] * count)
        await self.client.post(f"http://{self.nsqds[node].http}/mpub", body, topic=topic)

    async def tell(self, path: str, **names: str) -> None:
        """A change at every nsqd: ``await shop.tell("/channel/create", topic="t", channel="c")``."""
        for node in self.nsqds:
            await self.client.post(f"http://{node.http}{path}", b"", **names)

    @asynccontextmanager
    async def admin(self, *flags: str) -> AsyncIterator[str]:
        """Another nsqadmin in front of the cluster, which looks twice a second; its URL."""
        lookups = [f"--lookupd-http-address={node.http}" for node in self.topology.lookupds]
        all_flags = ("--http-address=127.0.0.1:0", "--sample-interval=500ms", *lookups, *flags)
        running = spawn("nsqadmin", *all_flags)
        daemon = await asyncio.to_thread(running.__enter__)
        try:
            yield f"http://{daemon.http}/"
        finally:
            await asyncio.to_thread(running.__exit__, None, None, None)


@asynccontextmanager
async def shop(folder: Path, *, traffic: bool = True) -> AsyncIterator[Shop]:
    """Starts everything, and waits until messages flow."""
    async with Topology(folder, nsqd_flags=E2E) as topology, JsonClient() as client:
        busy = await _traffic(topology) if traffic else None
        try:
            cluster = Shop(topology, client)
            async with cluster.admin() as url:
                cluster.url = url
                yield cluster
        finally:
            if busy is not None:
                busy.terminate()
                await busy.wait()


async def _traffic(topology: Topology) -> asyncio.subprocess.Process:
    words = []
    for node in topology.nsqds:
        words += ["--nsqd", node.tcp, "--nsqd-http", node.http]
    for node in topology.lookupds:
        words += ["--lookupd", f"http://{node.http}"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.traffic", *words, stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    assert process.stdout is not None
    async with asyncio.timeout(START_S):
        assert b"ready" in await process.stdout.readline(), "the traffic ended at its start"
    return process
