"""One HTTP/1.1 connection: one request at a time, its answer's status, and bounds on what the server may do.

Of an answer the status counts, which is known at the end of its headers. Its body is read and dropped, so that the
connection can be used again; a body that breaks off, takes too long or is too large costs the connection only.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple, cast

import httptools

from nsqcore.golang import go_reason

LARGEST_HEAD = 64 << 10
"""Bytes of headers that an answer may have, those of interim answers included."""
LARGEST_BODY = 1 << 20
"""Bytes of an answer that are read; more, and the connection is closed."""


class Answer(NamedTuple):
    """What a server answered."""

    status: int
    location: str
    """Where a redirect points to; empty without."""


class RequestFailed(Exception):
    """A request has no answer, and the text says why."""

    def __init__(self, text: str, *, stale: bool = False) -> None:
        super().__init__(text)
        self.stale = stale
        """Whether the connection ended without a byte of an answer: it may have been closed before it was used."""


class Connection(asyncio.Protocol):
    """A connection that is made, or being made."""

    def __init__(self) -> None:
        self.usable: bool = False
        """Whether a request may be sent."""
        self.used: bool = False
        """Whether one was sent before."""
        self.idle_since: float = 0.0
        """When its last answer came, on the loop's clock."""
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when it has ended."""
        self._transport: asyncio.Transport | None = None
        self._ended = False
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[Answer] | None = None
        self._received = 0
        self._status = 0
        self._location = b""

    # ---- what its owner does

    def ready(self, transport: asyncio.Transport) -> None:
        """It goes through this transport from now on."""
        self._transport = transport
        self.usable = not self._ended

    def send(self, request: bytes) -> asyncio.Future[Answer]:
        """Sends a request; the future has its answer, or RequestFailed. One at a time."""
        self._received = self._status = 0
        self._location = b""
        self._waiter = waiter = asyncio.get_running_loop().create_future()
        if not self.usable or self._transport is None:
            self.end("the connection was closed without an answer", stale=self.used)
            return waiter
        self.usable = False
        self._transport.write(request)
        return waiter

    def end(self, why: str, *, stale: bool = False) -> None:
        """Ends it at once; a request under way has the status that came, or fails for this reason."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None and self._status:
            self._answer(waiter)
        elif waiter is not None and not waiter.done():
            waiter.set_exception(RequestFailed(why, stale=stale))
        self.usable = False
        self._ended = True
        if self._transport is not None:
            self._transport.abort()

    # ---- what the transport tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Over TCP, that is; TLS may have to follow."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Part of an answer."""
        if not self._waits():  # nothing was asked, so there is no telling what it would be taken for
            self.end("unasked")
            return
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.end("the server switched to another protocol")
        except httptools.HttpParserError as e:
            self.end(f"the answer is no HTTP - {e}")
        else:
            if not self._waits():
                return
            if not self._status and self._received > LARGEST_HEAD:
                self.end(f"the answer has more than {LARGEST_HEAD} bytes of headers")
            elif self._received > LARGEST_HEAD + LARGEST_BODY:
                self.end("")

    def connection_lost(self, exc: Exception | None) -> None:
        """The end, from either side."""
        why = (
            f"the connection broke - {go_reason(exc)}"
            if exc
            else "the connection was closed without an answer"
        )
        self.end(why, stale=self.used and not self._received)
        if not self.lost.done():
            self.lost.set_result(None)

    # ---- what the parser tells

    def on_message_begin(self) -> None:
        """A second answer to one request is no answer."""
        if self._waiter is None:
            self.end("unasked")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Only one is of interest, and not in a trailer."""
        if not self._status and name.lower() == b"location":
            self._location = value

    def on_headers_complete(self) -> None:
        """The status stands, unless it is interim."""
        status = self._parser.get_status_code()
        if status >= 200:
            self._status = status
        else:
            self._location = b""

    def on_message_complete(self) -> None:
        """All was read."""
        waiter = self._waiter
        if not self._status or waiter is None:
            return
        self._waiter = None
        self._answer(waiter)
        transport = self._transport
        assert transport is not None
        self.used = True
        if self._parser.should_keep_alive() and not transport.get_write_buffer_size():
            self.usable = True
            self.idle_since = asyncio.get_running_loop().time()
        else:
            transport.abort()

    def _waits(self) -> bool:
        return self._waiter is not None

    def _answer(self, waiter: asyncio.Future[Answer]) -> None:
        if not waiter.done():
            waiter.set_result(Answer(self._status, self._location.decode("utf-8", "surrogateescape")))
