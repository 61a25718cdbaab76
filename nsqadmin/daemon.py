"""One nsqadmin: builds its parts, serves them below the base path, starts and stops in order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web
from aiohttp.web_response import ContentCoding

from nsqadmin.api.config import ConfigApi
from nsqadmin.api.http_api import HttpApi
from nsqadmin.changes.notify import Notifier
from nsqadmin.checks import check
from nsqadmin.cluster.cluster import Cluster, Unknown, Unreachable
from nsqadmin.history.sampler import Sampler
from nsqadmin.options import Options
from nsqadmin.pages.action_pages import ActionPages
from nsqadmin.pages.events import Events
from nsqadmin.pages.pages import Pages
from nsqadmin.web.assets import Assets
from nsqadmin.web.guard import Guard
from nsqadmin.web.html import POLICY, Html
from nsqadmin.web.http_server import Body, Route, listen, make_runner, refusal
from nsqadmin.web.nearby import Nearby
from nsqcore.errors import HttpError
from nsqcore.http_client import JsonClient
from nsqcore.version import banner

log = logging.getLogger(__name__)

_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_WORTH_COMPRESSING = 1024
"""Bytes; below it the answer fits a packet anyway."""


class NsqAdmin:
    """The web server over one cluster; :func:`nsqcore.runner.run` runs it."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.failed = asyncio.Event()
        self.address = ""
        """Where it listens, once it does."""
        self._client: JsonClient | None = None
        self._notifier: Notifier | None = None
        self._runner: web.AppRunner | None = None
        self._sampler: Sampler | None = None
        self._events: Events | None = None

    async def start(self) -> None:
        """Serves when it returns; raises StartError in the original's words when it can't."""
        options = self.options
        checked = await check(options)
        log.info("%s", banner("nsqadmin"))
        tls = checked.tls
        self._client = JsonClient(
            connect_timeout=options.http_client_connect_timeout.seconds,
            request_timeout=options.http_client_request_timeout.seconds,
            max_connections=0,
            tls=None if tls is None else lambda: tls,
        )
        self._notifier = notifier = Notifier(
            options.notification_http_endpoint,
            connect_timeout=options.http_client_connect_timeout.seconds,
            request_timeout=options.http_client_request_timeout.seconds,
        )
        cluster = Cluster(self._client, lookupds=checked.lookupds, nsqds=checked.nsqds)
        self._sampler = sampler = Sampler(
            cluster, interval=options.sample_interval.seconds, history=options.history.seconds
        )
        self._events = events = Events(sampler)
        html = Html(options.base_path, Guard(options.admin_users, options.acl_http_header))
        routes = [
            *HttpApi(cluster, html.guard, notifier).routes(),
            *Pages(cluster, html, sampler).routes(),
            *ActionPages(cluster, html, notifier).routes(),
            *ConfigApi(options, cluster, Nearby(checked.config_from)).routes(),
            *events.routes(),
            *Assets().routes(),
            Route("GET", "/ping", _ping, quiet=True, plain=True),
        ]
        self._runner = make_runner(_below(html.root, routes), refuse=_refuser(html))
        self._runner.app.middlewares.append(_compress)
        self._runner.app.on_response_prepare.append(_protect)
        await self._runner.setup()
        self.address = await listen(self._runner, options.http_address)
        log.info("HTTP: listening on %s", self.address)
        sampler.start()

    async def stop(self) -> None:
        """Closes the listener, lets answers on their way go out for a second, then the connections.

        Notifications that wait get a few seconds more.
        """
        if self._events is not None:
            self._events.close()
        if self._runner is not None:
            if self.address:
                log.info("HTTP: closing %s", self.address)
            await self._runner.cleanup()
        if self._sampler is not None:
            await self._sampler.stop()
        if self._notifier is not None:
            await self._notifier.close()
        if self._client is not None:
            await self._client.close()


async def _ping(request: web.Request) -> Body:
    return "OK"


def _below(root: str, routes: Iterable[Route]) -> list[Route]:
    return [route._replace(path=(root + route.path).rstrip("/") or "/") for route in routes]


def _refuser(html: Html) -> Callable[[web.Request, HttpError, bool], web.StreamResponse]:
    """Scripts get the JSON envelope, people a page that says what is wrong and where to go on."""
    for_scripts = tuple(html.root + path for path in ("/api/", "/events", "/ping", "/static/", "/config/"))

    def refuse(request: web.Request, error: HttpError, plain: bool) -> web.StreamResponse:
        if request.path.startswith(for_scripts):
            return refusal(error, plain=plain)
        problems = error.problems if isinstance(error, Unknown | Unreachable) else []
        return html.page(
            request,
            "error.html",
            status=error.status,
            error=error,
            problems=problems,
            path=request.match_info,
        )

    return refuse


async def _protect(request: web.Request, response: web.StreamResponse) -> None:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)


@web.middleware
async def _compress(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    response = await handler(request)
    # A page with a form's token is sent as it is: the length of compressed text would tell about the token.
    if isinstance(response, web.Response) and isinstance(response.body, bytes) and not response.cookies:
        response.headers["Vary"] = "Accept-Encoding"
        accepted = [item.strip() for item in request.headers.get("Accept-Encoding", "").split(",")]
        if "gzip" in accepted and len(response.body) >= _WORTH_COMPRESSING:
            response.enable_compression(ContentCoding.gzip)
    return response
