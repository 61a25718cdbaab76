"""The HTTP API of nsqd and nsqlookupd: finds the handler of a request, makes answers of what it returns, logs.

The sockets are in :mod:`nsqcore.http_connection`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

from nsqcore.durations import go_duration
from nsqcore.errors import HttpError
from nsqcore.http_exchange import Answer, Body, Request, answer, moved, refusal
from nsqcore.http_routes import Found, Moved, Routes, WrongMethod
from nsqcore.query import QueryError, parse_query
from nsqcore.wire.http_body import BadBody

log = logging.getLogger(__name__)

Handler = Callable[[Request], Awaitable["Answer | Body"]]


class Endpoint(NamedTuple):
    """One method of one path; what ``path`` may be is told in :mod:`nsqcore.http_routes`."""

    method: str
    path: str
    handler: Handler
    quiet: bool = False
    """Requests do not appear in the access log."""
    plain: bool = False
    """Answers without the API's header, and with bare text for errors, as ``/ping`` does."""


async def params_of(request: Request) -> dict[str, str]:
    """The query parameters; raises HttpError 400 ``INVALID_REQUEST``. The body is read and ignored."""
    try:
        await request.body.skip()
    except BadBody as e:
        log.error("failed to parse request params - %s", e)
        raise HttpError(400, "INVALID_REQUEST") from None
    return query_of(request)


def query_of(request: Request) -> dict[str, str]:
    """The query parameters; raises HttpError 400 ``INVALID_REQUEST``.

    As in Go, ``#`` is no special character here: ``/lookup?topic=t#ephemeral`` names an ephemeral topic.
    """
    try:
        return parse_query(request.head.query)
    except QueryError as e:
        log.error("failed to parse request params - %s", e.reason)
        raise


def require(query: dict[str, str], name: str) -> str:
    """A parameter that must be there, if only empty; raises HttpError 400 ``MISSING_ARG_<NAME>``."""
    if name not in query:
        raise HttpError(400, f"MISSING_ARG_{name.upper()}")
    return query[name]


class Api:
    """All endpoints of a daemon."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._routes = Routes(endpoints)

    async def respond(self, request: Request) -> Answer:
        """The answer to a request; raises nothing."""
        started = time.monotonic_ns()
        found = self._routes.find(request.head.method, request.path)
        if isinstance(found, Found) and request.path != "*":
            request.args = found.args
            response = await self._run(found.endpoint, request)
            if found.endpoint.quiet:
                return response
        else:
            response = _stray(request, found)
        took = go_duration(time.monotonic_ns() - started)
        log.info("%d %s %s (%s) %s", response.status, request.head.method, request.uri, request.peer, took)
        return response

    async def _run(self, endpoint: Endpoint, request: Request) -> Answer:
        """Calls the handler; whatever it raises becomes an answer, if only one that nobody is there to read."""
        try:
            result = await endpoint.handler(request)
        except HttpError as e:
            return refusal(e, plain=endpoint.plain)
        except BadBody as e:
            log.info("HTTP: bad request - %s (%s)", e, request.peer)
            return refusal(HttpError(500, "INTERNAL_ERROR"), plain=endpoint.plain)
        except Exception as e:  # a fault of ours in one request must not end the others
            log.exception("panic in HTTP handler - %s", str(e) or type(e).__name__)
            return refusal(HttpError(500, "INTERNAL_ERROR"))
        return result if isinstance(result, Answer) else answer(result, plain=endpoint.plain)


def _stray(request: Request, found: Found[Endpoint] | Moved | WrongMethod | None) -> Answer:
    """The answer to a request that is for no endpoint."""
    if isinstance(found, Moved):
        return moved(request, found.path)
    if not isinstance(found, WrongMethod):
        return refusal(HttpError(404, "NOT_FOUND"))
    allow = ("Allow", found.allowed)
    if request.head.method == "OPTIONS":
        return Answer(200, b"", () if request.path == "*" else (allow,))
    refused = refusal(HttpError(405, "METHOD_NOT_ALLOWED"))
    return refused._replace(headers=(allow, *refused.headers))
