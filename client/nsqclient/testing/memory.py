"""Connections without sockets: two asyncio transports, each of which hands over what the other was given."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

UNDER_WAY = 64 << 10
"""Bytes that may be on their way without counting as unwritten, as in the buffers of a socket."""
HIGH = 64 << 10
"""Bytes unwritten above which a protocol is told to pause, by default."""

Data = bytes | bytearray | memoryview


class MemoryTransport(asyncio.Transport):
    """One end of a connection within this loop; made in pairs by :func:`connect`."""

    def __init__(self, protocol: asyncio.BaseProtocol, name: tuple[str, int]) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._protocol: Any = protocol
        self.name = name
        self.peer: MemoryTransport = self
        self.inbox: deque[bytes] = deque()
        self.waiting: int = 0
        """Bytes in the inbox."""
        self._ended = self._eof_told = False
        """Whether the peer sends no more; and whether our protocol knows."""
        self._reading = True
        self._due = False
        self._blocked = False
        self.lost: bool = False
        self._closing = self._eof_sent = False
        self._high, self._low = HIGH, HIGH // 4

    # ---- reading

    def is_reading(self) -> bool:
        """Whether what comes is handed over."""
        return self._reading and not self._closing

    def pause_reading(self) -> None:
        """What comes waits, and at some point its sender with it."""
        self._reading = False

    def resume_reading(self) -> None:
        """What waits comes."""
        if not self._reading:
            self._reading = True
            self.deliver_soon()

    def deliver_soon(self) -> None:
        """The inbox has something, or has ended."""
        if not self._due and not self.lost:
            self._due = True
            self._loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        self._due = False
        if not self._reading or self._closing:
            return
        if self.inbox:
            data = self.inbox[0] if len(self.inbox) == 1 else b"".join(self.inbox)
            self.inbox.clear()
            self.waiting = 0
            self.peer.check_room()
            self._protocol.data_received(data)
        if self._ended and not self._eof_told and not self.inbox and self._reading:
            self._eof_told = True
            if not self._protocol.eof_received():
                self.close()

    # ---- writing

    def write(self, data: Data) -> None:
        """Hands it to the other end, in a later turn of the loop."""
        if self._eof_sent:
            raise RuntimeError("Cannot call write() after write_eof()")
        if self._closing or not data:
            return
        peer = self.peer
        if peer.lost:
            self.fail(ConnectionResetError("the other end is gone"))
            return
        peer.inbox.append(bytes(data))
        peer.waiting += len(data)
        peer.deliver_soon()
        if not self._blocked and self.get_write_buffer_size() > self._high:
            self._blocked = True
            self._protocol.pause_writing()

    def check_room(self) -> None:
        """The other end has read."""
        if self._blocked and self.get_write_buffer_size() <= self._low and not self._closing:
            self._blocked = False
            self._protocol.resume_writing()

    def can_write_eof(self) -> bool:
        """Always."""
        return True

    def write_eof(self) -> None:
        """This side sends no more."""
        if not self._closing and not self._eof_sent:
            self._eof_sent = True
            self.peer.end()

    def get_write_buffer_size(self) -> int:
        """Bytes given to :meth:`write` that the other end leaves unread, a socket's buffer full apart."""
        return max(0, self.peer.waiting - UNDER_WAY)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """As asyncio has it."""
        if high is None:
            high = HIGH if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
        self._high, self._low = high, low

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """The low and the high mark."""
        return self._low, self._high

    # ---- the end

    def end(self) -> None:
        """The other end sends no more."""
        self._ended = True
        self.deliver_soon()

    def is_closing(self) -> bool:
        """Whether it ends or has ended."""
        return self._closing

    def close(self) -> None:
        """Ends it; what was written arrives."""
        if not self._closing:
            self._closing = True
            self.peer.end()
            self._loop.call_soon(self._lose, None)

    def abort(self) -> None:
        """Ends it as a crash would: the other end loses what it has not read."""
        peer = self.peer
        if not self.lost and not peer.lost:
            peer.inbox.clear()
            peer.waiting = 0
            peer.fail(ConnectionResetError("reset by the other end"))
        self.fail(None)

    def fail(self, error: Exception | None) -> None:
        """It ends at once; the protocol is told ``error``."""
        if not self.lost and not (self._closing and error is not None):
            self._closing = True
            self._loop.call_soon(self._lose, error)

    def _lose(self, error: Exception | None) -> None:
        if not self.lost:
            self.lost = True
            self.inbox.clear()
            self.waiting = 0
            self._protocol.connection_lost(error)

    # ---- the rest of what a transport has

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """``peername`` and ``sockname``: made-up addresses."""
        return {"peername": self.peer.name, "sockname": self.name}.get(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """From now on ``protocol`` is told."""
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Who is told."""
        protocol: asyncio.BaseProtocol = self._protocol
        return protocol

    def __repr__(self) -> str:
        state = "lost" if self.lost else "closing" if self._closing else "open"
        return f"<MemoryTransport to {self.peer.name} {state} unread={self.waiting}>"


def connect(
    client: asyncio.BaseProtocol,
    server: asyncio.BaseProtocol,
    client_name: tuple[str, int] = ("client.test", 1),
    server_name: tuple[str, int] = ("server.test", 1),
) -> tuple[MemoryTransport, MemoryTransport]:
    """Connects two protocols to each other, within the running loop; returns their transports.

    Both have been told of it when this returns, the server first.
    """
    ends = MemoryTransport(client, client_name), MemoryTransport(server, server_name)
    ends[0].peer, ends[1].peer = ends[1], ends[0]
    server.connection_made(ends[1])
    client.connection_made(ends[0])
    return ends
