"""A small HTTP/1.1 client for requests whose answers nobody reads: connections that are kept, limits, redirects.

It exists because a general client costs several times as much CPU for a request as everything else that happens to
a message (aiohttp's 78 us, beside 21 us for a message from nsqd to its FIN with this one; the original takes 70 to 80),
and does not bound what a hostile server may send.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Collection
from contextlib import suppress

from nsqclient.tools.to_http.connection import Answer, Connection, RequestFailed
from nsqclient.tools.to_http.requests import Request
from nsqclient.tools.to_http.urls import Origin, redacted, redirected
from nsqcore.golang import go_reason

MOST_REDIRECTS = 10
REDIRECTS = frozenset((301, 302, 303, 307, 308))
LONGEST_IDLE = 90.0
"""Seconds after which a connection is not used again: something between here and there may have forgotten it."""
STALE_WITHIN = 1.0
"""Seconds in which a kept connection must end, for it to have been closed before it saw the request."""
CLOSE_TIMEOUT = 1.0
"""Seconds that ended connections are waited for."""

log = logging.getLogger(__name__)


class Client:
    """Sends requests; for one event loop.

    As many connections are open as requests are under way at a time; those to ``origins`` are kept for the next.
    """

    def __init__(
        self,
        origins: Collection[Origin],
        *,
        connect_timeout: float,
        request_timeout: float,
    ) -> None:
        """Both in seconds: for a TCP connection to come about, and for a request from its start to its answer, with
        all that takes: connecting, a handshake, redirects."""
        self._idle: dict[Origin, list[Connection]] = {origin: [] for origin in origins}
        self._connect_timeout = connect_timeout
        self._request_timeout = request_timeout
        self._under_way: dict[Connection, float] = {}
        """When each times out."""
        self._timer: asyncio.TimerHandle | None = None
        self.open: set[Connection] = set()
        """The connections there are."""
        self._tls: ssl.SSLContext | None = None
        self._warned: set[str] = set()

    async def send(self, request: Request) -> Answer:
        """The answer, after redirects. Raises RequestFailed; being cancelled ends the connection."""
        end = asyncio.get_running_loop().time() + self._request_timeout
        answer = await self._send(request, end)
        if answer.status not in REDIRECTS or not answer.location:
            return answer
        if request.body is not None and answer.status in (301, 302):
            self._warn(request, answer)
        return await self._follow(request, answer, end)

    async def close(self) -> None:
        """Ends all connections, those in use included."""
        if self._timer is not None:
            self._timer.cancel()
        for connection in self.open:
            connection.end("the client is closed")
        ends = [connection.lost for connection in self.open]
        if ends:
            await asyncio.wait(ends, timeout=CLOSE_TIMEOUT)

    # ---- requests

    async def _send(self, request: Request, end: float) -> Answer:
        origin, data = request.url.origin, request.encode()
        connection = self._kept(origin)
        if connection is not None:
            now = asyncio.get_running_loop().time
            started = now()
            try:
                return await self._exchange(origin, connection, data, end)
            except RequestFailed as e:
                if not e.stale or now() - started > STALE_WITHIN:
                    raise
        # The server had closed the kept one, most likely before it saw the request. A request it saw nevertheless
        # comes twice, as after any failure.
        return await self._exchange(origin, await self._connect(origin, end), data, end)

    async def _exchange(self, origin: Origin, connection: Connection, data: bytes, end: float) -> Answer:
        self._under_way[connection] = end
        if self._timer is None or end < self._timer.when():
            self._wake_at(end)
        try:
            answer = await connection.send(data)
        except BaseException:
            connection.end("unused")
            raise
        finally:
            del self._under_way[connection]
        if connection.usable:
            kept = self._idle.get(origin)
            if kept is None:
                connection.end("unused")
            else:
                kept.append(connection)
        return answer

    def _wake_at(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(when, self._time_out)

    def _time_out(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        for connection in [connection for connection, end in self._under_way.items() if end <= now]:
            connection.end(f"no answer within {self._request_timeout:g} s")
        left = [end for end in self._under_way.values() if end > now]
        if left:
            self._wake_at(min(left))

    # ---- redirects

    async def _follow(self, request: Request, answer: Answer, end: float) -> Answer:
        for _ in range(MOST_REDIRECTS):
            try:
                url = redirected(request.url, answer.location)
            except ValueError as e:
                raise RequestFailed(f"redirected to {answer.location[:200]!r} - {e}") from None
            request = request.redirected(answer.status, url)
            answer = await self._send(request, end)
            if answer.status not in REDIRECTS or not answer.location:
                return answer
        raise RequestFailed(f"stopped after {MOST_REDIRECTS} redirects")

    def _warn(self, request: Request, answer: Answer) -> None:
        text = request.url.text
        if text not in self._warned:
            self._warned.add(text)
            log.warning(
                "%s answers %d: what it points to is asked with GET, without the message, and %s",
                redacted(text),
                answer.status,
                f"its answer counts; give the address that takes messages (redirected to {answer.location[:200]!r})",
            )

    # ---- connections

    def _kept(self, origin: Origin) -> Connection | None:
        kept = self._idle.get(origin)
        while kept:
            connection = kept.pop()
            if connection.usable:
                if asyncio.get_running_loop().time() - connection.idle_since < LONGEST_IDLE:
                    return connection
                connection.end("unused")
        return None

    async def _connect(self, origin: Origin, end: float) -> Connection:
        """It has until ``end``, on the loop's clock. Raises RequestFailed."""
        loop = asyncio.get_running_loop()
        connection: Connection | None = None
        try:
            async with asyncio.timeout_at(min(loop.time() + self._connect_timeout, end)):
                transport, connection = await loop.create_connection(Connection, origin.host, origin.port)
            _keep_alive(transport.get_extra_info("socket"))
            if origin.tls:
                async with asyncio.timeout_at(end):
                    secure = await loop.start_tls(
                        transport, connection, self._context(), server_hostname=origin.host
                    )
                if secure is None:
                    raise ConnectionResetError(errno.ECONNRESET, "connection reset by peer")
                transport = secure
        except OSError as e:  # TimeoutError and SSLError are among them
            if connection is not None:
                connection.end("unused")
            raise RequestFailed(f"dial tcp {origin.host}:{origin.port}: {_reason(e)}") from None
        except BaseException:
            if connection is not None:
                connection.end("unused")
            raise
        connection.ready(transport)
        self.open.add(connection)
        connection.lost.add_done_callback(lambda _: self.open.discard(connection))
        return connection

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"tls: {error.reason or error}"
    return go_reason(error)


def _keep_alive(sock: socket.socket | None) -> None:
    """Has the system find out about peers that are gone."""
    if sock is not None:
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
