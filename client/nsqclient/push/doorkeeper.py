"""Keeps the door of a bridge: connections that ask for nothing do not stay, and noise does not fill the log."""

from __future__ import annotations

import asyncio
import logging
import ssl

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler

from nsqclient.errors import ConfigError
from nsqcore.addresses import HostPort

MOST_UNHEARD = 2000
"""Connections from which no request has come; when there is one more, the oldest of them goes."""


log = logging.getLogger("nsqclient.push.requests")


class _Quiet(logging.Logger):
    """For aiohttp: drops what it says of requests that are no HTTP; it would repeat them, tokens included.

    The rest goes to ``log``, which stays as its user has set it up.
    """

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - the name of the method that is overridden
        """Whether ``log`` is."""
        return log.isEnabledFor(level)

    def handle(self, record: logging.LogRecord) -> None:
        """Hands it on, unless it is noise."""
        if not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError)):
            log.handle(record)


quiet: logging.Logger = _Quiet(log.name)


class Doorkeeper:
    """Listens for an aiohttp runner, which itself waits for the first request of a connection without end."""

    def __init__(self, patience: float) -> None:
        """``patience`` is what a connection has for its first request, in seconds."""
        self.unheard: dict[asyncio.BaseProtocol, asyncio.TimerHandle] = {}
        """Oldest first."""
        self._patience = patience
        self._server: asyncio.Server | None = None

    async def listen(
        self, runner: web.AppRunner, address: tuple[str, int], tls: ssl.SSLContext | None
    ) -> str:
        """Serves; returns ``host:port`` with the real port. Raises OSError."""
        loop = asyncio.get_running_loop()
        make = runner.server
        if make is None:
            raise ConfigError("the runner is not set up")

        def admit() -> asyncio.Protocol:
            protocol = make()
            if len(self.unheard) >= MOST_UNHEARD:
                self._turn_out(next(iter(self.unheard)))
            self.unheard[protocol] = loop.call_later(self._patience, self._turn_out, protocol)
            return protocol

        self._server = await loop.create_server(
            admit,
            *address,
            ssl=tls,
            backlog=1024,
            ssl_handshake_timeout=self._patience if tls else None,
        )
        return str(HostPort(*self._server.sockets[0].getsockname()[:2]))

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Hears of each request."""
        timer = self.unheard.pop(request.protocol, None)
        if timer is not None:
            timer.cancel()
        return await handler(request)

    def close(self) -> None:
        """Listens no more; who has not asked for anything has to go."""
        if self._server is not None:
            self._server.close()
        for protocol in list(self.unheard):
            self._turn_out(protocol)

    def _turn_out(self, protocol: asyncio.BaseProtocol) -> None:
        self.unheard.pop(protocol).cancel()
        transport = getattr(protocol, "transport", None)
        if transport is not None:
            transport.abort()
