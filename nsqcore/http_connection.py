"""Connections of an HTTP API: requests one after the other, each limit enforced, each answer delivered.

Heads are read by :mod:`nsqcore.wire`, bodies by :mod:`nsqcore.http_request_body`; what to answer is decided by the
server's ``respond``. A silent connection costs neither a task nor a timer: one clock per server looks for those that
are too slow.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import cast

from nsqcore.addresses import format_peer
from nsqcore.http_exchange import Answer, Request, encode
from nsqcore.http_request_body import MOST_UNREAD, RequestBody
from nsqcore.last_words import close_behind, close_gently
from nsqcore.wire.http_head import MAX_HEAD, TOO_LONG, BadRequest, head_end, read_head, read_request_line

log = logging.getLogger(__name__)

SLOW_S = 60.0
"""A request must be complete this long after its first byte, and answers must be taken as soon as that."""
CLOSE_GRACE_S = 1.0
"""How long requests at work get when the server ends."""
_UNFULFILLED = Answer(417, b"", (("Connection", "close"),))


class HttpServer:
    """What all connections of a listener share; it makes them when it is called."""

    def __init__(self, respond: Callable[[Request], Awaitable[Answer]]) -> None:
        """``respond`` raises nothing but CancelledError."""
        self.respond = respond
        self.open: set[HttpConnection] = set()
        self._loop = asyncio.get_running_loop()
        self._ticking = False

    def __call__(self) -> HttpConnection:
        """The protocol of a connection, new or taken over from another protocol."""
        return HttpConnection(self)

    def add(self, connection: HttpConnection) -> None:
        """A connection began; while there is any, the clock ticks."""
        self.open.add(connection)
        if not self._ticking:
            self._ticking = True
            self._loop.call_later(1.0, self._tick)

    def _tick(self) -> None:
        self._ticking = bool(self.open)
        if self._ticking:
            now = self._loop.time()
            for connection in [c for c in self.open if c.since]:
                connection.sweep(now)
            self._loop.call_later(1.0, self._tick)

    async def close(self) -> None:
        """Closes all connections; requests at work get a moment, clients that do not read get none."""
        tasks = {c.task for c in list(self.open) if c.task is not None}
        for connection in list(self.open):
            connection.close()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=CLOSE_GRACE_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        for connection in list(self.open):
            connection.cut()


class HttpConnection(asyncio.Protocol):
    """One connection."""

    __slots__ = (
        "_body",
        "_closing",
        "_gone",
        "_heard_all",
        "_kept",
        "_line_read",
        "_loop",
        "_over",
        "_paused",
        "_peer",
        "_scanned",
        "_server",
        "_transport",
        "_writable",
        "since",
        "task",
    )

    def __init__(self, server: HttpServer) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        # A head that is not complete, or what was pipelined behind the request at work.
        self._kept = bytearray()
        self._scanned = 0  # bytes of it in which no head ends
        self._line_read = False  # whether its first line was found to be one
        self._body: RequestBody | None = None  # of the request at work
        self._writable: asyncio.Future[None] | None = None  # pending while the client takes no answers
        self._closing = False  # nothing is read behind the request at work
        self._over = False  # what still comes is thrown away
        self._gone = False
        self._heard_all = False  # the client sends no more
        self._paused = False
        self.since = 0.0
        """When a wait for the client began, 0 for none; it is swept away when it lasts."""
        self.task: asyncio.Task[None] | None = None
        """The request at work."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected, or was handed over."""
        self._transport = cast(asyncio.Transport, transport)
        self._peer = format_peer(transport.get_extra_info("peername"))
        self._server.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone; a handler at work goes on, but for one that waits for the client."""
        self._gone = self._over = True
        self._server.open.discard(self)
        self.since = 0.0
        if self._body is not None:
            self._body.fail("unexpected EOF")
            self._body.hang_up()
        self.resume_writing()

    def eof_received(self) -> bool:
        """The client sends no more; what it has sent whole is answered first."""
        self._heard_all = True
        if self._body is not None:
            self._body.fail("unexpected EOF")
            self._body.hang_up()
        if self._over:
            close_behind(self._transport)
        elif self.task is None:
            if self._kept:
                self._refuse(BadRequest("unexpected EOF"))
            else:
                close_behind(self._transport)
        return self._transport.get_extra_info("sslcontext") is None  # TLS can't be half-closed

    def sweep(self, now: float) -> None:
        """Ends a client that does not get its request finished, or does not take its answers."""
        if now - self.since > SLOW_S:
            self._transport.abort()

    def close(self) -> None:
        """Ends the connection behind the request at work."""
        self._closing = True
        if self._body is not None:
            self._body.hang_up()
        if self.task is None:
            self._transport.close()

    def cut(self) -> None:
        """Ends the connection now; the system still delivers what it has taken."""
        if self._transport.get_write_buffer_size():
            self._transport.abort()
        else:
            self._transport.close()

    # -- reading -----------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Takes what came: of the body of the request at work, or of the next head."""
        if self._over:
            return
        if self._body is not None and not self._body.ended:
            data = self._body.feed(data)
            self.pace()
            if not data:
                return
        self._kept += data
        if self.task is None:
            self._begin()
        else:
            self.pace()

    def pace(self) -> None:
        """Reads on, or not, as much as is kept already."""
        body = self._body
        full = body is not None and (body.full or len(self._kept) > MOST_UNREAD)
        if full != self._paused and not self._gone and not self._transport.is_closing():
            self._paused = full
            (self._transport.pause_reading if full else self._transport.resume_reading)()

    def _begin(self) -> None:
        """Begins with the next request if its head is there."""
        if not self._scanned and self._kept.startswith((b"\r", b"\n")):
            self._kept = self._kept.lstrip(b"\r\n")  # some clients send a line end behind a body
        kept = self._kept
        if not kept:
            self.since = 0.0
            return
        if not self.since:
            self.since = self._loop.time()
        end = head_end(kept, self._scanned)
        try:
            if end < 0 and len(kept) <= MAX_HEAD:
                if not self._line_read:
                    line_end = kept.find(b"\n", self._scanned)
                    self._line_read = line_end >= 0
                    if self._line_read:
                        read_request_line(bytes(kept[:line_end]))
                self._scanned = len(kept)
                return
            if end < 0 or end > MAX_HEAD:
                raise TOO_LONG
            head = read_head(bytes(kept[:end]))
        except BadRequest as e:
            self._refuse(e)
            return
        rest = bytes(kept[end:])
        self._kept, self._scanned, self._line_read = bytearray(), 0, False
        self._body = body = RequestBody(self, head.length, head.expects_continue)
        if rest and not body.ended:
            rest = body.feed(rest)
        self._kept += rest
        if self._heard_all:
            body.fail("unexpected EOF")
        if body.ended:
            self.since = 0.0
        request = Request(head, body, self._peer)
        self.task = self._loop.create_task(self._serve(request, body), name="HTTP request")
        self.pace()

    def _refuse(self, error: BadRequest) -> None:
        log.info("HTTP: bad request - %s (%s)", error, self._peer)
        self._kept.clear()
        self._transport.write(error.answer)
        self._end()

    def _end(self) -> None:
        """Closes behind the last answer."""
        self._over = True
        self.since = 0.0
        if self._heard_all:
            close_behind(self._transport)
        else:
            self._resume()
            close_gently(self._transport)

    def _resume(self) -> None:
        if self._paused and not self._gone:
            self._paused = False
            self._transport.resume_reading()

    # -- answering ---------------------------------------------------------------------------------

    def go_on(self) -> None:
        """Asks the client for the body that it keeps back."""
        if not self._gone:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def body_ended(self) -> None:
        """The client owes nothing for now."""
        self.since = 0.0

    async def _serve(self, request: Request, body: RequestBody) -> None:
        head = request.head
        response = _UNFULFILLED if head.expects_more else await self._server.respond(request)
        keep = head.keep_alive and not head.expects_more and not self._closing
        if keep and not body.ended:
            left = body.left
            if body.waits or (left is not None and left > MOST_UNREAD):
                keep = False
            elif left is None:
                keep = await body.drain(MOST_UNREAD)
        keep = keep and not body.broken
        if self._gone:
            return
        self._transport.write(
            encode(
                response,
                minor=head.minor,
                keep_alive=keep or head.expects_more,
                without_body=head.method == "HEAD",
            )
        )
        if keep and not body.ended:
            keep = await body.drain(MOST_UNREAD)
        if self._writable is not None:
            self.since = self._loop.time()
            await self._writable
            self.since = 0.0
        if not self._transport.is_closing():
            self._served(keep)

    def _served(self, keep: bool) -> None:
        """The request at work has its answer: the next one, or the end."""
        self.task = self._body = None
        if not keep or self._closing:
            self._end()
            return
        self._begin()
        if self.task is None:
            self.pace()
            if self._heard_all and not self._over:
                self.eof_received()

    def pause_writing(self) -> None:
        """The client does not take its answers: its next request waits."""
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        """It caught up, or is gone."""
        if self._writable is not None:
            self._writable.set_result(None)
            self._writable = None
