"""One nsqd's socket, and all of them together."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import cast

from nsqcore.addresses import format_peer
from nsqcore.golang import go_reason
from nsqlookupd.state import Session

log = logging.getLogger(__name__)

MAGIC_DEADLINE_S = 60.0
"""How long a connection may stay without having said what it speaks."""

LINGER_S = 1.0
"""How long we listen on after a refusal. Closing at once would reset a connection that has more to say,
and the reset can overtake the refusal on its way to the client."""

KEEP_ALIVE_S = 15
"""Silence before the system asks whether the peer is still there, and between its questions."""


class Connection(asyncio.Protocol):
    """Drives a session with what arrives, and sends what it answers.

    While a client reads its answers too slowly nothing more is taken from it.
    """

    def __init__(self, group: Connections, make_session: Callable[[str], Session]) -> None:
        self._group = group
        self._make_session = make_session
        self._timer: asyncio.TimerHandle | None = None
        self._lingering = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The session begins."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one without saying so
        self.remote = format_peer(transport.get_extra_info("peername"))
        self._session = self._make_session(self.remote)
        log.info("TCP: new client(%s)", self.remote)
        _keep_alive(transport.get_extra_info("socket"))
        self._timer = asyncio.get_running_loop().call_later(MAGIC_DEADLINE_S, self._too_silent)
        self._group.add(self)

    def data_received(self, data: bytes) -> None:
        """The session takes it; after a refusal it is dropped."""
        if self._lingering:
            return
        answers = self._session.feed(data)
        if answers:
            self._transport.write(answers)
        if self._session.over:
            self._linger()
        elif self._session.greeted:
            self._set_timer(None)

    def eof_received(self) -> None:
        """The client sends no more; the transport closes once the last answer is out."""
        answers = self._session.feed_eof()
        if answers:
            self._transport.write(answers)

    def pause_writing(self) -> None:
        """The client reads too slowly."""
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is forgotten."""
        self._set_timer(None)
        if self._session.greeted:
            log.info("PROTOCOL(V1): [%s] exiting ioloop", self.remote)
        self._session.end()
        if self._session.died_of:
            log.error("client(%s) - %s", self.remote, self._session.died_of)
        elif exc is not None:
            log.error("client(%s) - %s", self.remote, go_reason(exc))
        elif self._session.greeted:
            log.info("client(%s) - EOF", self.remote)
        self._group.discard(self)

    def close(self) -> None:
        """Closes once the answers owed are out."""
        self._transport.close()

    def abort(self) -> None:
        """Closes at once."""
        self._transport.abort()

    def _linger(self) -> None:
        self._lingering = True
        self._set_timer(asyncio.get_running_loop().call_later(LINGER_S, self._transport.abort))
        self._transport.write_eof()

    def _too_silent(self) -> None:
        log.error("failed to read protocol version - client(%s) i/o timeout", self.remote)
        self._transport.abort()

    def _set_timer(self, timer: asyncio.TimerHandle | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = timer


class Connections:
    """The connections that are open now."""

    def __init__(self) -> None:
        self._open: set[Connection] = set()
        self._closing = False
        self._none_left = asyncio.Event()
        self._none_left.set()

    def add(self, connection: Connection) -> None:
        """A connection was made; it is closed again if all of them are being closed."""
        self._open.add(connection)
        self._none_left.clear()
        if self._closing:
            connection.close()

    def discard(self, connection: Connection) -> None:
        """A connection was lost."""
        self._open.discard(connection)
        if not self._open:
            self._none_left.set()

    async def close(self, grace: float) -> None:
        """Closes all, and returns when they are gone: cut off after ``grace`` seconds if need be."""
        self._closing = True
        for connection in list(self._open):
            connection.close()
        try:
            await asyncio.wait_for(self._none_left.wait(), grace)
        except TimeoutError:
            for connection in list(self._open):
                connection.abort()
            await self._none_left.wait()


def _keep_alive(sock: socket.socket) -> None:
    """Makes the system notice a peer that vanished without a word, after some two and a half minutes."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name in ("TCP_KEEPIDLE", "TCP_KEEPALIVE", "TCP_KEEPINTVL"):  # the middle one is macOS's first
            option = getattr(socket, name, None)
            if option is not None:
                sock.setsockopt(socket.IPPROTO_TCP, option, KEEP_ALIVE_S)
    except OSError:
        pass  # it is gone already, which some systems say here; the transport will say it too
