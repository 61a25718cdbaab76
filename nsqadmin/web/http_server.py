"""The HTTP side of nsqadmin: the originals' router, answers, error envelope and access log.

Built on aiohttp's application, while nsqd and nsqlookupd have :mod:`nsqcore.api_server`. The rules that differ
from aiohttp's own are the router's (405 with ``Allow``, OPTIONS answered, redirects for a wrong letter case or a
trailing slash) and the envelope: every error of the API is ``{"message":"CODE"}``.
"""

from __future__ import annotations

import asyncio
import logging
import posixpath
import socket
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple
from urllib.parse import unquote

from aiohttp import web
from aiohttp.http import HttpProcessingError

from nsqcore.addresses import format_peer
from nsqcore.durations import go_duration
from nsqcore.errors import HttpError
from nsqcore.golang import go_json
from nsqcore.listeners import BACKLOG, address_of, bind
from nsqcore.query import parse_query

log = logging.getLogger(__name__)

API_HEADERS = {"X-Nsq-Content-Type": "nsq; version=1.0"}
_TOO_LONG_TO_COMPRESS = 1 << 16
"""Bytes of an answer that are not compressed in the event loop but in a thread."""
_protocol_log = logging.getLogger(f"{__name__}.protocol")
MAX_HEAD = 1 << 20
"""Bytes of a request line or of a header; Go takes as much of a whole head."""
KEEP_ALIVE_S = 3600.0
"""How long an idle connection is kept: the originals keep it for ever, and clients rely on long."""

BODY_S = 30.0
"""Seconds that a body may take; a form or a line of JSON takes none."""

HEAD_S = 30.0
"""How long a connection may take to ask for something; then it makes room for others."""

Body = dict[str, object] | list[object] | str | bytes | None
Handler = Callable[[web.Request], Awaitable["web.StreamResponse | Body"]]


class Route(NamedTuple):
    """One endpoint. ``quiet`` ones do not appear in the access log.

    Segments of ``path`` such as ``{name}`` match any text; the handler finds what they matched, decoded,
    in ``request.match_info["name"]``. A route that spells a segment out wins over one that leaves it open.
    """

    method: str
    path: str
    handler: Handler
    quiet: bool = False
    plain: bool = False
    """Answers without the API's header, and with bare text for errors, as ``/ping`` does."""
    public: bool = False
    """Answers everybody, also those who are not let in elsewhere."""


def answer(body: Body, status: int = 200, *, plain: bool = False) -> web.Response:
    """A response in the API's form: JSON for dicts and lists, text for str, bytes as JSON made before."""
    headers = None if plain else API_HEADERS
    if body is None:
        response = web.Response(status=status, headers=headers)
        response.headers.popall("Content-Type", None)
        return response
    if isinstance(body, str):
        return web.Response(
            status=status, headers=headers, body=body.encode(), content_type="text/plain", charset="utf-8"
        )
    data = body if isinstance(body, bytes) else go_json(body)
    return web.Response(
        status=status,
        headers=headers,
        body=data,
        content_type="application/json",
        charset="utf-8",
        zlib_executor_size=_TOO_LONG_TO_COMPRESS,
    )


def refusal(error: HttpError, *, plain: bool = False) -> web.Response:
    """The answer to a refused request."""
    return answer(error.code if plain else {"message": error.code}, error.status, plain=plain)


def query_of(request: web.Request) -> dict[str, str]:
    """The query parameters; raises HttpError 400 ``INVALID_REQUEST``. The body is read and ignored.

    As in Go, ``#`` is no special character here: ``/lookup?topic=t#ephemeral`` names an ephemeral topic.
    """
    return parse_query(request.raw_path.partition("?")[2])


async def read_body(request: web.Request) -> bytes:
    """The whole body; raises HttpError 408 ``BODY_TIMEOUT`` when it does not come within :data:`BODY_S`."""
    try:
        async with asyncio.timeout(BODY_S):
            return await request.read()
    except TimeoutError:
        raise HttpError(408, "BODY_TIMEOUT") from None


_SILENT = web.AppKey("silent", set[web.RequestHandler])
"""Connections that have not asked for anything yet."""

Refuse = Callable[[web.Request, HttpError, bool], web.StreamResponse]
"""Makes the answer to a refused request; the last argument is the route's ``plain``."""


LetIn = Callable[[web.Request], Awaitable[None]]
"""Raises HttpError for a request that is not to reach its handler."""


