"""An NSQ cluster in memory: fake nsqds that speak the real protocol, and fake nsqlookupds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from nsqclient.discovery.dialing import DialOptions
from nsqclient.discovery.targets import Lookup, Nsqd
from nsqclient.durations import Seconds
from nsqclient.errors import ConfigError
from nsqclient.testing.agreement import NodeOptions
from nsqclient.testing.clock import Clock, News
from nsqclient.testing.lookup import FakeLookup
from nsqclient.testing.node import FakeNode
from nsqclient.testing.record import Commands

LAST_TURNS = 5
"""Turns of the loop in which ends of connections are told to both sides."""


class FakeCluster:
    """Some nsqds within this process; give it to a Producer, Consumer or App in place of addresses.

    ::

        async with FakeCluster(nodes=3) as cluster:
            async with Producer(cluster) as producer, Consumer("t", "c", cluster) as consumer:
                await producer.publish("t", b"x")
                async with await consumer.get(timeout=1):
                    pass
            assert cluster.published("t") == [b"x"]

    The client's code is all real, from the transport up: connections go over memory instead of sockets.
    With ``lookups`` the nodes are found through as many nsqlookupds, which clients ask over real HTTP.

    ``clock`` moves the time of everything in this loop. Time flows unless ``frozen`` is given or a
    :class:`Clock` runs already. ``options`` are those of every node; single ones may be given by name, such
    as ``msg_timeout=2``.
    """

    def __init__(
        self,
        nodes: int = 3,
        lookups: int = 0,
        *,
        options: NodeOptions | None = None,
        frozen: bool = False,
        poll_interval: Seconds = 60.0,
        **settings: Any,
    ) -> None:
        """``poll_interval`` is how often clients ask the nsqlookupds."""
        if nodes < 0 or lookups < 0 or nodes + lookups == 0:
            raise ConfigError(f"a cluster of {nodes} nodes and {lookups} nsqlookupds makes no sense")
        self.clock: Clock = Clock(frozen=frozen)
        self.nodes: list[FakeNode] = []
        self._options = replace(options or NodeOptions(), **settings)
        self._news = News()
        self._poll_interval = poll_interval
        for _ in range(nodes):
            self.add_node()
        self.lookups: list[FakeLookup] = [FakeLookup(self.nodes, self._news.tell) for _ in range(lookups)]

    async def __aenter__(self) -> Self:
        self.clock.start()
        for lookup in self.lookups:
            await lookup.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for lookup in self.lookups:
            await lookup.stop()
        for node in self.nodes:
            await node.close()
        for _ in range(LAST_TURNS):
            await asyncio.sleep(0)
        self.clock.stop()

    @property
    def target(self) -> Nsqd | Lookup:
        """What stands for it where a target is wanted; the library asks for it."""
        if not self.lookups:
            return _Nsqds(self)
        if not all(lookup.address for lookup in self.lookups):
            raise ConfigError("a FakeCluster with nsqlookupds can be used within its 'async with' only")
        return _Lookups(self, self._poll_interval)

    # ---- nodes

    def node(self, number: int) -> FakeNode:
        """The nsqd of that number, counted from 0."""
        return self.nodes[number]

    def lookup(self, number: int) -> FakeLookup:
        """The nsqlookupd of that number, counted from 0."""
        return self.lookups[number]

    def add_node(self, **settings: Any) -> FakeNode:
        """One nsqd more, with ``settings`` of its own; its nsqlookupds know it at once."""
        number = len(self.nodes)
        node = FakeNode(
            f"nsqd-{number}.test:4150", number, replace(self._options, **settings), self._news.tell
        )
        self.nodes.append(node)
        return node

    async def connect(self, address: str, factory: Callable[[], asyncio.Protocol]) -> None:
        """Connects a client's protocol to the node of that address; raises OSError."""
        for node in self.nodes:
            if node.address == address:
                await node.connect(factory())
                return
        raise OSError(f"no such host: {address}")

    # ---- what happened, all nodes together

    def commands(self, number: int) -> Commands:
        """What came to a node: compare it with a list of patterns."""
        return self.node(number).commands

    def published(self, topic: str) -> list[bytes]:
        """All bodies ever stored, node by node, oldest first."""
        return [body for node in self.nodes for body in node.published(topic)]

    def depth(self, topic: str, channel: str | None = None) -> int:
        """Messages that wait for a consumer, or for the topic's first channel."""
        return sum(node.depth(topic, channel) for node in self.nodes)

    def in_flight(self, topic: str, channel: str) -> int:
        """Messages that consumers have and have not answered."""
        return sum(node.in_flight(topic, channel) for node in self.nodes)

    def deferred(self, topic: str, channel: str) -> int:
        """Messages that are kept back for a while."""
        return sum(node.deferred(topic, channel) for node in self.nodes)

    # ---- waiting, without sleeping

    async def until(self, condition: Callable[[], bool], timeout: Seconds = 5.0) -> None:
        """Waits until ``condition`` holds; it is looked at whenever something happens in the cluster.

        Raises AssertionError after ``timeout`` seconds of real time, whatever the clock does.
        """
        await self._news.until(condition, timeout, lambda: f"it did not come true: {self._state()}")

    async def wait_until_idle(self, timeout: Seconds = 5.0) -> None:
        """Waits until all is done: the loop rests, nothing is in flight, nothing waits for a consumer.

        What is deferred, and channels without a consumer, are not waited for. Raises AssertionError.
        """
        await self.clock.settle()
        while not all(node.idle for node in self.nodes):
            await self.until(lambda: all(node.idle for node in self.nodes), timeout)
            await self.clock.settle()

    async def wait_for_commands(self, number: int, *patterns: str, timeout: Seconds = 5.0) -> None:
        """Waits until commands of each of these patterns came to the node; raises AssertionError."""
        node = self.node(number)
        await self.until(lambda: all(node.commands.matching(pattern) for pattern in patterns), timeout)

    def _state(self) -> str:
        return "; ".join(f"{node!r} {node.commands[-10:]!r}" for node in self.nodes)

    def __repr__(self) -> str:
        return f"FakeCluster({self.nodes!r}, lookups={len(self.lookups)})"


class _Nsqds(Nsqd):
    """The nodes of a cluster, by address."""

    def __init__(self, cluster: FakeCluster) -> None:
        super().__init__(*(node.address for node in cluster.nodes))
        self._cluster = cluster

    async def dial(self, node: str, factory: Callable[[], asyncio.Protocol], options: DialOptions) -> None:
        """Over memory."""
        await self._cluster.connect(node, factory)


class _Lookups(Lookup):
    """The nodes of a cluster, as its nsqlookupds know them."""

    def __init__(self, cluster: FakeCluster, poll_interval: Seconds) -> None:
        super().__init__(*(lookup.address for lookup in cluster.lookups), poll_interval=poll_interval)
        self._cluster = cluster

    async def dial(self, node: str, factory: Callable[[], asyncio.Protocol], options: DialOptions) -> None:
        """Over memory."""
        await self._cluster.connect(node, factory)
