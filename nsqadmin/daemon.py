"""One nsqadmin: builds its parts, serves them below the base path, starts and stops in order."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Middleware
from aiohttp.web_response import ContentCoding

from nsqadmin.access.accounts import Accounts
from nsqadmin.api.config import ConfigApi
from nsqadmin.api.http_api import HttpApi
from nsqadmin.changes.audit import Audit
from nsqadmin.changes.changes import Changes
from nsqadmin.changes.notify import Notifier, Origin
from nsqadmin.checks import Checked, check
from nsqadmin.cluster.cluster import Cluster, Unknown, Unreachable
from nsqadmin.graphite.client import Graphite
from nsqadmin.graphite.targets import Naming
from nsqadmin.history.sampler import Sampler
from nsqadmin.history.series import History
from nsqadmin.options import Options
from nsqadmin.pages.action_pages import ActionPages
from nsqadmin.pages.audit import AuditPage
from nsqadmin.pages.channel import ChannelPage
from nsqadmin.pages.counter import CounterPage
from nsqadmin.pages.events import Events
from nsqadmin.pages.login import LoginPages
from nsqadmin.pages.lookup import LookupPage
from nsqadmin.pages.map import MapPage
from nsqadmin.pages.menu import menu
from nsqadmin.pages.node import NodePage
from nsqadmin.pages.nodes import NodesPage
from nsqadmin.pages.overview import OverviewPage
from nsqadmin.pages.publish import PublishPage
from nsqadmin.pages.suggestions import suggestions
from nsqadmin.pages.topic import TopicPage
from nsqadmin.pages.topics import TopicsPage
from nsqadmin.web.assets import Assets
from nsqadmin.web.guard import Guard, Tell, TooManyTries
from nsqadmin.web.html import Html, policy
from nsqadmin.web.http_server import Body, Route, listen, make_runner, refusal
from nsqadmin.web.nearby import Nearby
from nsqcore.addresses import parse_host_port
from nsqcore.errors import HttpError
from nsqcore.http_client import JsonClient
from nsqcore.version import banner

log = logging.getLogger(__name__)

_HEADERS = {
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
        self._graphite: Graphite | None = None
        self._runner: web.AppRunner | None = None
        self._sampler: Sampler | None = None
        self._events: Events | None = None
        self._accounts: Accounts | None = None
        self._audit: Audit | None = None
        self.guard = Guard(options.admin_users, options.acl_http_header)

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
            cluster,
            interval=options.sample_interval.seconds,
            history=options.history.seconds,
            folder=Path(options.data_path) if options.data_path else None,
        )
        self._events = events = Events(sampler)
        if options.auth_file:
            self._accounts = Accounts(options.auth_file)
            await self._accounts.start()
        self.guard = guard = Guard(
            options.admin_users,
            options.acl_http_header,
            accounts=self._accounts,
            root=options.base_path.rstrip("/"),
        )
        self._audit = audit = Audit(options.data_path)
        await audit.start()
        guard.tell = _telling(audit)
        changes = Changes(cluster, audit, notifier)
        changes.changed = sampler.renew
        html = Html(options.base_path, guard)
        self._graphite = graphite = _graphite(options, checked, html.root)
        html.on_every_page["graphs"] = graphite.visit
        routes = [
            *HttpApi(changes, guard).routes(),
            *OverviewPage(html, sampler).routes(),
            *TopicsPage(html, sampler).routes(),
            *TopicPage(cluster, html, sampler).routes(),
            *ChannelPage(cluster, html, sampler).routes(),
            *NodesPage(cluster, html, sampler).routes(),
            *NodePage(cluster, html, sampler).routes(),
            *LookupPage(cluster, html, sampler).routes(),
            *CounterPage(html, sampler).routes(),
            *MapPage(cluster, html, sampler).routes(),
            *ActionPages(changes, html).routes(),
            *events.routes(),
            *ConfigApi(options, cluster, Nearby(checked.config_from), guard, audit).routes(),
            *graphite.routes(),
            *Assets(options.dev_static_dir).routes(),
            *LoginPages(html).routes(),
            *PublishPage(changes, html, sampler).routes(),
            *AuditPage(html, audit, kept=bool(options.data_path)).routes(),
            Route("GET", "/ping", _ping, quiet=True, plain=True, public=True),
        ]
        html.env.globals["menu"] = menu(routes)
        self._runner = make_runner(
            _below(html.root, routes), refuse=_refuser(html, sampler), let_in=guard.let_in
        )
        self._runner.app.middlewares.extend([_compress, _remembering(graphite)])
        self._runner.app.on_response_prepare.append(_protecting(policy(graphite.pictures_from)))
        await self._runner.setup()
        self.address = await listen(self._runner, options.http_address)
        log.info("HTTP: listening on %s", self.address)
        if guard.open_to_all and not _is_local(self.address):
            log.warning(
                "HTTP: whoever reaches %s may change and delete everything: give --auth-file, or --admin-user "
                "behind a proxy, or listen on 127.0.0.1 only",
                self.address,
            )
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
        if self._accounts is not None:
            await self._accounts.stop()
        if self._audit is not None:
            await self._audit.stop()
        if self._graphite is not None:
            await self._graphite.close()
        if self._client is not None:
            await self._client.close()


def _graphite(options: Options, checked: Checked, root: str) -> Graphite:
    service = checked.graphite
    if service is not None and service.user is not None and not options.proxy_graphite:
        log.warning(
            "browsers are not told the user of --graphite-url; give --proxy-graphite if graphite needs it"
        )
    return Graphite(
        service,
        Naming(
            options.statsd_counter_format,
            options.statsd_gauge_format,
            options.statsd_prefix,
            int(options.statsd_interval.seconds),
        ),
        interval=options.statsd_interval.seconds,
        proxied=options.proxy_graphite,
        root=root,
        connect_timeout=options.http_client_connect_timeout.seconds,
    )


async def _ping(request: web.Request) -> Body:
    return "OK"


def _below(root: str, routes: Iterable[Route]) -> list[Route]:
    return [route._replace(path=(root + route.path).rstrip("/") or "/") for route in routes]


def _refuser(html: Html, history: History) -> Callable[[web.Request, HttpError, bool], web.StreamResponse]:
    """Scripts get the JSON envelope, people a page that says what is wrong and where to go on."""

    def refuse(request: web.Request, error: HttpError, plain: bool) -> web.StreamResponse:
        if html.guard.for_scripts(request):
            return _refuse_script(request, error, plain)
        if error.status == 401 and request.method == "GET":
            target = "" if request.path in (html.root, html.root + "/") else request.path_qs
            return web.Response(status=303, headers={"Location": html.url("login", next=target)})
        problems = error.problems if isinstance(error, Unknown | Unreachable) else []
        return html.page(
            request,
            "error.html",
            status=error.status,
            error=error,
            problems=problems,
            path=request.match_info,
            meant=suggestions(history.newest, request.match_info) if error.status == 404 else [],
        )

    return refuse


def _telling(audit: Audit) -> Tell:
    def tell(request: web.Request, action: str, user: str, result: str, detail: str) -> None:
        audit.access(action, replace(Origin.of(request, user), user=user), result, detail)

    return tell


def _refuse_script(request: web.Request, error: HttpError, plain: bool) -> web.Response:
    response = refusal(error, plain=plain)
    # Browsers would ask for a password in a box of their own, and send it with everything from then on.
    if error.status == 401 and "Sec-Fetch-Mode" not in request.headers:
        response.headers["WWW-Authenticate"] = 'Basic realm="nsqadmin", charset="UTF-8"'
    if isinstance(error, TooManyTries):
        response.headers["Retry-After"] = str(error.seconds)
    return response


def _is_local(address: str) -> bool:
    """Whether only this machine reaches what listens there."""
    if address.startswith("/"):
        return True
    try:
        return ipaddress.ip_address(parse_host_port(address)[0].partition("%")[0]).is_loopback
    except ValueError:
        return False


def _protecting(content_policy: str) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    headers = {"Content-Security-Policy": content_policy} | _HEADERS

    async def protect(request: web.Request, response: web.StreamResponse) -> None:
        for name, value in headers.items():
            response.headers.setdefault(name, value)

    return protect


def _remembering(graphite: Graphite) -> Middleware:
    @web.middleware
    async def remember(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        response = await handler(request)
        graphite.remember(request, response)
        return response

    return remember


@web.middleware
async def _compress(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    response = await handler(request)
    if type(response) is web.Response and isinstance(response.body, bytes) and not response.prepared:
        response.headers["Vary"] = "Accept-Encoding"
        accepted = [item.strip() for item in request.headers.get("Accept-Encoding", "").split(",")]
        coding = next((item for item in accepted if item in ("gzip", "deflate")), None)
        if coding is not None and len(response.body) >= _WORTH_COMPRESSING:
            response.enable_compression(ContentCoding(coding))
    return response
