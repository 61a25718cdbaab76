"""A TCP proxy that spoils what goes through it: bad weather between a client and a real server."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Literal, Self

from nsqclient.durations import Seconds, to_seconds
from nsqcore.addresses import parse_host_port

CHUNK = 64 << 10
"""Bytes read at a time."""
UNDER_WAY = 64
"""Chunks that one direction of one connection holds at most; then it reads no more."""
THROTTLE_STEP = 0.02
"""Seconds between the pieces of what is throttled."""

Direction = Literal["both", "to_server", "to_client"]


class _Way:
    """What happens to bytes that go in one direction; all connections share it."""

    def __init__(self) -> None:
        self.delay = 0.0
        self.rate = 0.0
        """Bytes per second; 0 is as fast as can be."""
        self.dropping = False
        self.passing = asyncio.Event()
        """While it is clear, nothing is read."""
        self.passing.set()
        self.left: int | None = None
        """Bytes that still go through before the connections are cut."""


class FaultyProxy:
    """Passes on what comes to :attr:`address` to ``server`` (``host:port``), until told otherwise.

    ::

        async with FaultyProxy("127.0.0.1:4150") as proxy, Producer(proxy.address) as producer:
            proxy.drop("to_client")  # nsqd hears us, and its answers are lost
            ...
            proxy.cut()
            proxy.heal()

    Faults hold for the connections there are and for later ones, until :meth:`heal`.
    """

    def __init__(self, server: str) -> None:
        self.server = server
        self.address: str = ""
        """``127.0.0.1:port``; the port stays the same over :meth:`refuse` and :meth:`accept`."""
        self.accepted: int = 0
        """Connections made so far."""
        self.passed: dict[str, int] = {"to_server": 0, "to_client": 0}
        """Bytes that went through."""
        self._ways = {"to_server": _Way(), "to_client": _Way()}
        self._listener: asyncio.Server | None = None
        self._links: dict[asyncio.Task[None], list[asyncio.StreamWriter]] = {}

    async def __aenter__(self) -> Self:
        await self.accept()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.refuse()
        links = list(self._links)
        for link in links:
            link.cancel()
        if links:
            await asyncio.wait(links)

    # ---- faults

    def refuse(self) -> None:
        """Listens no more, so that connecting is refused; connections go on."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def accept(self) -> None:
        """Listens again, at the same port."""
        if self._listener is None:
            port = parse_host_port(self.address)[1] if self.address else 0
            self._listener = await asyncio.start_server(self._serve, "127.0.0.1", port)
            self.address = f"127.0.0.1:{self._listener.sockets[0].getsockname()[1]}"

    def cut(self) -> None:
        """Ends every connection as a crash would, both ends; new ones work."""
        for link, writers in self._links.items():
            link.cancel()
            for writer in writers:
                writer.transport.abort()

    def half_open(self) -> None:
        """What comes from either side vanishes, while both believe to be connected."""
        self.drop("both")

    def drop(self, direction: Direction = "both") -> None:
        """Bytes vanish from now on; a stream with a gap makes no sense later, so :meth:`cut` before healing."""
        for way in self._of(direction):
            way.dropping = True

    def hold(self, direction: Direction = "both") -> None:
        """Nothing is read any more: bytes wait where they are, and senders feel it."""
        for way in self._of(direction):
            way.passing.clear()

    def delay(self, seconds: Seconds, direction: Direction = "both") -> None:
        """Bytes arrive that much later; how many may be under way is bounded."""
        for way in self._of(direction):
            way.delay = to_seconds(seconds)

    def throttle(self, bytes_per_second: float, direction: Direction = "both") -> None:
        """No more than that goes through each connection."""
        for way in self._of(direction):
            way.rate = bytes_per_second

    def cut_after(self, size: int, direction: Direction) -> None:
        """Lets ``size`` more bytes through, all connections together, and then cuts them: within a frame, say."""
        for way in self._of(direction):
            way.left = size

    def heal(self) -> None:
        """Ends all faults; :meth:`refuse` is ended by :meth:`accept`."""
        for way in self._ways.values():
            way.delay = way.rate = 0.0
            way.dropping = False
            way.left = None
            way.passing.set()

    @property
    def connections(self) -> int:
        """How many there are."""
        return len(self._links)

    def _of(self, direction: Direction) -> list[_Way]:
        return list(self._ways.values()) if direction == "both" else [self._ways[direction]]

    # ---- inner workings

    def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        writers = [writer]
        link = asyncio.get_running_loop().create_task(self._link(reader, writers))
        self._links[link] = writers
        link.add_done_callback(self._links.pop)

    async def _link(self, reader: asyncio.StreamReader, writers: list[asyncio.StreamWriter]) -> None:
        try:
            there, back = await asyncio.open_connection(*parse_host_port(self.server))
            writers.append(back)
            async with asyncio.TaskGroup() as pumps:
                for name, source, sink in (("to_server", reader, back), ("to_client", there, writers[0])):
                    queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(UNDER_WAY)
                    pumps.create_task(self._take(self._ways[name], source, queue))
                    pumps.create_task(self._give(name, sink, queue))
        except* OSError:
            pass  # a side is gone, and so is the link
        finally:
            for each in writers:
                each.transport.abort()

    async def _take(
        self, way: _Way, source: asyncio.StreamReader, queue: asyncio.Queue[tuple[float, bytes]]
    ) -> None:
        loop = asyncio.get_running_loop()
        data = b"more"
        while data:
            await way.passing.wait()
            data = await source.read(CHUNK)
            await way.passing.wait()  # what was being read when it stopped has not passed
            await queue.put((loop.time() + way.delay, data))

    async def _give(
        self, name: str, sink: asyncio.StreamWriter, queue: asyncio.Queue[tuple[float, bytes]]
    ) -> None:
        way, loop = self._ways[name], asyncio.get_running_loop()
        while True:
            due, data = await queue.get()
            if due > loop.time():
                await asyncio.sleep(due - loop.time())
            if not data:
                if not way.dropping:
                    sink.write_eof()
                return
            while data and not way.dropping:
                size = len(data)
                if way.rate:
                    size = max(1, min(size, int(way.rate * THROTTLE_STEP)))
                    await asyncio.sleep(size / way.rate)
                if way.left is not None:
                    size = min(size, way.left)
                    way.left -= size
                sink.write(data[:size])
                self.passed[name] += size
                data = data[size:]
                await sink.drain()
                if way.left == 0:
                    way.left = None
                    self.cut()
                    return
