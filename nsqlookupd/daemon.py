"""One nsqlookupd: its listeners, and the order in which things start and end."""

from __future__ import annotations

import asyncio
import logging
import socket
import time

from nsqcore import debug_api
from nsqcore.api_server import Api
from nsqcore.connections import Connections
from nsqcore.golang import go_json
from nsqcore.http_connection import HttpServer
from nsqcore.listeners import address_of, bind_tcp, serve
from nsqcore.version import NSQ_VERSION, banner
from nsqlookupd.connection import Connection
from nsqlookupd.http_api import HttpApi
from nsqlookupd.options import Options
from nsqlookupd.registry import Registry
from nsqlookupd.state import Session

log = logging.getLogger(__name__)

CLOSE_GRACE_S = 1.0
"""How long clients get at the end to take the answers that are on their way."""


class NsqLookupd:
    """A daemon for :func:`nsqcore.runner.run`; made inside a running loop."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.failed = asyncio.Event()
        self.registry = Registry(
            inactive_after=options.inactive_producer_timeout,
            tombstone_for=options.tombstone_lifetime,
            clock=time.monotonic_ns,
        )
        self._connections: Connections[Connection] = Connections()
        self._tcp_listener: socket.socket | None = None
        self._http_listener: socket.socket | None = None
        self._tcp_server: asyncio.Server | None = None
        self._http_server: HttpServer | None = None
        self._http_accepting: asyncio.Server | None = None
        self._stopping: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Serves TCP, then HTTP; raises StartError when an address can't be had."""
        log.info("%s", banner("nsqlookupd"))
        self._tcp_listener = bind_tcp(self.options.tcp_address)
        self._http_listener = bind_tcp(self.options.http_address)
        greeting = go_json(
            {
                "broadcast_address": self.options.broadcast_address,
                "hostname": socket.gethostname(),
                "http_port": self._http_listener.getsockname()[1],
                "tcp_port": self._tcp_listener.getsockname()[1],
                "version": NSQ_VERSION,
            }
        )

        def make_session(remote: str) -> Session:
            return Session(self.registry, remote, greeting)

        self._tcp_server = await serve(
            lambda: Connection(self._connections, make_session), self._tcp_listener
        )
        log.info("TCP: listening on %s", address_of(self._tcp_listener))

        self._http_server = HttpServer(
            Api([*HttpApi(self.registry).routes(), *debug_api.endpoints("/debug/pprof")]).respond
        )
        self._http_accepting = await serve(self._http_server, self._http_listener)
        log.info("HTTP: listening on %s", address_of(self._http_listener))

    async def stop(self) -> None:
        """Closes TCP, then HTTP; bounded in time whatever the clients do. A second call waits for the first."""
        if self._stopping is None:
            self._stopping = asyncio.ensure_future(self._stop())
        await asyncio.shield(self._stopping)

    async def _stop(self) -> None:
        if self._tcp_listener is not None:
            if self._tcp_server is not None:  # a start that failed ends with its FATAL line
                log.info("TCP: closing %s", address_of(self._tcp_listener))
                self._tcp_server.close()
            self._tcp_listener.close()
        await self._connections.close(CLOSE_GRACE_S)
        if self._http_listener is not None:
            if self._http_accepting is not None:
                log.info("HTTP: closing %s", address_of(self._http_listener))
                self._http_accepting.close()
            if self._http_server is not None:
                await self._http_server.close()
            self._http_listener.close()
