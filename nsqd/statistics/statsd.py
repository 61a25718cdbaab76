"""Pushes figures to a statsd server over UDP, every ``--statsd-interval``.

Nothing in here can hold up the loop: names are looked up in a thread, topics are turned into lines in
slices, and the packets go out at a pace.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from math import ceil
from typing import Any

from nsqcore.addresses import HostPort, parse_host_port
from nsqcore.golang import go_reason
from nsqd.broker import Broker
from nsqd.statistics.statsd_report import Packets, Report

log = logging.getLogger(__name__)

SLICE = 100
"""Topics that are turned into lines in one go: with two channels each some 3 ms."""
PACE_S = 0.01
"""Between two packets. The original takes the whole interval to send them, so that figures are that old."""
SPREAD = 0.8
"""Part of the interval that sending may take."""
SHORTEST_NAP_S = 0.001
MOST_NAPS = 100
"""How often one push waits for the kernel to take more; what it has not taken then is lost."""

_Found = list[tuple[int, tuple[Any, ...]]]


class Statsd:
    """One push after another, the first an interval after :meth:`start`."""

    def __init__(self, broker: Broker, prefix: str, memory: Callable[[], dict[str, int]]) -> None:
        """``prefix`` is the resolved one; ``memory`` gives the figures of :class:`nsqd.memory.Memory`."""
        options = broker.options
        self._broker = broker
        self._memory = memory if options.statsd_mem_stats else dict
        self._address = options.statsd_address
        self._interval = options.statsd_interval.seconds
        self._packet_size = options.statsd_udp_packet_size
        self._report = Report(
            prefix,
            options.e2e_processing_latency_percentiles,
            exclude_ephemeral=options.statsd_exclude_ephemeral,
        )
        self._loop = asyncio.get_running_loop()
        self._closing: asyncio.Future[None] = self._loop.create_future()
        self._task: asyncio.Task[None] | None = None
        self._complaints: set[str] = set()  # what was logged since all went well

    def start(self) -> None:
        """Begins to wait for the first push."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Sends what is left of a push at once, without its pace, and ends."""
        if not self._closing.done():
            log.info("STATSD: closing")
            self._closing.set_result(None)
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        due = self._loop.time()
        while True:
            due = max(due + self._interval, self._loop.time())
            await self._nap(due - self._loop.time())
            if self._closing.done():
                return
            await self._push()

    async def _push(self) -> None:
        sock = await self._connected()
        if sock is None:
            return
        with closing(sock):
            log.info("STATSD: pushing stats to %s", self._address)
            packets = Packets(self._packet_size)
            self._report.begin()
            for n, topic in enumerate(sorted(self._broker.topics.values(), key=lambda topic: topic.name), 1):
                packets.add(self._report.topic(topic))
                if n % SLICE == 0:
                    await asyncio.sleep(0)
            packets.add(self._report.memory(self._memory()))
            if await self._send(sock, packets.finish()):
                self._complaints.clear()

    async def _send(self, sock: socket.socket, packets: list[bytes]) -> bool:
        """Whether nothing went wrong; UDP tells of a server that is not there at the next packet, if at all."""
        fine, naps = True, 0
        gap = min(PACE_S, SPREAD * self._interval / max(1, len(packets)))
        together = ceil(SHORTEST_NAP_S / gap)
        for n, packet in enumerate(packets, 1):
            while True:
                try:
                    sock.send(packet)
                except BlockingIOError as e:
                    if naps < MOST_NAPS:
                        naps += 1
                        await asyncio.sleep(SHORTEST_NAP_S)
                        continue
                    fine = self._complain("failed to send to %s - %s", self._address, go_reason(e))
                except OSError as e:
                    fine = self._complain("failed to send to %s - %s", self._address, go_reason(e))
                break
            if n % together == 0 and n < len(packets):
                await self._nap(gap * together)
        return fine

    # -- the way there -----------------------------------------------------------------------------

    async def _connected(self) -> socket.socket | None:
        """A socket that sends to the server; None, and a line in the log, when there is no way there."""
        try:
            server = parse_host_port(self._address)
            found = await self._look_up(server)
        except (OSError, ValueError) as e:
            self._complain("failed to create UDP socket to statsd(%s) - %s", self._address, _reason(e))
            return None
        error: OSError | None = None
        for family, address in found:
            sock = socket.socket(family, socket.SOCK_DGRAM)
            try:
                sock.setblocking(False)
                sock.connect(address)
            except OSError as e:
                sock.close()
                error = e
            else:
                return sock
        if error is not None:
            self._complain("failed to create UDP socket to statsd(%s) - %s", self._address, _reason(error))
        return None

    async def _look_up(self, server: HostPort) -> _Found:
        """Addresses of the server; empty when the daemon ends meanwhile. Raises OSError.

        The thread is no one's to wait for: a resolver may take half a minute, and an exit must not.
        """
        with suppress(socket.gaierror):
            return _addresses(server, socket.AI_NUMERICHOST)
        answer: asyncio.Future[_Found] = self._loop.create_future()

        def tell(found: _Found, error: OSError | None) -> None:
            if not answer.done():
                if error is None:
                    answer.set_result(found)
                else:
                    answer.set_exception(error)

        def ask() -> None:
            found: _Found = []
            error: OSError | None = None
            try:
                found = _addresses(server, 0)
            except OSError as e:
                error = e
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(tell, found, error)

        threading.Thread(target=ask, name="statsd address", daemon=True).start()
        either: set[asyncio.Future[Any]] = {answer, self._closing}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        answer.cancel()
        return []

    # -- help --------------------------------------------------------------------------------------

    async def _nap(self, seconds: float) -> None:
        """Waits, but not for a daemon that is to end."""
        if not self._closing.done():
            await asyncio.wait({self._closing}, timeout=max(0.0, seconds))

    def _complain(self, text: str, *args: str) -> bool:
        """A line in the log, unless it was the same since all went well; always False."""
        line = text % args
        if line not in self._complaints:
            self._complaints.add(line)
            log.error("STATSD: %s", line)
        return False


def _addresses(server: HostPort, flags: int) -> _Found:
    found = socket.getaddrinfo(server.host or "localhost", server.port, type=socket.SOCK_DGRAM, flags=flags)
    return [(family, address) for family, _, _, _, address in found]


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