def make_runner(
    routes: Iterable[Route],
    *,
    max_body_size: int = 1 << 20,
    refuse: Refuse | None = None,
    let_in: LetIn | None = None,
) -> web.AppRunner:
    """An aiohttp runner that serves ``routes``; the caller sets it up, listens with it and cleans it up.

    ``max_body_size`` (bytes) bounds what ``request.read()`` takes; more is 413 ``BODY_TOO_BIG``.
    ``refuse`` answers what is refused, unknown paths included, where the JSON envelope is not wanted.
    ``let_in`` is asked before each handler but those of public routes.
    """
    router = _Router(routes, refuse or _refuse, let_in)
    app = web.Application(client_max_size=max_body_size)
    app[_SILENT] = silent = set()

    async def dispatch(request: web.Request) -> web.StreamResponse:
        silent.discard(request.protocol)
        started = time.monotonic_ns()
        route, response = await router.answer(request)
        if route is None or not route.quiet:
            peer = format_peer(request.transport.get_extra_info("peername")) if request.transport else "@"
            took = go_duration(time.monotonic_ns() - started)
            log.info("%d %s %s (%s) %s", response.status, request.method, request.raw_path, peer, took)
        return response

    app.router.add_route("*", "/{tail:.*}", dispatch)
    app.on_response_prepare.append(_anonymous)
    return web.AppRunner(
        app,
        access_log=None,
        logger=_protocol_log,
        auto_decompress=False,  # a message is published as it came, whatever its Content-Encoding says
        keepalive_timeout=KEEP_ALIVE_S,
        handle_signals=False,
        shutdown_timeout=1.0,
        max_line_size=MAX_HEAD,
        max_field_size=MAX_HEAD,
    )


