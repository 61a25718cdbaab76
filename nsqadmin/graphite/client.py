"""Asks graphite: for rates, and for pictures where browsers are to get them from nsqadmin.

Nothing but ``/render`` of the one configured graphite is ever asked, with GET, and nothing of a visitor's request but
its query goes there. What comes back is bounded in size and time, and is a picture or plain data, never a page
or a script: those would run as nsqadmin's own.
"""

from __future__ import annotations

import functools
import json
import ssl
import time

from aiohttp import web
from yarl import URL

from nsqadmin.graphite.graphs import DEFAULT_PERIOD, PERIODS, Graphs, Period
from nsqadmin.graphite.targets import Naming
from nsqadmin.urls import Service
from nsqadmin.web.http_server import Body, Route, query_of
from nsqcore.errors import HttpError
from nsqcore.http_client import Fetched, HttpFailure, JsonClient

LONGEST_QUERY = 32 << 10
"""Characters of a query for ``/render``."""
LARGEST_ANSWER = 8 << 20
"""Bytes of an answer."""
PATIENCE_S = 30.0
"""For a whole picture: graphite may read years of data for one."""
AT_ONCE = 10
"""Questions under way; more wait, which counts as time."""
_SAFE = frozenset({"image/png", "image/gif", "image/jpeg", "application/json", "text/csv", "text/plain"})
_COOKIE = "nsqadmin_graphs"
_YEAR_S = 365 * 86400
_FRESH_S = 60
"""Seconds that a browser may keep what graphite answered: pages ask for a new picture each minute."""


class Graphite:
    """One graphite; made inside a running loop, closed with :meth:`close`."""

    def __init__(
        self,
        service: Service | None,
        naming: Naming,
        *,
        interval: float,
        proxied: bool,
        root: str,
        connect_timeout: float,
    ) -> None:
        """``interval`` is nsqd's push interval, seconds; ``root`` the base path of our own pages, or empty.

        Without a ``service`` there are no graphs, and rates are refused.
        """
        self.service = service
        self.naming = naming
        self.proxied = proxied and service is not None
        self._root = root
        self._window = int(2 * interval), int(interval)
        self._client = JsonClient(
            connect_timeout=connect_timeout,
            request_timeout=PATIENCE_S,
            max_answer=LARGEST_ANSWER,
            max_connections=AT_ONCE,
            tls=functools.cache(ssl.create_default_context),
        )

    @property
    def pictures_from(self) -> str:
        """The origin that browsers have to get pictures from, where it is not nsqadmin's own."""
        return self.service.origin if self.service and not self.proxied else ""

    def routes(self) -> list[Route]:
        """The routes, without the base path."""
        render = [Route("GET", "/render", self.render)] if self.proxied else []
        return [Route("GET", "/api/graphite", self.rate), *render]

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.close()

    async def render(self, request: web.Request) -> Body | web.Response:
        """What graphite answers to the query: a picture, or data."""
        query = request.raw_path.partition("?")[2]
        if len(query) > LONGEST_QUERY:
            raise HttpError(414, f"QUERY_TOO_LONG: {LONGEST_QUERY} characters at most")
        if not query.isascii():
            raise HttpError(400, "INVALID_REQUEST")
        answer = await self._ask(query)
        if answer.content_type not in _SAFE:
            raise HttpError(
                502, f"UPSTREAM_ERROR: graphite answered {answer.content_type or 'no content type'}"
            )
        headers = {
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "Cache-Control": f"private, max-age={_FRESH_S}",
        }
        return web.Response(body=answer.data, content_type=answer.content_type, headers=headers)

    async def rate(self, request: web.Request) -> Body:
        """``{"rate":"136.98"}``: what a counter counted per second in the last whole interval; N/A: unknown."""
        query = query_of(request)
        if query.get("metric") != "rate":
            raise HttpError(400, "INVALID_ARG_METRIC")
        if "target" not in query:
            raise HttpError(400, "INVALID_ARG_TARGET")
        start, end = self._window
        asked = {"target": query["target"], "from": f"-{start}sec", "until": f"-{end}sec", "format": "json"}
        answer = await self._ask(str(URL.build(query=asked)).removeprefix("?"))
        value = _first_value(answer.data)
        known = value is not None and value >= 0
        return {"rate": f"{value / self.naming.interval:.2f}" if value is not None and known else "N/A"}

    async def _ask(self, query: str) -> Fetched:
        if self.service is None:
            raise HttpError(502, "UPSTREAM_ERROR: nsqadmin was given no --graphite-url")
        url = URL(f"{self.service.base}/render?{query}", encoded=True)
        try:
            return await self._client.fetch("GET", url, {}, None, self.service.headers)
        except HttpFailure as e:
            raise HttpError(502, f"UPSTREAM_ERROR: graphite: {e.reason}") from None

    # -- pages -------------------------------------------------------------------------------------

    def visit(self, request: web.Request) -> Graphs | None:
        """The graphs for the page that answers ``request``; None where there is no graphite."""
        if self.service is None:
            return None
        chosen = _chosen(request) or _kept(request) or DEFAULT_PERIOD
        menu = [Period(name, _with_period(request, name), name == chosen) for name in PERIODS]
        base = self._root if self.proxied else self.service.base
        return Graphs(self.naming, base, chosen, menu, int(time.time()) // 60)

    def remember(self, request: web.Request, response: web.StreamResponse) -> None:
        """Has the browser keep a period that was chosen in this request's address."""
        chosen = _chosen(request)
        if (
            self.service is None
            or not chosen
            or chosen == _kept(request)
            or response.content_type != "text/html"
        ):
            return
        response.set_cookie(
            _COOKIE, chosen, max_age=_YEAR_S, path=self._root or "/", httponly=True, samesite="Lax"
        )


def _chosen(request: web.Request) -> str:
    period = request.query.get("t", "")
    return period if period in PERIODS else ""


def _kept(request: web.Request) -> str:
    period = request.cookies.get(_COOKIE, "")
    return period if period in PERIODS else ""


def _with_period(request: web.Request, period: str) -> str:
    return "?" + request.rel_url.update_query(t=period).raw_query_string


def _first_value(data: bytes) -> float | None:
    """The first number of the first series; None where there is none. Raises HttpError for what is no answer."""
    try:
        series = json.loads(data)
        value = None if series == [] or not series[0]["datapoints"] else series[0]["datapoints"][0][0]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        raise HttpError(502, "UPSTREAM_ERROR: graphite: the answer makes no sense") from None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if abs(value) < 1e300 else None
