"""One nsqd's socket."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import cast

from nsqcore.addresses import format_peer
from nsqcore.connections import Connections
from nsqcore.golang import go_reason
from nsqcore.last_words import close_gently
from nsqlookupd.state import Session

log = logging.getLogger(__name__)

MAGIC_DEADLINE_S = 60.0
"""How long a connection may stay without having said what it speaks."""


class Connection(asyncio.Protocol):
    """Drives a session with what arrives, and sends what it answers.

    While a client reads its answers too slowly nothing more is taken from it.
    """

    def __init__(self, connections: Connections[Connection], make_session: Callable[[str], Session]) -> None:
        """``connections`` holds it as long as it lives."""
        self._connections = connections
        self._make_session = make_session
        self._refused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The session begins."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one without saying so
        self.remote = format_peer(transport.get_extra_info("peername"))
        self._session = self._make_session(self.remote)
        log.info("TCP: new client(%s)", self.remote)
        self._patience = asyncio.get_running_loop().call_later(MAGIC_DEADLINE_S, self._too_silent)
        self._connections.add(self)

    def data_received(self, data: bytes) -> None:
        """The session takes it; after a refusal it is dropped."""
        if self._refused:
            return
        answers = self._session.feed(data)
        if answers:
            self._transport.write(answers)
        if self._session.over:
            self._refused = True
            close_gently(self._transport)
        if self._session.over or self._session.greeted:
            self._patience.cancel()

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
        self._patience.cancel()
        if self._session.greeted:
            log.info("PROTOCOL(V1): [%s] exiting ioloop", self.remote)
        self._session.end()
        if self._session.died_of:
            log.error("client(%s) - %s", self.remote, self._session.died_of)
        elif exc is not None:
            log.error("client(%s) - %s", self.remote, go_reason(exc))
        elif self._session.greeted:
            log.info("client(%s) - EOF", self.remote)
        self._connections.discard(self)

    def close(self) -> None:
        """Closes once the answers owed are out."""
        self._transport.close()

    def cut(self) -> None:
        """Closes at once."""
        self._transport.abort()

    def _too_silent(self) -> None:
        log.error("failed to read protocol version - client(%s) i/o timeout", self.remote)
        self._transport.abort()
