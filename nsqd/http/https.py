"""The HTTP API over TLS, and what the plain port answers when TLS is required (nsqd reference, 5.7)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from nsqcore.addresses import format_peer
from nsqcore.http_exchange import Answer, Request, answer
from nsqcore.last_words import close_gently
from nsqcore.layers.codec import Tls
from nsqcore.layers.tls_codec import NotTls
from nsqcore.layers.transport import Layers

log = logging.getLogger(__name__)

HANDSHAKE_S = 5.0
"""For the whole handshake. The original's HTTPS waits for ever."""
_NO_HTTPS_HERE = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
_METHODS = (b"GET /", b"HEAD ", b"POST ", b"PUT /", b"OPTIO")


class Handshakes:
    """The HTTPS connections whose handshake is not done, so that an exit can end them."""

    def __init__(self, tls: Tls) -> None:
        self.tls = tls
        self.open: set[HttpsConnection] = set()

    def close(self) -> None:
        """Ends them all."""
        for connection in list(self.open):
            connection.abort()


class HttpsConnection(Layers):
    """TLS under an HTTP protocol, which hears of the connection when the handshake is done."""

    def __init__(self, handshakes: Handshakes, protocol: Callable[[], asyncio.Protocol]) -> None:
        """``protocol`` makes the protocol above."""
        super().__init__(protocol())
        self._handshakes = handshakes

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected: it has to begin TLS."""
        super().connection_made(transport)
        self._handshakes.open.add(self)
        self.handshake(self._handshakes.tls.codec(), HANDSHAKE_S, self._handshake_done)

    def _handshake_done(self, error: Exception | None) -> None:
        self._handshakes.open.discard(self)
        if error is None:
            self._protocol.connection_made(self)
            return
        peer = format_peer(self.get_extra_info("peername"))
        log.warning("http: TLS handshake error from %s: %s", peer, error)
        if isinstance(error, NotTls) and error.head.startswith(_METHODS):
            self.write(_NO_HTTPS_HERE)
        close_gently(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self._handshakes.open.discard(self)
        super().connection_lost(exc)


def refusing(https_port: int) -> Callable[[Request], Awaitable[Answer]]:
    """Answers every request with 403 and where to ask instead; 0 stands for no such port."""
    body = b'{"message": "TLS_REQUIRED", "https_port": %d}' % https_port
    refusal = answer(body, 403)

    async def refuse(_: Request) -> Answer:
        return refusal

    return refuse
