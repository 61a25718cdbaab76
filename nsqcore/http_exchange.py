"""What a handler of an HTTP API sees of a request, and what it answers."""

from __future__ import annotations

import time
from email.utils import formatdate
from typing import NamedTuple, Protocol
from urllib.parse import quote

from nsqcore.errors import HttpError
from nsqcore.golang import go_json
from nsqcore.wire.http_head import Head

API_HEADERS = (("X-Nsq-Content-Type", "nsq; version=1.0"),)
JSON_TYPE = "application/json; charset=utf-8"
TEXT_TYPE = "text/plain; charset=utf-8"
_REASONS = {
    200: "OK",
    301: "Moved Permanently",
    307: "Temporary Redirect",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Request Entity Too Large",
    417: "Expectation Failed",
    500: "Internal Server Error",
    503: "Service Unavailable",
}

Body = dict[str, object] | list[object] | str | bytes | None


class Incoming(Protocol):
    """A request's body, while it comes in."""

    def check(self, limit: int, refusal: HttpError) -> None:
        """Raises ``refusal`` when the client says that it is longer than ``limit`` bytes."""

    async def read(self, limit: int, refusal: HttpError) -> bytes:
        """All of it; raises ``refusal`` when it is longer than ``limit`` bytes, BadBody when it breaks off."""

    async def skip(self) -> None:
        """Waits for its end and keeps nothing of it; raises BadBody when it breaks off."""

    async def hung_up(self, timeout: float) -> None:
        """Waits until the client sends no more or the server ends, but no longer than ``timeout`` seconds."""


class Request:
    """One request."""

    __slots__ = ("args", "body", "head", "peer")

    def __init__(self, head: Head, body: Incoming, peer: str) -> None:
        self.head = head
        self.body = body
        self.peer = peer
        """The client's address, as it is logged."""
        self.args: dict[str, str] = {}
        """What the open segments of the endpoint's path matched."""

    @property
    def path(self) -> str:
        """The path, decoded."""
        return self.head.path

    @property
    def uri(self) -> str:
        """Path and query, as they are logged: nothing beyond ASCII in the path."""
        head = self.head
        return with_query(
            escape_path(head.path) if not head.raw_path.isascii() else head.raw_path or "/", head
        )


class Answer(NamedTuple):
    """A response; the headers that every response has are added when it is sent."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    guessed_type: str = ""
    """A Content-Type that Go would find out by itself: it stands behind the others."""


def answer(body: Body, status: int = 200, *, plain: bool = False) -> Answer:
    """A response in the API's form: JSON for dicts and lists, text for str, bytes as JSON made before."""
    headers = () if plain else API_HEADERS
    if body is None:
        return Answer(status, b"", headers)
    if isinstance(body, str):
        return Answer(status, body.encode("utf-8", "surrogateescape"), headers, TEXT_TYPE if body else "")
    data = body if isinstance(body, bytes) else go_json(body)
    return Answer(status, data, (("Content-Type", JSON_TYPE), *headers))


def refusal(error: HttpError, *, plain: bool = False) -> Answer:
    """The answer to a refused request."""
    return answer(error.code if plain else {"message": error.code}, error.status, plain=plain)


def moved(request: Request, path: str) -> Answer:
    """Sends a client to another path, its query kept; browsers get a line to click on, as from Go."""
    head = request.head
    location = head.origin + with_query(escape_path(path), head)
    escaped = quote(location.encode("utf-8", "surrogateescape"), safe=_PRINTABLE)
    if head.method != "GET":
        return Answer(307, b"", (("Location", escaped),))
    for char, entity in _ENTITIES:
        location = location.replace(char, entity)
    page = f'<a href="{location}">{_REASONS[301]}</a>.\n\n'.encode("utf-8", "surrogateescape")
    return Answer(301, page, (("Content-Type", "text/html; charset=utf-8"), ("Location", escaped)))


_PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))
_ENTITIES = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&#34;"), ("'", "&#39;"))


def escape_path(path: str) -> str:
    """A decoded path with the escapes that Go's net/url puts in."""
    return quote(path.encode("utf-8", "surrogateescape"), safe="/$&+,:;=@~")


def with_query(path: str, head: Head) -> str:
    """``path`` and the query of ``head``."""
    return f"{path}?{head.query}" if head.query else path


def encode(answer: Answer, *, minor: int = 1, keep_alive: bool = True, without_body: bool = False) -> bytes:
    """The bytes of a response to a request of HTTP/1.``minor``, the headers in Go's order."""
    connection = ""
    if minor and not keep_alive:
        connection = "Connection: close\r\n"
    elif keep_alive and not minor:
        connection = "Connection: keep-alive\r\n"
    status, body, headers, guessed_type = answer
    head = (
        f"HTTP/1.{minor} {status} {_REASONS[status]}\r\n"
        + "".join(f"{name}: {value}\r\n" for name, value in headers)
        + f"Date: {formatdate(time.time(), usegmt=True)}\r\nContent-Length: {len(body)}\r\n"
        + (f"Content-Type: {guessed_type}\r\n" if guessed_type else "")
        + connection
        + "\r\n"
    ).encode()
    return head if without_body else head + body
