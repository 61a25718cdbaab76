"""A small JSON client for the daemons' HTTP APIs, with bounds on everything and one kind of error."""

from __future__ import annotations

import json
import os
import re
import ssl
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, NamedTuple, Self

import aiohttp
from yarl import URL

from nsqcore.version import NSQ_VERSION

_PORT = re.compile(r":\d+$", re.ASCII)
_MOST_SECURE = 4096
"""Daemons of which we keep in mind that they want TLS."""


class HttpFailure(Exception):
    """A request to another daemon failed: nobody answered, or the answer was not what the API promises."""

    def __init__(self, url: str, reason: str, *, status: int = 0, code: str = "", text: str = "") -> None:
        super().__init__(f"{url}: {reason}")
        self.url = url
        self.reason = reason
        self.status = status
        """The HTTP status, or 0 when there was no answer."""
        self.code = code
        """The ``message`` of the error answer, such as ``TOPIC_NOT_FOUND``."""
        self.text = text
        """The beginning of an error answer in plain text, such as nsqd's ``NOK - disk full``."""


class _TlsRequired(Exception):
    """The daemon is to be asked at another address: its ``origin`` is ``https://host:port``."""

    def __init__(self, origin: str) -> None:
        super().__init__(origin)
        self.origin = origin


class Fetched(NamedTuple):
    """The body of a 200 answer, and its content type without parameters (empty: it names none)."""

    content_type: str
    data: bytes


