"""``/config/KEY``: what every option is, and the two that can be changed while nsqadmin runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import fields

from aiohttp import web

from nsqadmin.changes.audit import Audit
from nsqadmin.changes.notify import Origin
from nsqadmin.checks import resolve
from nsqadmin.cluster.cluster import Cluster
from nsqadmin.options import Options
from nsqadmin.urls import origin_shown, shown
from nsqadmin.web.guard import Guard
from nsqadmin.web.http_server import Body, Route
from nsqadmin.web.nearby import Nearby
from nsqadmin.web.same_site import same_site
from nsqcore import logs
from nsqcore.errors import HttpError, StartError
from nsqcore.option_values import BadOption, BadValue, read_level, read_texts, told

log = logging.getLogger(__name__)

MOST_ADDRESSES = 100
"""nsqlookupds that may be set at once; each name is looked up."""
_MASKS: dict[str, Callable[[str], str]] = {
    "graphite_url": shown,
    "notification_http_endpoint": origin_shown,
}
"""Options that may hold secrets, and what of them is told."""


class ConfigApi:
    """Reads the options, changes two of them with effect at once; nothing is written to any file."""

    def __init__(
        self, options: Options, cluster: Cluster, nearby: Nearby, guard: Guard, audit: Audit
    ) -> None:
        self.options = options
        self.audit = audit
        self.guard = guard
        self.cluster = cluster
        self.nearby = nearby
        self._keys = {f.metadata["key"] or f.name: f.name for f in fields(options) if f.metadata}

    def routes(self) -> list[Route]:
        """The routes, without the base path."""
        return [Route("GET", "/config/{opt}", self.get), Route("PUT", "/config/{opt}", self.put)]

    async def get(self, request: web.Request) -> Body:
        """The value of an option, without its secrets."""
        self.nearby.admit(request)
        return self._value(request.match_info["opt"])

    async def put(self, request: web.Request) -> Body:
        """Sets an option; answers with the new value."""
        self.nearby.admit(request)
        # As the original, header and admin users or not; but whoever had to log in may be there to read only.
        if self.guard.logins is not None:
            self.guard.admit(request)
        elif not same_site(request):
            raise HttpError(403, "CROSS_SITE")
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            body = b""
        if not body:
            raise HttpError(413, "INVALID_VALUE")
        key = request.match_info["opt"]
        if key == "nsqlookupd_http_addresses":
            addresses = read_texts(body) or []
            self.cluster.lookupds = await self._resolved(addresses)
            self.options.lookupd_http_addresses = addresses
        elif key == "log_level":
            self.options.log_level = level = read_level(body)
            logs.set_level(level)
        else:
            raise BadOption
        value = self._value(key)
        origin = Origin.of(request, self.guard.user(request))
        self.audit.access(f"set {key}", origin, "done", str(getattr(self.options, self._keys[key])))
        return value

    async def _resolved(self, addresses: list[str]) -> tuple[str, ...]:
        """As URLs want them; raises HttpError, and says in the log why."""
        if not self.cluster.by_lookupd:
            log.warning("CONFIG: nsqlookupd_http_addresses can't be set: nsqadmin was started with nsqds")
            raise BadValue
        if not 0 < len(addresses) <= MOST_ADDRESSES:
            log.warning(
                "CONFIG: nsqlookupd_http_addresses has %d, not 1 to %d", len(addresses), MOST_ADDRESSES
            )
            raise BadValue
        patience = self.options.http_client_request_timeout.seconds
        try:
            async with asyncio.timeout(patience):
                found = [await resolve("lookupd", address) for address in addresses]
        except StartError as e:
            log.warning("CONFIG: nsqlookupd_http_addresses stays as it was: %s", e)
            raise BadValue from None
        except TimeoutError:
            log.warning(
                "CONFIG: nsqlookupd_http_addresses stays as it was: no answer of DNS in %g s", patience
            )
            raise BadValue from None
        return tuple(dict.fromkeys(found))

    def _value(self, key: str) -> Body:
        if key not in self._keys:
            raise BadOption
        value = getattr(self.options, self._keys[key])
        if isinstance(value, str) and key in _MASKS:
            value = _MASKS[key](value)
        return told(value) or None
