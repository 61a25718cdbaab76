"""Clients that keep and send bytes as they are: of nsqd's protocol, and of HTTP. Every wait has a deadline."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Self, cast

from nsqcore.wire.commands import (
    CLS,
    NOP,
    encode_dpub,
    encode_fin,
    encode_identify,
    encode_mpub,
    encode_pub,
    encode_rdy,
    encode_req,
    encode_sub,
    encode_touch,
)
from nsqcore.wire.frames import (
    CLOSE_WAIT,
    ERROR,
    HEAD,
    HEARTBEAT,
    MESSAGE,
    OK,
    RESPONSE,
    WireMessage,
    decode_message,
)

DEADLINE_S = 5.0
"""Seconds that anything is waited for."""
UNKNOWN_ID = b"0" * 16
"""The id of no message."""


def shown(data: bytes | bytearray) -> str:
    """Bytes for an error message: the first of them when they are many."""
    return (
        repr(bytes(data)) if len(data) <= 200 else f"{bytes(data[:200])!r} and {len(data) - 200} bytes more"
    )


class RawSocket(asyncio.Protocol):
    """A connection whose bytes are kept as they come; the base of both clients."""

    def __init__(self) -> None:
        self.buffer = bytearray()
        """What came and was not read."""
        self.ended = False
        """The peer sends no more."""
        self.lost: BaseException | None = None
        """Why the connection broke, if it did not end in order."""
        self._encode: Callable[[bytes], bytes] | None = None
        self._decode: Callable[[bytes], bytes] | None = None
        self._news = asyncio.Event()
        self._gone = asyncio.Event()

    @classmethod
    async def open(cls, address: tuple[str, int]) -> Self:
        """Connects."""
        _, client = await asyncio.get_running_loop().create_connection(cls, *address)
        return client

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.buffer += data if self._decode is None else self._decode(data)
        self._news.set()

    def eof_received(self) -> bool:
        self.ended = True
        self._news.set()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended, self.lost = True, exc
        self._news.set()
        self._gone.set()

    @property
    def name(self) -> str:
        """How nsqd names this client: the address of our end."""
        host, port = self.transport.get_extra_info("sockname")[:2]
        return f"{host}:{port}"

    def send(self, data: bytes) -> None:
        """Sends raw bytes."""
        self.transport.write(data if self._encode is None else self._encode(data))

    def go_through(self, encode: Callable[[bytes], bytes], decode: Callable[[bytes], bytes]) -> None:
        """From now on bytes are encoded and decoded; those that came already are decoded too.

        Called again, it puts a layer above those that there are.
        """
        lower_encode, lower_decode = self._encode, self._decode
        self._encode = encode if lower_encode is None else lambda data: lower_encode(encode(data))
        self._decode = decode if lower_decode is None else lambda data: decode(lower_decode(data))
        early = bytes(self.buffer)
        self.buffer.clear()
        if early:
            self.buffer += decode(early)

    def send_eof(self) -> None:
        """Ends our side."""
        self.transport.write_eof()

    async def until(self, condition: Callable[[], bool], timeout: float = DEADLINE_S) -> None:
        """Waits for a condition on :attr:`buffer` or :attr:`ended`; raises EOFError when no more can come."""
        try:
            async with asyncio.timeout(timeout):
                while not condition():
                    if self.ended:
                        raise EOFError(f"the connection ended ({self.lost}) behind {shown(self.buffer)}")
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"nothing more in {timeout} s behind {shown(self.buffer)}") from None

    async def read(self, size: int) -> bytes:
        """Exactly so many bytes."""
        await self.until(lambda: len(self.buffer) >= size)
        data = bytes(self.buffer[:size])
        del self.buffer[:size]
        return data

    async def closed(self, timeout: float = DEADLINE_S) -> None:
        """The connection ends, in order or by a reset, and nothing came before that was not read."""
        await self.until(lambda: self.ended, timeout)
        assert self.buffer == b"", f"there was {shown(self.buffer)} before the end"

    def close(self) -> None:
        """Ends the connection in order; twice is fine."""
        self.transport.close()

    async def gone(self) -> None:
        """Our socket is closed too, whoever closed it."""
        async with asyncio.timeout(DEADLINE_S):
            await self._gone.wait()

    def drop(self) -> None:
        """Ends the connection as a crash would."""
        self.transport.abort()


class RawClient(RawSocket):
    """A client of the V2 protocol. What has an answer is a coroutine that expects the good one."""

    async def frame(self) -> tuple[int, bytes]:
        """The next frame: type, data. Heartbeats are frames too."""
        await self.until(lambda: len(self.buffer) >= 8)
        size, kind = HEAD.unpack_from(self.buffer)
        return kind, (await self.read(4 + size))[8:]

    async def expect(self, data: bytes) -> None:
        """The next frame is this response."""
        await self._expect(RESPONSE, data)

    async def expect_ok(self, times: int = 1) -> None:
        """The next frames are OK."""
        for _ in range(times):
            await self.expect(OK)

    async def expect_heartbeat(self) -> None:
        """The next frame is a heartbeat."""
        await self.expect(HEARTBEAT)

    async def expect_error(self, text: str) -> None:
        """The next frame is this error."""
        await self._expect(ERROR, text.encode())

    async def _expect(self, kind: int, data: bytes) -> None:
        got, came = await self.frame()
        if (got, came) != (kind, data):
            raise AssertionError(f"expected frame type {kind}: {shown(data)}, got type {got}: {shown(came)}")

    async def refused(self, text: str) -> None:
        """The next frame is this error, and the last."""
        await self.expect_error(text)
        await self.closed()

    async def message(self) -> WireMessage:
        """The next frame, which is a message."""
        kind, data = await self.frame()
        assert kind == MESSAGE, f"expected a message, got frame type {kind}: {shown(data)}"
        return decode_message(data)

    async def messages(self, count: int) -> list[WireMessage]:
        """The next frames, which are messages."""
        return [await self.message() for _ in range(count)]

    async def bodies(self, count: int) -> list[bytes]:
        """The bodies of the next messages."""
        return [(await self.message()).body for _ in range(count)]

    async def take(self, count: int) -> list[bytes]:
        """The bodies of the next messages, each finished as it comes."""
        bodies: list[bytes] = []
        while len(bodies) < count:
            message = await self.message()
            bodies.append(message.body)
            self.fin(message.id)
        return bodies

    async def settled(self) -> None:
        """nsqd has obeyed all that was sent, and nothing came of it; the connection is open.

        For subscribed clients: asks to finish a message that there is not.
        """
        self.fin(UNKNOWN_ID)
        await self.expect_error(f"E_FIN_FAILED FIN {UNKNOWN_ID.decode()} failed ID not in flight")

    async def alive(self) -> None:
        """As :meth:`settled`, for clients in any state: publishes to a topic for that purpose."""
        await self.pub("alive#ephemeral", b"x")

    # -- commands ----------------------------------------------------------------------------------

    async def identify(self, **settings: object) -> dict[str, Any]:
        """IDENTIFY with negotiation; returns the answer."""
        self.send(encode_identify({"feature_negotiation": True, **settings}))
        kind, data = await self.frame()
        assert kind == RESPONSE, data
        return cast(dict[str, Any], json.loads(data))

    async def sub(self, topic: str, channel: str) -> None:
        self.send(encode_sub(topic, channel))
        await self.expect_ok()

    async def pub(self, topic: str, *bodies: bytes) -> None:
        """PUBs, each answered before the next."""
        for body in bodies:
            self.send(encode_pub(topic, body))
            await self.expect_ok()

    async def mpub(self, topic: str, *bodies: bytes) -> None:
        self.send(encode_mpub(topic, bodies))
        await self.expect_ok()

    async def dpub(self, topic: str, delay_ms: int, body: bytes) -> None:
        self.send(encode_dpub(topic, delay_ms, body))
        await self.expect_ok()

    async def cls(self) -> None:
        self.send(CLS)
        await self.expect(CLOSE_WAIT)

    def rdy(self, count: int) -> None:
        self.send(encode_rdy(count))

    def fin(self, *ids: bytes) -> None:
        self.send(b"".join(map(encode_fin, ids)))

    def req(self, message_id: bytes, delay_ms: int = 0) -> None:
        self.send(encode_req(message_id, delay_ms))

    def touch(self, message_id: bytes) -> None:
        self.send(encode_touch(message_id))

    def nop(self) -> None:
        self.send(NOP)


class Answer(NamedTuple):
    """An HTTP answer as it came."""

    status: int
    reason: str
    headers: dict[str, str]
    """Names as spelled on the wire."""
    body: bytes


class RawHttp(RawSocket):
    """A client of the HTTP port."""

    async def request(
        self, method: str, target: str, body: bytes | None = None, headers: Iterable[str] = ()
    ) -> Answer:
        """Sends a request, with a Content-Length if there is a body, and returns its answer."""
        lines = [f"{method} {target} HTTP/1.1", "Host: nsqd", *headers]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + (body or b""))
        return await self.answer()

    async def answer(self) -> Answer:
        """The next answer, its body whole."""
        await self.until(lambda: b"\r\n\r\n" in self.buffer)
        head = await self.read(self.buffer.index(b"\r\n\r\n") + 4)
        first, *lines = head.decode("latin-1").split("\r\n")[:-2]
        headers = dict(line.split(": ", 1) for line in lines)
        status = int(first.split(" ")[1])
        if "chunked" in headers.get("Transfer-Encoding", ""):
            body = await self._chunks()
        elif "Content-Length" in headers:
            body = await self.read(int(headers["Content-Length"]))
        else:
            body = b""
        return Answer(status, first.split(" ", 2)[2], headers, body)

    async def _chunks(self) -> bytes:
        body = b""
        while True:
            await self.until(lambda: b"\r\n" in self.buffer)
            size = int((await self.read(self.buffer.index(b"\r\n") + 2)).partition(b";")[0], 16)
            part = await self.read(size + 2)
            body += part[:-2]
            if not size:
                return body