async def _anonymous(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.popall("Server", None)  # the originals do not say what they are made of


def _refuse(request: web.Request, error: HttpError, plain: bool) -> web.StreamResponse:
    return refusal(error, plain=plain)


class _Router:
    """Finds the route of a path; what it does not find is refused or redirected as the originals do."""

    def __init__(self, routes: Iterable[Route], refuse: Refuse, let_in: LetIn | None) -> None:
        self.refuse = refuse
        self.let_in = let_in
        self.fixed: dict[str, dict[str, Route]] = {}
        self.open: dict[tuple[str, ...], dict[str, Route]] = {}
        for route in routes:
            if "{" in route.path:
                self.open.setdefault(tuple(route.path.split("/")), {})[route.method] = route
            else:
                self.fixed.setdefault(route.path.lower(), {})[route.method] = route
        self.patterns = sorted(self.open, key=lambda pattern: sum(map(_is_open, pattern)))

    def find(self, raw_path: str) -> tuple[dict[str, Route] | None, str, dict[str, str]]:
        """The methods of a path as it came (percent escapes and all), its right spelling, its arguments."""
        path = unquote(raw_path)
        methods = self.fixed.get(path.lower())
        if methods is not None:
            known = next(iter(methods.values())).path
            return methods, raw_path if path == known else known, {}
        raw_parts = raw_path.split("/")
        for pattern in self.patterns:
            if _matches(pattern, raw_parts):
                pairs = list(zip(pattern, raw_parts, strict=True))
                spelling = "/".join(
                    raw if _is_open(part) or unquote(raw) == part else part for part, raw in pairs
                )
                arguments = {part[1:-1]: unquote(raw) for part, raw in pairs if _is_open(part)}
                return self.open[pattern], spelling, arguments
        return None, raw_path, {}

    def lacks_a_name(self, raw_path: str) -> bool:
        """Whether a name is empty before the end, as in ``/topics//c``: that must not be taken for ``/topics/c``."""
        parts = raw_path.split("/")
        return any(
            len(pattern) == len(parts)
            and all(_is_open(part) or _same(part, raw) for part, raw in zip(pattern, parts, strict=True))
            and any(_is_open(part) and not raw for part, raw in zip(pattern[:-1], parts, strict=False))
            for pattern in self.patterns
        )

    async def answer(self, request: web.Request) -> tuple[Route | None, web.StreamResponse]:
        """What to send, and the route that made it if there is one."""
        raw_path = request.rel_url.raw_path
        methods, spelling, arguments = self.find(raw_path)
        if methods is None and not self.lacks_a_name(raw_path):
            methods, spelling, arguments = self.find(_cleaned(raw_path))
        if methods is None:
            return None, self.refuse(request, HttpError(404, "NOT_FOUND"), False)
        if spelling != raw_path:
            return None, _redirect(request, spelling)
        route = methods.get(request.method)
        if route is None:
            if request.method == "OPTIONS":
                response: web.StreamResponse = answer(None, plain=True)
            else:
                response = self.refuse(request, HttpError(405, "METHOD_NOT_ALLOWED"), False)
            response.headers["Allow"] = ", ".join(sorted({*methods, "OPTIONS"}))
            return None, response
        request.match_info.update(arguments)
        return route, await self.run(route, request)

    async def run(self, route: Route, request: web.Request) -> web.StreamResponse:
        """Calls the handler; whatever it raises becomes an answer, if only one that nobody is there to read."""
        try:
            if self.let_in is not None and not route.public:
                await self.let_in(request)
            result = await route.handler(request)
        except HttpError as e:
            return self.refuse(request, e, route.plain)
        except web.HTTPRequestEntityTooLarge:
            return self.refuse(request, HttpError(413, "BODY_TOO_BIG"), route.plain)
        except web.HTTPException:
            raise
        except Exception as e:
            if request.transport is not None and not isinstance(e, web.RequestPayloadError):
                log.exception("panic in HTTP handler - %s", str(e) or type(e).__name__)
            return self.refuse(request, HttpError(500, "INTERNAL_ERROR"), route.plain)
        return result if isinstance(result, web.StreamResponse) else answer(result, plain=route.plain)


def _is_open(part: str) -> bool:
    return part.startswith("{")


def _matches(pattern: tuple[str, ...], raw_parts: list[str]) -> bool:
    return len(pattern) == len(raw_parts) and all(
        raw != "" if _is_open(part) else _same(part, raw)
        for part, raw in zip(pattern, raw_parts, strict=True)
    )


def _same(part: str, raw: str) -> bool:
    return unquote(raw).lower() == part.lower()


def _cleaned(raw_path: str) -> str:
    """Without ``//``, ``.``, ``..`` and a slash at the end."""
    return "/" + posixpath.normpath("/" + raw_path).lstrip("/")


def _redirect(request: web.Request, path: str) -> web.Response:
    query = request.rel_url.raw_query_string
    location = f"{path}?{query}" if query else path
    return web.Response(status=301 if request.method == "GET" else 307, headers={"Location": location})


class _PeersFaults(logging.Filter):
    """Makes one INFO line of a peer's mistake, where aiohttp logs an error and where in its parser it arose."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, HttpProcessingError | web.RequestPayloadError | ConnectionError):
            return True
        reason = (str(error) or type(error).__name__).partition("\n")[2] or str(error)
        record.msg, record.args = "HTTP: bad request - %s", (reason.strip().partition("\n")[0].rstrip(":"),)
        record.levelno, record.levelname = logging.INFO, "INFO"
        record.exc_info = record.exc_text = None
        return _protocol_log.isEnabledFor(logging.INFO)


_protocol_log.addFilter(_PeersFaults())


async def listen(runner: web.AppRunner, address: str) -> str:
    """Serves a runner that is set up at ``host:port`` or a unix path; returns the real address.

    Raises StartError when the address can't be had.
    """
    listener = bind(address)
    await _OwnSite(runner, listener).start()
    return address_of(listener)


class _OwnSite(web.SockSite):
    """A site that sends silent visitors away, and at the end closes its socket, which removes a unix one's file."""

    def __init__(self, runner: web.AppRunner, listener: socket.socket) -> None:
        super().__init__(runner, listener, backlog=BACKLOG)
        self._listener = listener
        self._silent = runner.app[_SILENT]

    async def start(self) -> None:
        await web.BaseSite.start(self)
        self._server = await asyncio.get_running_loop().create_server(
            self._accept, sock=self._listener, backlog=BACKLOG
        )

    def _accept(self) -> web.RequestHandler:
        server = self._runner.server
        assert server is not None
        connection = server()
        self._silent.add(connection)
        asyncio.get_running_loop().call_later(HEAD_S, self._look, connection)
        return connection

    def _look(self, connection: web.RequestHandler) -> None:
        if connection in self._silent:
            self._silent.discard(connection)
            connection.force_close()
            if connection.transport is not None:
                connection.transport.close()

    async def stop(self) -> None:
        await super().stop()
        self._listener.close()
