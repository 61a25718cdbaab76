"""Layers on a bench: a socket that is none below, a protocol that keeps what it is told above, codecs that show themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from nsqcore.layers.codec import Agreed, Codec, CodecError, EndOfStream
from nsqcore.layers.transport import Layers


class Socket(asyncio.Transport):
    """A transport that keeps what is written, and reports what is done to it."""

    def __init__(self) -> None:
        super().__init__({"peername": ("10.0.0.1", 1234)})
        self.writes: list[bytes] = []
        self.reading = True
        self.eof = self.aborted = False
        self._closed = False
        self.unsent = 0
        self.limits: tuple[int | None, int | None] = (None, None)
        self.protocol: asyncio.BaseProtocol | None = None

    @property
    def written(self) -> bytes:
        return b"".join(self.writes)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert (self.eof, self.is_closed(), self.aborted) == (False, False, False), "written behind the end"
        self.writes.append(bytes(data))

    def write_eof(self) -> None:
        self.eof = True

    def close(self) -> None:
        self._closed = True

    def is_closed(self) -> bool:
        return self._closed

    def abort(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return self.is_closed() or self.aborted

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.limits = (high, low)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol


class Above(asyncio.Protocol):
    """A protocol that keeps what it is told."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.eofs = 0
        self.stays = True
        self._blocked = False
        self.lost: list[Exception | None] = []

    @property
    def heard(self) -> bytes:
        return b"".join(self.pieces)

    def data_received(self, data: bytes) -> None:
        self.pieces.append(data)

    def eof_received(self) -> bool:
        self.eofs += 1
        return self.stays

    def pause_writing(self) -> None:
        assert not self._blocked
        self._blocked = True

    def resume_writing(self) -> None:
        assert self._blocked
        self._blocked = False

    def is_blocked(self) -> bool:
        return self._blocked

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.append(exc)


class Tagged:
    """A codec that shows who encoded: ``<name:data>``; ``!`` is an error, ``.`` the end, ``?`` asks for a reply."""

    def __init__(self, name: str) -> None:
        self.name = name.encode()
        self._reply = b""

    def encode(self, data: bytes) -> bytes:
        return b"<" + self.name + b":" + data + b">"

    def decode(self, data: bytes) -> Iterator[bytes]:
        for byte in data:
            if byte == ord("!"):
                self._reply += b"alert"
                raise CodecError("an exclamation mark")
            if byte == ord("."):
                raise EndOfStream
            if byte == ord("?"):
                self._reply += b"yes"
            else:
                yield bytes([byte])

    def reply(self) -> bytes:
        reply, self._reply = self._reply, b""
        return reply and self.encode(reply)

    def end(self) -> bytes:
        return b"</" + self.name + b">"


class Shaking(Tagged):
    """Carries nothing before it has heard ``hi``; says ``ho``."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._heard = b""

    @property
    def handshaken(self) -> bool:
        return self._heard == b"hi"

    def agreed(self) -> Agreed:
        return Agreed("TLS1.3", "TLS_NULL", "")

    def decode(self, data: bytes) -> Iterator[bytes]:
        while not self.handshaken and data:
            self._heard, data = self._heard + data[:1], data[1:]
            if not b"hi".startswith(self._heard):
                self._reply += b"alert"
                raise CodecError("impolite")
            if self._heard == b"hi":
                self._reply += b"ho"
        yield from super().decode(data)


class Bench:
    """Layers between a socket and a protocol."""

    def __init__(self, *codecs: Codec) -> None:
        self.socket, self.above = Socket(), Above()
        self.layers = Layers(self.above)
        self.layers.take_over(self.socket, blocked=False)
        for codec in codecs:
            self.layers.push(codec)


async def turns(count: int = 1) -> None:
    for _ in range(count):
        await asyncio.sleep(0)
