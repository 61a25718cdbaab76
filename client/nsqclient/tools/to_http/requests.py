"""What is sent for a message: the bytes of HTTP requests. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol
from urllib.parse import quote_plus

from nsqclient.consumer.message import Message
from nsqclient.tools.to_http.urls import Origin, Url, parse_url, redacted

LONGEST_URL = 1 << 20
"""Bytes that the path and query of a GET request may have; no server in use takes more."""

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_UNFIT = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
OURS = frozenset(("host", "content-length", "transfer-encoding", "trailer"))
"""Headers, in lower case, that ``--header`` does not set: they follow from the request."""
_SECRETS = (b"authorization:", b"cookie:", b"proxy-authorization:", b"www-authenticate:")


class TooLong(Exception):
    """The message does not fit into a URL."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request."""

    method: bytes
    url: Url
    fields: bytes
    """Header lines, without those of the URL and Content-Length."""
    body: bytes | None

    def encode(self) -> bytes:
        """As it is sent."""
        method, path, lines = self.method, self.url.path, self.url.lines
        if self.body is None:
            return b"%b %b HTTP/1.1\r\n%b%b\r\n" % (method, path, lines, self.fields)
        head = b"%b %b HTTP/1.1\r\n%b%bContent-Length: %d\r\n\r\n"
        return head % (method, path, lines, self.fields, len(self.body)) + self.body

    def redirected(self, status: int, url: Url) -> Request:
        """What an answer of this status makes of it: 307 and 308 send the same again, others ask with GET.

        What is secret does not go to other hosts, or from https to http.
        """
        there, here = url.origin, self.url.origin
        fields = self.fields
        if there.host != here.host or (here.tls and not there.tls):
            kept = [
                line for line in fields.splitlines(keepends=True) if not line.lower().startswith(_SECRETS)
            ]
            fields = b"".join(kept)
        if status in (307, 308):
            return replace(self, url=url, fields=fields)
        return Request(b"GET", url, fields, None)


class Maker(Protocol):
    """Makes the requests of one address."""

    address: str
    """As it was given, without its password."""

    @property
    def origin(self) -> Origin:
        """Where its requests go."""

    def request(self, message: Message) -> Request:
        """The request for a message; raises TooLong."""


class Fields:
    """The header lines of requests."""

    def __init__(self, headers: Mapping[str, str], topic: str, channel: str, *, about_message: bool) -> None:
        """``about_message`` adds what NSQ knows of a message, under names that ``headers`` do not have."""
        taken = {name.lower() for name in headers}
        self._fixed = "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode(
            "utf-8", "surrogateescape"
        )
        self._template = b""
        if about_message:
            known = {
                "X-NSQ-Topic": topic,
                "X-NSQ-Channel": channel,
                "X-NSQ-Message-ID": "%(id)b",
                "X-NSQ-Attempts": "%(attempts)d",
                "X-NSQ-Timestamp": "%(timestamp)d",
            }
            lines = [f"{name}: {value}\r\n" for name, value in known.items() if name.lower() not in taken]
            self._template = "".join(lines).encode()

    def of(self, message: Message) -> bytes:
        """Those of the request for a message."""
        if not self._template:
            return self._fixed
        return self._fixed + self._template % {
            b"id": message.id_bytes,
            b"attempts": message.attempts,
            b"timestamp": message.timestamp_ns,
        }


class Post:
    """The message is the body."""

    def __init__(self, address: str, fields: Fields) -> None:
        """Raises ValueError when the address is no URL."""
        self.address: str = redacted(address)
        self._url = parse_url(address)
        self._fields = fields

    @property
    def origin(self) -> Origin:
        """Where its requests go."""
        return self._url.origin

    def request(self, message: Message) -> Request:
        """A POST."""
        return Request(b"POST", self._url, self._fields.of(message), message.body)


class Get:
    """The message is part of the URL, where ``%s`` stands."""

    def __init__(self, address: str, fields: Fields) -> None:
        """Raises ValueError when the address is no such URL."""
        self.address: str = redacted(address)
        self._before, self._after = split_template(address)
        self._fields = fields
        mark = "message"
        while mark in address:
            mark += "0"
        self._url = parse_url(f"{self._before}{mark}{self._after}")
        self._path, found, self._rest = self._url.path.partition(mark.encode())
        if not found:
            raise ValueError("wants its %s in the path or in the query")

    @property
    def origin(self) -> Origin:
        """Where its requests go."""
        return self._url.origin

    def request(self, message: Message) -> Request:
        """A GET; raises TooLong."""
        body = message.body
        escaped = quote_plus(body) if len(body) <= LONGEST_URL else ""
        size = max(len(body), len(self._path) + len(escaped) + len(self._rest))
        if size > LONGEST_URL:
            raise TooLong(
                f"a message of {len(body)} bytes makes a URL of {size} or more, beyond {LONGEST_URL}"
            )
        path = b"%b%b%b" % (self._path, escaped.encode(), self._rest)
        url = self._url._replace(text=f"{self._before}{escaped}{self._after}", path=path)
        return Request(b"GET", url, self._fields.of(message), None)


def split_template(address: str) -> tuple[str, str]:
    """What stands before and after the one ``%s``; raises ValueError when there is not exactly one.

    ``%%`` is a ``%``, as the original has it; any other ``%`` stands for itself.
    """
    parts = re.split(r"(%%|%s)", address)
    places = [at for at, part in enumerate(parts) if part == "%s"]
    if len(places) != 1:
        raise ValueError(f"wants exactly one %s, has {len(places)}")
    texts = ["%" if part == "%%" else part for part in parts]
    return "".join(texts[: places[0]]), "".join(texts[places[0] + 1 :])


def parse_headers(given: Sequence[str]) -> dict[str, str]:
    """Name and value of each ``Name: value``; the last of a name counts, whatever its letters' case.

    Raises ValueError. Its text is the original's where that one would complain.
    """
    headers: dict[str, tuple[str, str]] = {}
    for text in given:
        name, colon, value = (part.strip() for part in text.partition(":"))
        if not (colon and name and value):
            raise ValueError("--header value format should be 'key=value'")
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"--header {name!r} is no name of a header")
        if _UNFIT.search(value):
            raise ValueError(f"--header {name} has a control character in its value")
        headers[name.lower()] = name, value
    return dict(headers.values())
