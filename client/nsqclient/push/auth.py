"""Asks the auth service that nsqd asks, too: ``GET /auth?secret=...``."""

from __future__ import annotations

import random
import ssl
from collections.abc import Sequence
from typing import Literal
from urllib.parse import urlencode

from yarl import URL

from nsqclient.durations import Seconds, to_seconds
from nsqclient.errors import ConfigError
from nsqclient.push.grants import BadGrant, Denied, Grant, Permission, Unavailable, read_answer
from nsqcore.golang import go_json
from nsqcore.http_client import HttpFailure, JsonClient

REFUSALS = (401, 403, 404)
MOST_ANSWER = 1 << 20
"""Bytes of an answer."""


class HttpAuth:
    """One auth service or more, of which any may answer.

    An address is ``host:port`` (of ``/auth``) or a URL. The service is told ``secret`` (the token),
    ``remote_ip``, ``tls`` and an empty ``common_name``, and answers as it does to nsqd: ``identity`` is the
    user, ``authorizations`` with ``subscribe`` say what may be heard, and after ``ttl`` seconds it is asked
    again.
    """

    def __init__(
        self,
        *addresses: str,
        method: Literal["get", "post"] = "get",
        connect_timeout: Seconds = 2.0,
        request_timeout: Seconds = 5.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Raises ConfigError without an address."""
        if not addresses:
            raise ConfigError("no auth service is given")
        if method not in ("get", "post"):
            raise ConfigError(f"method is {method!r}, want 'get' or 'post'")
        self._urls: Sequence[str] = [a if "://" in a else f"http://{a}/auth" for a in addresses]
        self._method = method
        self._times = to_seconds(connect_timeout), to_seconds(request_timeout)
        self._tls = tls
        self._http: JsonClient | None = None

    async def check(self, token: str, *, remote_ip: str, tls: bool) -> Grant:
        """Asks them in turn, from a random one on, until one answers; raises Denied and Unavailable."""
        if self._http is None:
            context = self._tls
            self._http = JsonClient(
                connect_timeout=self._times[0],
                request_timeout=self._times[1],
                max_answer=MOST_ANSWER,
                tls=None if context is None else lambda: context,
            )
        facts = {"common_name": "", "remote_ip": remote_ip, "secret": token, "tls": str(tls).lower()}
        start = random.randrange(len(self._urls))
        for number in range(len(self._urls)):
            url = self._urls[(start + number) % len(self._urls)]
            try:
                return read_answer(await self._ask(self._http, url, facts))
            except HttpFailure as e:
                if e.status in REFUSALS:
                    raise Denied("the auth service refused it") from None
                # not chained, and without the URL: both may show the token
                reason = f"{url.partition('?')[0]}: {e.reason}"
            except BadGrant as e:
                raise Denied(f"the auth service's answer is of no use: {e}") from None
        raise Unavailable(reason)

    async def _ask(self, http: JsonClient, url: str, facts: dict[str, str]) -> object:
        if self._method == "get":
            joint = "&" if "?" in url else "?"
            return await http.get(URL(f"{url}{joint}{urlencode(facts)}", encoded=True))
        body = go_json({name: [value] for name, value in facts.items()})
        return await http.post(URL(url, encoded=True), body, content_type="application/json")

    async def close(self) -> None:
        """Closes the connections to the service."""
        if self._http is not None:
            await self._http.close()
            self._http = None


class NoAuth:
    """Everybody may do everything, and the token is the user's name: for demonstrations on one machine."""

    async def check(self, token: str, *, remote_ip: str, tls: bool) -> Grant:
        """Raises Denied for an empty token."""
        if not token:
            raise Denied("no name")
        return Grant(token, (Permission(".*", (".*",)),))

    async def close(self) -> None:
        """Nothing is open."""
