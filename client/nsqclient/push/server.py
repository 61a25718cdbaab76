"""A bridge: its listeners, and the order in which things start and end."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from collections.abc import Awaitable, Callable
from importlib.resources import files
from types import TracebackType
from typing import TYPE_CHECKING, Self

from aiohttp import web

from nsqclient.durations import to_seconds
from nsqclient.lifecycle import Lifecycle
from nsqclient.push.counters import Counters, page
from nsqclient.push.doorkeeper import Doorkeeper, quiet
from nsqclient.push.feeds import NsqSource
from nsqclient.push.grants import Authenticator
from nsqclient.push.hub import Hub
from nsqclient.push.protocol import Close
from nsqclient.push.settings import Settings
from nsqclient.push.sockets import Sockets
from nsqcore.addresses import HostPort, parse_host_port

if TYPE_CHECKING:
    from nsqclient.connection.endpoint import Endpoint
    from nsqclient.connection.options import ConnectionOptions
    from nsqclient.discovery.targets import Target

log = logging.getLogger(__name__)

_Page = Callable[[web.Request], Awaitable[web.StreamResponse]]
JAVASCRIPT = "text/javascript"
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'self'; connect-src 'self' ws: wss:; frame-ancestors 'none'",
    "Cache-Control": "no-cache",
}


class Bridge:
    """Connects browsers to NSQ; use it with ``async with``.

    ::

        async with Bridge("127.0.0.1:4150", HttpAuth("127.0.0.1:4181"), address="0.0.0.0:4180") as bridge:
            await bridge.wait_closed()

    Browsers find the WebSocket at ``/ws`` and the client at ``/nsq.js``. ``admin_address`` is another
    listener, not for browsers, with ``/ping``, ``/health``, ``/metrics`` and ``/stats``. ``demo`` adds a page to try
    things at ``/``. Nodes share nothing: run as many as you like behind any load balancer.
    """

    def __init__(
        self,
        target: Target | Endpoint,
        auth: Authenticator,
        *,
        settings: Settings | None = None,
        options: ConnectionOptions | None = None,
        address: str = "127.0.0.1:4180",
        admin_address: str = "",
        tls: ssl.SSLContext | None = None,
        demo: bool = False,
    ) -> None:
        """Nothing connects or listens here. Port 0 is a free one; ``tls`` makes it ``wss``.

        An Endpoint brings its ``options``. Raises ConfigError for what does not go together.
        """
        self.settings: Settings = settings or Settings()
        self.counters: Counters = Counters()
        self.hub: Hub = Hub(NsqSource(target, options, self.settings), self.settings, self.counters)
        self._sockets = Sockets(self.hub, auth)
        self._auth = auth
        self.address: str = address
        """``host:port`` where browsers connect; from the start on with the real port."""
        self.admin_address: str = admin_address
        """``host:port`` of health and metrics, likewise; empty when there is none."""
        self._listen = parse_host_port(address)
        self._listen_admin = parse_host_port(admin_address) if admin_address else None
        self._tls = tls
        self._life = Lifecycle("bridge")
        self._closed = asyncio.Event()
        self._static = files("nsqclient.push") / "static"
        self._browsers = _runner(self._browser_routes(demo), to_seconds(self.settings.shutdown_timeout))
        self._doorkeeper = Doorkeeper(to_seconds(self.settings.auth_timeout))
        self._browsers.app.middlewares.append(self._doorkeeper.middleware)
        self._admin = _runner(
            [
                web.get("/ping", self._ping),
                web.get("/health", self._health),
                web.get("/metrics", self._metrics),
                web.get("/stats", self._stats),
            ],
            1.0,
        )

    def _browser_routes(self, demo: bool) -> list[web.RouteDef]:
        anywhere = {
            "Access-Control-Allow-Origin": "*"
        }  # modules are fetched with CORS; there is no secret in it
        script = self._file("nsq.js", JAVASCRIPT, **anywhere)
        routes = [web.get("/ws", self._sockets.serve), web.get("/nsq.js", script)]
        if demo:
            routes += [
                web.get("/", self._file("demo.html", "text/html")),
                web.get("/demo.js", self._file("demo.js", JAVASCRIPT)),
                web.get("/demo.css", self._file("demo.css", "text/css")),
            ]
        return routes

    # ---- its life

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Serves when it returns; raises OSError when an address can't be had, and Closed if it was used before."""
        self._life.open()
        try:
            self.hub.start()
            await self._browsers.setup()
            self.address = await self._doorkeeper.listen(self._browsers, self._listen, self._tls)
            if self._listen_admin is not None:
                await self._admin.setup()
                await web.TCPSite(self._admin, *self._listen_admin).start()
                self.admin_address = _first_address(self._admin)
        except BaseException:
            await self.close()
            raise
        log.info("WS: listening on %s", self.address)
        if self.admin_address:
            log.info("HTTP: listening on %s", self.admin_address)

    async def wait_closed(self) -> None:
        """Until it is closed."""
        await self._closed.wait()

    async def close(self) -> None:
        """Ends in order; twice is fine.

        No connection is taken any more; browsers are told to go elsewhere (1001), and what they hold goes
        back to nsqd; then the topics are left.
        """
        await self._life.close(self._close, lambda: None)

    async def _close(self) -> None:
        self._sockets.draining = True
        self._doorkeeper.close()
        for session in list(self.hub.sessions):
            session.close(Close.GOING_AWAY, "the bridge is shut down")
        await self._browsers.cleanup()  # waits for the sockets, then cancels what is left
        await self.hub.close()
        await self._auth.close()
        await self._admin.cleanup()
        self._closed.set()

    # ---- pages

    def _file(self, name: str, content_type: str, **headers: str) -> _Page:
        text = (self._static / name).read_text("utf-8")

        async def page(request: web.Request) -> web.Response:
            return web.Response(
                text=text,
                content_type=content_type,
                charset="utf-8",
                headers=SECURITY_HEADERS | headers,
            )

        return page

    async def _ping(self, request: web.Request) -> web.Response:
        """200 while the process can answer at all: whether to start it anew."""
        return web.Response(text="OK")

    async def _health(self, request: web.Request) -> web.Response:
        """200 while all user topics are received, 503 else, and while it ends: whether to send browsers here."""
        missing = [feed.topic for feed in self.hub.user_feeds if not feed.connected]
        if self._sockets.draining:
            return web.Response(status=503, text="NOK - going away\n")
        if missing:
            return web.Response(status=503, text=f"NOK - not received: {', '.join(missing)}\n")
        return web.Response(text="OK\n")

    def _gauges(self) -> dict[str, float]:
        hub = self.hub
        return {
            "connections": self._sockets.open,
            "users": len(hub.users),
            "feeds": len(hub.feeds) + len(hub.user_feeds),
            "outstanding": sum(len(session.outstanding) for session in hub.sessions),
            "outstanding_bytes": sum(session.outstanding_bytes for session in hub.sessions),
        }

    async def _metrics(self, request: web.Request) -> web.Response:
        return web.Response(text=page(self.counters, self._gauges()), content_type="text/plain")

    async def _stats(self, request: web.Request) -> web.Response:
        """What is received, and by how many; no names of users."""
        hub = self.hub
        feeds = [
            {
                "topic": feed.topic,
                "channel": feed.channel,
                "kind": feed.kind,
                "connected": feed.connected,
                "subscribers": len(feed.sessions),
                "held": len(feed.desk.held),
            }
            for feed in (*hub.user_feeds, *hub.feeds.values())
        ]
        text = json.dumps({"node": self.settings.node, **self._gauges(), "topics": feeds})
        return web.Response(text=text, content_type="application/json")


def _runner(routes: list[web.RouteDef], patience: float) -> web.AppRunner:
    app = web.Application()
    app.add_routes(routes)
    # no access log: a query may hold a token
    return web.AppRunner(app, access_log=None, logger=quiet, shutdown_timeout=patience)


def _first_address(runner: web.AppRunner) -> str:
    host, port = runner.addresses[0][:2]
    return str(HostPort(host, port))
