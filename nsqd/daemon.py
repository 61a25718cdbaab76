"""One nsqd: builds the parts, and owns the order in which they start and end."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from nsqcore import debug_api
from nsqcore.api_server import Api
from nsqcore.connections import Connections
from nsqcore.http_connection import HttpServer
from nsqcore.listeners import address_of, bind, bind_tcp, port_of, serve
from nsqcore.version import banner
from nsqd import checks
from nsqd.auth.servers import AuthServers
from nsqd.broker import Broker
from nsqd.client import Client
from nsqd.http.api import HttpApi, Node
from nsqd.http.config import ConfigApi
from nsqd.http.lane import HttpLane, Lanes
from nsqd.lookup.lookups import Lookups
from nsqd.memory import Memory
from nsqd.options import Options, TlsRequired
from nsqd.protocol.connection import Connection
from nsqd.statistics.statsd_report import resolved_prefix
from nsqd.storage.dirlock import DirLock

if TYPE_CHECKING:
    from nsqd.http.https import Handshakes
    from nsqd.layers.tls import Tls
    from nsqd.statistics.statsd import Statsd

log = logging.getLogger(__name__)

CLOSE_GRACE_S = 1.0
"""How long clients get at the end to take what is on its way to them."""
ANSWER_GRACE_S = 0.1
"""How long, when delivery has ended, consumers' answers are still taken: each is a duplicate less after the restart."""
GC_THRESHOLDS = (100_000, 50, 50)


