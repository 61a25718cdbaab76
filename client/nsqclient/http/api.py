"""Asks one daemon over HTTP: its address, credentials and timeouts, and what a failure means."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from nsqclient.discovery.dialing import UNIX_PREFIX
from nsqclient.durations import Seconds, within
from nsqclient.errors import (
    ApiBroken,
    ApiError,
    ApiNotFound,
    ApiRefused,
    ApiTimeout,
    ApiUnreachable,
    Closed,
    ConfigError,
)
from nsqclient.http.reading import Unreadable
from nsqclient.tls import Tls
from nsqcore.http_client import Fetched, HttpFailure, JsonClient
from nsqcore.version import suite_version

Profile = Literal["block", "cmdline", "gc", "goroutine", "heap", "profile", "symbol", "threadcreate"]
Auth = str | Callable[[], str] | None
"""A secret to send as a bearer token, or a function that is asked for it before each request."""


class Api:
    """One daemon's HTTP API. It connects at the first request; connections are kept for the next ones.

    Use it with ``async with``, or call :meth:`close`. Many requests may be under way at a time.
    """

    def __init__(
        self,
        address: str,
        *,
        timeout: Seconds = 5.0,
        connect_timeout: Seconds = 2.0,
        tls: Tls | ssl.SSLContext | None = None,
        auth: Auth = None,
        max_answer: int = 64 << 20,
    ) -> None:
        """``address`` is a URL, ``host:port``, or ``unix:/path``; raises ConfigError for anything else.

        ``timeout`` seconds bound a request with its answer, ``connect_timeout`` the connecting; ``tls``
        is for ``https`` addresses (None: the system's authorities), and is also used when a nsqd that
        requires TLS names its HTTPS port. Of a ``Tls`` only the files and ``verify`` count. ``auth`` is for a proxy in front of the daemon: the
        daemons themselves ask for nothing. An answer of more than ``max_answer`` bytes is refused.
        """
        self._base, self._unix = _base_url(address)
        self._timeout = within("timeout", timeout, 0.001)
        self._connect_timeout = within("connect_timeout", connect_timeout, 0.001)
        self._tls = tls
        self._context: ssl.SSLContext | None = None
        self._auth = auth
        self._max_answer = max_answer
        self._client: JsonClient | None = None
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections; twice is fine. Requests after it raise Closed."""
        self._closed = True
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def profile(self, name: Profile, *, seconds: int | None = None) -> bytes:
        """A profile of the process: Go's format from the original, text from ours, which alone has ``gc``.

        ``profile`` measures for ``seconds`` (the daemon's default is 30), which must be less than the timeout.
        """
        path = f"/debug/pprof/{name}"
        return (await self.fetch("GET", path, seconds="" if seconds is None else str(seconds))).data

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._unix or self._base!r})"

    # ---- for the daemons' classes

    async def fetch(self, method: str, path: str, body: bytes | None = None, **params: str) -> Fetched:
        """The body of a 200 answer; raises ApiError and Closed. Empty parameters are left out."""
        if isinstance(self._tls, Tls):
            self._context = await self._tls.context()  # anew, as its files may have been renewed
        else:
            self._context = self._tls
        if self._closed:
            raise Closed(f"this {type(self).__name__} is closed")
        if self._client is None:
            self._client = self._connect()
        headers = {}
        secret = self._auth() if callable(self._auth) else self._auth
        if secret:
            headers["Authorization"] = f"Bearer {secret}"
        given = {name: value for name, value in params.items() if value}
        try:
            return await self._client.fetch(method, self._base + path, given, body, headers)
        except HttpFailure as e:
            raise _translated(e) from e

    async def text(self, method: str, path: str, body: bytes | None = None, **params: str) -> str:
        """As :meth:`fetch`, the answer as text."""
        return (await self.fetch(method, path, body, **params)).data.decode("utf-8", "replace")

    async def json(self, path: str, **params: str) -> Any:
        """The JSON of a GET; raises as :meth:`fetch`."""
        answer = await self.fetch("GET", path, None, **params)
        return self.parsed(path, answer.data)

    async def ask(self, path: str, read: Callable[[Any], Any], **params: str) -> Any:
        """What ``read`` makes of the JSON of a GET; raises as :meth:`fetch`."""
        data = await self.json(path, **params)
        try:
            return read(data)
        except Unreadable as e:
            raise ApiBroken(self._base + path, str(e), status=200) from e

    def parsed(self, path: str, data: bytes) -> Any:
        """The value of a JSON text; raises ApiBroken."""
        try:
            return json.loads(data)
        except (ValueError, RecursionError):
            raise ApiBroken(self._base + path, "the answer is not JSON", status=200) from None

    def _current(self) -> ssl.SSLContext:
        assert self._context is not None  # set by every request before it is sent
        return self._context

    def _connect(self) -> JsonClient:
        return JsonClient(
            connect_timeout=self._connect_timeout,
            request_timeout=self._timeout,
            max_answer=self._max_answer,
            tls=None if self._tls is None else self._current,
            user_agent=f"nsqclient/{suite_version()}",
            unix_socket=self._unix,
        )


def _base_url(address: str) -> tuple[str, str]:
    """The URL before a path, and the unix socket if it is one."""
    if address.startswith(UNIX_PREFIX):
        path = address.removeprefix(UNIX_PREFIX)
        if not path:
            raise ConfigError("a unix socket's address is unix:/path")
        return "http://localhost", path
    url = address if "://" in address else f"http://{address}"
    try:
        parts = urlsplit(url)
        complete = parts.scheme in ("http", "https") and parts.hostname and parts.port
    except ValueError:
        complete = False
    if not complete or parts.query or parts.fragment:
        raise ConfigError(f"{address} is not the HTTP address of a daemon, such as http://host:4151")
    return url.rstrip("/"), ""


def _translated(failure: HttpFailure) -> ApiError:
    url, reason, status = failure.url, failure.reason, failure.status
    if status == 0:
        timed_out = isinstance(failure.__cause__, TimeoutError)
        return (ApiTimeout if timed_out else ApiUnreachable)(url, reason)
    if status == 200:
        return ApiBroken(url, reason, status=status)
    if failure.text:
        reason = f"{reason}: {failure.text.strip()}"
    return (ApiNotFound if status == 404 else ApiRefused)(url, reason, status=status, code=failure.code)
