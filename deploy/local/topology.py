"""The whole suite on one machine: nsqlookupd, nsqd and nsqadmin as processes of their own on loopback."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.local.ports import MOST_LOOKUPDS, MOST_NSQD, Ports, free_blocks
from deploy.local.processes import Child, Exit, StartFailed

LOOPBACK = "127.0.0.1"
_ADDRESS_IN_USE = os.strerror(errno.EADDRINUSE).lower()
_START_TIMEOUT = 30.0
_STOP_GRACE = 20.0


@dataclass(frozen=True)
class Node:
    """One daemon of the topology; its addresses stay the same when it is restarted."""

    child: Child
    http_port: int
    tcp_port: int = 0
    """0 for nsqadmin, which has none."""

    @property
    def name(self) -> str:
        """Such as ``nsqd-2``; its log is ``nsqd-2.log``."""
        return self.child.name

    @property
    def tcp(self) -> str:
        """``host:port`` of the NSQ protocol."""
        return f"{LOOPBACK}:{self.tcp_port}"

    @property
    def http(self) -> str:
        """``host:port`` of the HTTP API."""
        return f"{LOOPBACK}:{self.http_port}"

    async def serves(self) -> None:
        """Waits until it listens; raises StartFailed."""
        await self.child.listening(["TCP", "HTTP"] if self.tcp_port else ["HTTP"], _START_TIMEOUT)


class Topology:
    """2 nsqlookupd, 3 nsqd and 1 nsqadmin, or other numbers; ``async with`` starts and stops them.

    ``folder`` must exist; it gets a log per daemon, and ``data/<nsqd>/``. Without ``base_port`` the first
    free block of ports is used. ``deaths`` gets the Exit of each daemon that ends unasked; ``unclean``
    holds those that were asked to end and failed to do it properly. ``stop_grace`` is in seconds.
    """

    def __init__(
        self,
        folder: Path,
        *,
        nsqds: int = 3,
        lookupds: int = 2,
        base_port: int | None = None,
        nsqd_flags: Sequence[str] = (),
        deaths: asyncio.Queue[Exit] | None = None,
        stop_grace: float = _STOP_GRACE,
    ) -> None:
        if not 1 <= nsqds <= MOST_NSQD:
            raise ValueError(f"the number of nsqd must be 1 to {MOST_NSQD}, not {nsqds}")
        if not 1 <= lookupds <= MOST_LOOKUPDS:
            raise ValueError(f"the number of nsqlookupd must be 1 to {MOST_LOOKUPDS}, not {lookupds}")
        self.folder = folder
        self.deaths: asyncio.Queue[Exit] = asyncio.Queue() if deaths is None else deaths
        self.unclean: list[Exit] = []
        self.lookupds: list[Node] = []
        self.nsqds: list[Node] = []
        self.admins: list[Node] = []
        self._counts = nsqds, lookupds
        self._base_port = base_port
        self._nsqd_flags = list(nsqd_flags)
        self._stop_grace = stop_grace

    @property
    def nodes(self) -> list[Node]:
        """All daemons."""
        return self.admins + self.nsqds + self.lookupds

    @property
    def nsqadmin_url(self) -> str:
        """Where a browser finds nsqadmin."""
        return f"http://{self.admins[0].http}/"

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:  # a Ctrl-C during the start must not leave the first daemons behind
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """All daemons listen when it returns; raises StartFailed, and those that run want a ``stop``."""
        for ports in self._blocks():
            self._build(ports)
            try:
                await self._start_all()
            except StartFailed as e:
                await self.stop()
                if self._base_port is not None or _ADDRESS_IN_USE not in str(e):
                    raise
                self.unclean.clear()  # several daemons may have found their ports taken, not just the first
                continue  # somebody else was quicker to take a port
            return
        raise StartFailed("no free block of ports found; name one with --base-port")

    def _blocks(self) -> Iterable[Ports]:
        if self._base_port is None:
            return free_blocks(*self._counts)
        ports = Ports.at(self._base_port, *self._counts)
        if taken := ports.taken():
            words = ", ".join(map(str, taken))
            raise StartFailed(f"ports in use already: {words}; name others with --base-port")
        return [ports]

    async def _start_all(self) -> None:
        for tier in (self.lookupds, self.nsqds + self.admins):  # nsqd registers with nsqlookupd at its start
            for node in tier:
                await node.child.start()
            for node in tier:
                await node.serves()

    def _build(self, ports: Ports) -> None:
        self.lookupds = [
            self._node(f"nsqlookupd-{i}", ["--broadcast-address", LOOPBACK], pair.http, pair.tcp)
            for i, pair in enumerate(ports.lookupds, 1)
        ]
        self.nsqds = [
            self._node(f"nsqd-{i}", self._nsqd_arguments(i), pair.http, pair.tcp)
            for i, pair in enumerate(ports.nsqds, 1)
        ]
        lookups = [f"--lookupd-http-address={node.http}" for node in self.lookupds]
        self.admins = [self._node("nsqadmin", lookups, ports.nsqadmin)]

    def _nsqd_arguments(self, number: int) -> list[str]:
        data = self.folder / "data" / f"nsqd-{number}"
        data.mkdir(parents=True, exist_ok=True)
        return [
            f"--node-id={number}",
            f"--data-path={data}",
            f"--broadcast-address={LOOPBACK}",
            *(f"--lookupd-tcp-address={node.tcp}" for node in self.lookupds),
            *self._nsqd_flags,
        ]

    def _node(self, name: str, arguments: Sequence[str], http_port: int, tcp_port: int = 0) -> Node:
        program = name.partition("-")[0]
        argv = [sys.executable, "-m", program, f"--http-address={LOOPBACK}:{http_port}"]
        if tcp_port:
            argv.append(f"--tcp-address={LOOPBACK}:{tcp_port}")
        log = self.folder / f"{name}.log"
        child = Child(name, [*argv, *arguments], log, on_death=lambda end: self._died(child, end))
        return Node(child, http_port, tcp_port)

    def _died(self, child: Child, end: Exit) -> None:
        if child.ready:  # else it is the start that fails, and says so
            self.deaths.put_nowait(end)

    async def restart(self, node: Node) -> float:
        """SIGTERM, and a start on the same ports with the same data; seconds until it served again.

        Raises StartFailed. An unclean end is noted in ``unclean`` and does not keep it from starting.
        """
        began = time.monotonic()
        await self._stop_nodes([node])
        await node.child.start()
        await node.serves()
        return time.monotonic() - began

    async def stop(self) -> None:
        """Ends what runs: nsqd first (they say goodbye to nsqlookupd), then nsqadmin, then nsqlookupd.

        Bounded: who ignores SIGTERM is killed, and noted in ``unclean``. A second call does nothing.
        """
        for tier in (self.nsqds, self.admins, self.lookupds):
            await self._stop_nodes(tier)
        self.lookupds, self.nsqds, self.admins = [], [], []

    async def _stop_nodes(self, nodes: Sequence[Node]) -> None:
        for child, end in zip(
            [node.child for node in nodes],
            await asyncio.gather(*(node.child.stop(self._stop_grace) for node in nodes)),
            strict=True,
        ):
            too_early = not child.ready and end is not None and end.status == -signal.SIGTERM
            if end and not end.clean and not too_early:  # one that just starts may know no signals yet
                self.unclean.append(end)