class Nsqd:
    """A daemon for :func:`nsqcore.runner.run`; made inside a running loop."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.failed = asyncio.Event()
        self._lock: DirLock | None = None
        self._broker: Broker | None = None
        self._lookups: Lookups | None = None
        self._auth_servers: AuthServers | None = None
        self._connections: Connections[Connection] = Connections()
        self._memory = Memory()
        self._statsd: Statsd | None = None
        self._tls: Tls | None = None
        self._lanes: Lanes | None = None
        self._handshakes: Handshakes | None = None
        self._listeners: dict[str, socket.socket] = {}
        self._servers: list[asyncio.Server] = []
        self._http: list[HttpServer] = []
        self._serving = False
        self._stopping: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Serves when it returns; raises StartError.

        The sockets listen before the data folder is read: who connects meanwhile waits instead of being
        turned away.
        """
        options = self.options
        started = time.time()
        self._lock = DirLock(Path(options.data_path or "."))
        self._tls = tls = checks.check(options)
        log.info("%s", banner("nsqd"))
        log.info("ID: %d", options.node_id)
        tcp = self._listen("TCP", options.tcp_address)
        http = self._listen("HTTP", options.http_address) if options.http_address else None
        self._broker = broker = Broker(options)
        if tls is not None and tls.serves:
            broker.tls = tls
            if options.https_address:
                self._listen("HTTPS", options.https_address)
        broker.load()

        tcp_port = port_of(tcp)
        http_port = port_of(http) if http is not None else -1
        told_http_port = options.broadcast_http_port or max(http_port, 0)
        options.statsd_prefix = resolved_prefix(
            options.statsd_prefix, options.broadcast_address, told_http_port
        )
        self._lookups = lookups = Lookups(
            broker,
            hostname=socket.gethostname(),
            tcp_port=options.broadcast_tcp_port or max(tcp_port, 0),
            http_port=told_http_port,
        )
        lookups.connect(options.nsqlookupd_tcp_addresses)
        broker.listener = lookups

        if options.auth_http_addresses:
            self._auth_servers = AuthServers(options, None if tls is None else tls.outgoing)
        await self._serve("TCP", lambda: Connection(broker, self._connections, self._auth_servers))
        self._serving = True
        node = Node(self._clients, tcp_port, http_port, started, self._memory.figures)
        await self._serve_http(broker, lookups, node)
        if options.statsd_address:
            from nsqd.statistics.statsd import Statsd  # few need it

            self._statsd = Statsd(broker, options.statsd_prefix, self._memory.figures)
            self._statsd.start()
        # A broker holds millions of objects that are not garbage; walking over them costs more than the work.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        self._memory.watch()

    async def _serve_http(self, broker: Broker, lookups: Lookups, node: Node) -> None:
        config = ConfigApi(
            broker.options, broadcast_ports=lookups.broadcast_ports, connect_lookupds=lookups.connect
        )
        api = Api(
            [
                *HttpApi(broker, node).routes(),
                *config.endpoints(),
                *debug_api.endpoints("/debug/pprof/"),
                *debug_api.memory_endpoints(),
            ]
        )
        fallback = HttpServer(api.respond)
        self._lanes = lanes = Lanes(broker, fallback)
        self._http.append(fallback)
        lane = partial(HttpLane, lanes)
        https = self._listeners.get("HTTPS")
        if "HTTP" in self._listeners:
            await self._serve("HTTP", self._plain(https) if self._tls_alone else lane)
        if https is not None and broker.tls is not None:
            from nsqd.http.https import Handshakes, HttpsConnection

            self._handshakes = handshakes = Handshakes(broker.tls)
            await self._serve("HTTPS", lambda: HttpsConnection(handshakes, lane))

    def _clients(self) -> list[Client]:
        return [connection.client for connection in self._connections]

    @property
    def _tls_alone(self) -> bool:
        return self.options.tls_required is TlsRequired.YES

    def _plain(self, https: socket.socket | None) -> HttpServer:
        """What serves the plain port when it may tell nothing."""
        from nsqd.http.https import refusing

        server = HttpServer(refusing(port_of(https) if https is not None else 0))
        self._http.append(server)
        return server

    def _listen(self, word: str, address: str) -> socket.socket:
        # The original serves HTTPS at TCP addresses alone: what is none is a mistake there, and no path.
        self._listeners[word] = listener = bind_tcp(address) if word == "HTTPS" else bind(address)
        return listener

    async def _serve(self, word: str, protocol: Callable[[], asyncio.Protocol]) -> None:
        """Accepts at the socket that :meth:`_listen` made for ``word``."""
        listener = self._listeners[word]
        self._servers.append(await serve(protocol, listener))
        log.info("%s: listening on %s", word, address_of(listener))

    def reload(self) -> None:
        """Reads certificate, key and authorities again, as SIGHUP asks; with bad ones it goes on as before."""
        if self._tls is not None and self._stopping is None:
            self._tls.reload()

    async def stop(self) -> None:
        """Ends in order, everything stored. A second call waits for the first."""
        if self._stopping is None:
            self._stopping = asyncio.ensure_future(self._stop())
        await asyncio.shield(self._stopping)

    async def _stop(self) -> None:
        if self._serving:  # a start that failed has its FATAL line, and that is the last one
            for word, listener in self._listeners.items():
                log.info("%s: closing %s", word, address_of(listener))
        for server in self._servers:
            server.close()
        if self._lookups is not None:
            await self._lookups.close()
        if self._broker is not None:
            if self._broker.hold():
                await asyncio.sleep(ANSWER_GRACE_S)
            if not await self._broker.close():
                self.failed.set()
        if self._serving:
            for line in ("NSQ: stopping subsystems", "QUEUESCAN: closing", "LOOKUP: closing"):
                log.info(line)
        if self._statsd is not None:
            await self._statsd.close()
        await self._connections.close(CLOSE_GRACE_S)
        if self._auth_servers is not None:
            await self._auth_servers.close()
        if self._lanes is not None:
            self._lanes.close()
        if self._handshakes is not None:
            self._handshakes.close()
        for http in self._http:
            await http.close()
        if self._tls is not None:
            await self._tls.close()
        for listener in self._listeners.values():
            listener.close()
        if self._lock is not None:
            self._lock.release()
        self._memory.close()
        if self._serving:
            log.info("NSQ: bye")