class JsonClient:
    """Asks NSQ daemons; made inside a running loop, closed with :meth:`close` or ``async with``.

    ``connect_timeout`` and ``request_timeout`` are seconds; ``max_answer`` bytes bound what is read. Of
    more requests at once than ``max_connections`` (0: no limit) some wait, and the wait counts as time.
    ``tls`` gives the context of a https request, anew for each; without it the system's authorities count.
    """

    def __init__(
        self,
        *,
        connect_timeout: float = 2.0,
        request_timeout: float = 5.0,
        max_answer: int = 64 << 20,
        max_connections: int = 100,
        max_redirects: int = 0,
        keep_alive: bool = True,
        tls: Callable[[], ssl.SSLContext] | None = None,
        user_agent: str = f"nsq-suite/{NSQ_VERSION}",
        unix_socket: str = "",
    ) -> None:
        """With ``unix_socket`` all requests go to that path; the host of their URLs is then only a name."""
        self.max_answer = max_answer
        self._https: dict[str, str] = {}
        """Where daemons that answered 403 and a ``https_port`` are asked since: ``http://host:port`` to its like."""
        self._max_redirects = max_redirects
        self._tls = tls
        connector = (
            aiohttp.UnixConnector(unix_socket, limit=max_connections, force_close=not keep_alive)
            if unix_socket
            else aiohttp.TCPConnector(limit=max_connections, force_close=not keep_alive)
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=request_timeout, sock_connect=connect_timeout),
            headers={
                "Accept": "application/vnd.nsq; version=1.0",
                "Accept-Encoding": "gzip",
                "User-Agent": user_agent,
            },
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections kept alive; twice is fine."""
        await self._session.close()

    async def get(self, url: str | URL, **params: str) -> Any:
        """The JSON of a 200 answer; raises HttpFailure for anything else. A URL object is sent as it stands."""
        return await self._request("GET", url, params, None)

    async def post(self, url: str | URL, body: bytes = b"", *, content_type: str = "", **params: str) -> Any:
        """As :meth:`get`; an empty answer is None."""
        return await self._request("POST", url, params, body, content_type)

    async def _request(
        self,
        method: str,
        target: str | URL,
        params: Mapping[str, str],
        body: bytes | None,
        content_type: str = "",
    ) -> Any:
        headers = {"Content-Type": content_type} if content_type else {}
        answer = await self.fetch(method, target, params, body, headers)
        try:
            return json.loads(answer.data.decode("utf-8", "replace")) if answer.data else None
        except (ValueError, RecursionError):  # the latter for a text of brackets
            if answer.content_type == "text/plain":
                return answer.data.decode("utf-8", "replace")
            raise HttpFailure(str(target), "the answer is not JSON", status=200) from None

    async def fetch(
        self,
        method: str,
        target: str | URL,
        params: Mapping[str, str],
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Fetched:
        """The body of a 200 answer as it came; raises HttpFailure for any other."""
        url = str(target)
        plain = _origin(url)
        secure = self._https.get(plain)
        if secure is None:
            try:
                return await self._fetch(method, target, params, body, headers)
            except _TlsRequired as e:
                if len(self._https) >= _MOST_SECURE:
                    self._https.clear()
                secure = self._https[plain] = e.origin
        moved = secure + url[len(plain) :]
        try:
            return await self._fetch(
                method, URL(moved, encoded=True) if isinstance(target, URL) else moved, params, body, headers
            )
        except HttpFailure as e:
            if not e.status:  # it may have been started anew without TLS
                self._https.pop(plain, None)
            raise

    async def _fetch(
        self,
        method: str,
        target: str | URL,
        params: Mapping[str, str],
        body: bytes | None,
        headers: Mapping[str, str] | None,
    ) -> Fetched:
        """As :meth:`fetch`, at one address; raises _TlsRequired too."""
        url = str(target)
        try:
            async with self._session.request(
                method,
                target,
                params=params or None,
                data=body,
                headers=headers or None,
                allow_redirects=self._max_redirects > 0,
                max_redirects=self._max_redirects,
                ssl=True if self._tls is None else self._tls(),
            ) as response:
                data = await self._read(url, response)
                if response.status == 403:
                    secure = _https_origin(url, data)
                    if secure:
                        raise _TlsRequired(secure)
                content_type = "" if "Content-Type" not in response.headers else response.content_type
                if response.status != 200:
                    code = _code(data)
                    raise HttpFailure(
                        url,
                        f"got response {response.status} {response.reason} {code}".rstrip(),
                        status=response.status,
                        code=code,
                        text=data[:1000].decode("utf-8", "replace") if content_type == "text/plain" else "",
                    )
                return Fetched(content_type, data)
        except TimeoutError as e:
            raise HttpFailure(url, "timed out") from e
        except (aiohttp.ClientError, ValueError, OSError) as e:
            raise HttpFailure(url, _reason(e)) from e

    async def _read(self, url: str, response: aiohttp.ClientResponse) -> bytes:
        parts, size = [], 0
        async for part in response.content.iter_any():
            size += len(part)
            if size > self.max_answer:
                raise HttpFailure(url, f"the answer exceeds {self.max_answer} bytes", status=response.status)
            parts.append(part)
        return b"".join(parts)


def _reason(error: Exception) -> str:
    """Words for people: without the address, which the failure's ``url`` already names."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "the host name does not resolve"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        why = getattr(error.certificate_error, "verify_message", "") or str(error.certificate_error)
        return f"certificate verify failed: {why}"
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return f"no TLS: {getattr(error.os_error, 'reason', None) or error.os_error}"
    if isinstance(error, aiohttp.ClientOSError) and error.errno and error.errno > 0:
        return os.strerror(error.errno).lower()
    if isinstance(error, aiohttp.ClientResponseError) and error.message.startswith("Bad status line"):
        return "the answer is not HTTP"
    return str(error) or type(error).__name__


def _code(data: bytes) -> str:
    try:
        message = json.loads(data)["message"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return message if isinstance(message, str) else ""


def _origin(url: str) -> str:
    """``http://host:port`` of a URL."""
    scheme, colon, rest = url.partition("://")
    return scheme + colon + re.split("[/?#]", rest, maxsplit=1)[0]


def _https_origin(url: str, data: bytes) -> str:
    """Where to ask again: a nsqd that requires TLS answers 403 with its ``https_port``. Empty: nowhere."""
    try:
        port = int(json.loads(data)["https_port"])
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError):  # the last for infinity
        return ""
    scheme, _, authority = _origin(url).partition("://")
    return f"https://{_PORT.sub('', authority)}:{port}" if scheme == "http" and port else ""
