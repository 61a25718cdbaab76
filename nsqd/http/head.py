"""Heads of HTTP requests that are for the fast lane, and the answers that it gives. Pure but for the date.

The API's server reads heads by all the rules of Go (:mod:`nsqcore.wire.http_head`), 12 µs each. The lane wants only
plain ones, and has httptools read them in 4: a publisher whose messages differ in length sends ever new heads.
"""

from __future__ import annotations

from typing import NamedTuple

import httptools

from nsqcore import http_exchange
from nsqcore.errors import HttpError
from nsqd.http import publish


class Head(NamedTuple):
    """What the lane needs to know of a request's head."""

    path: str
    args: publish.Arguments
    """Parameters of the query."""
    length: int
    """Bytes of the body."""
    keep_alive: bool


class _Collector:
    """Callbacks of httptools."""

    def __init__(self) -> None:
        self.url = b""
        self.lengths: list[bytes] = []
        self.hosts = 0
        self.plain = True
        self.complete = False

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == b"content-length":
            self.lengths.append(value.strip())
        elif name == b"host":
            self.hosts += 1
        elif name in (b"transfer-encoding", b"expect", b"upgrade"):
            self.plain = False

    def on_headers_complete(self) -> None:
        self.complete = True


def read_head(data: bytes) -> Head | None:
    """The head of a request that is for the lane; None for any other, malformed ones among them."""
    collector = _Collector()
    parser = httptools.HttpRequestParser(collector)
    try:
        parser.feed_data(data)
        if (
            not collector.complete
            or not collector.plain
            or len(collector.lengths) != 1
            or collector.hosts != 1
            or parser.get_method() != b"POST"
        ):
            return None
        if (
            parser.get_http_version() != "1.1"
            or not collector.lengths[0].isdigit()
            or len(collector.lengths[0]) > 15
        ):
            return None
        path, _, query = collector.url.decode("ascii").partition("?")
        if path not in ("/pub", "/mpub"):
            return None
        length = int(collector.lengths[0])
        return Head(path, publish.arguments(path, query, length), length, parser.should_keep_alive())
    except (httptools.HttpParserError, httptools.HttpParserUpgrade, UnicodeDecodeError, HttpError):
        return None


def closing(response: bytes) -> bytes:
    """The same, telling that it is the last one of its connection."""
    return response.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)


def refusal(error: HttpError) -> bytes:
    """The answer to a refused request."""
    return http_exchange.encode(http_exchange.refusal(error))


def ok() -> bytes:
    """The answer to a publish, with the date of now."""
    return http_exchange.encode(http_exchange.answer("OK"))
