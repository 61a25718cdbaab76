"""Addresses of endpoints: what a URL says about where to connect and what to ask for. Pure."""

from __future__ import annotations

import base64
import re
from typing import NamedTuple
from urllib.parse import SplitResult, quote, unquote_to_bytes, urljoin, urlsplit

_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_PASSWORD = re.compile(r"(://[^/?#@:]*):[^/?#]*@")
_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))
_PORTS = {"http": 80, "https": 443}


class Origin(NamedTuple):
    """Where to connect."""

    scheme: str
    """``http`` or ``https``."""
    host: str
    port: int

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.scheme == "https"


class Url(NamedTuple):
    """A URL as a request needs it."""

    text: str
    """As it was given."""
    origin: Origin
    path: bytes
    """With the query: what the request line names."""
    lines: bytes
    """The header lines that follow from it: Host, and Authorization where it names a user."""


def parse_url(text: str) -> Url:
    """Raises ValueError, saying what is wrong.

    What a URL may not hold is percent-encoded, a ``%`` that begins no code included; a fragment is left out.
    """
    if _CONTROL.search(text):
        raise ValueError("has a control character")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as e:
        raise ValueError(str(e)) from None
    if parts.scheme not in _PORTS:
        raise ValueError("want a URL such as http://127.0.0.1:8000/path")
    host = _host(parts)
    default = _PORTS[parts.scheme]
    bracketed = f"[{host}]" if ":" in host else host
    named = bracketed if port is None or port == default else f"{bracketed}:{port}"
    lines = f"Host: {named}\r\n".encode() + _authorization(parts)
    path = quoted(parts.path or "/") + (f"?{quoted(parts.query)}" if parts.query else "")
    return Url(text, Origin(parts.scheme, host, default if port is None else port), path.encode(), lines)


def redirected(url: Url, location: str) -> Url:
    """Where an answer of ``url`` points to; raises ValueError."""
    return parse_url(urljoin(url.text, location))


def redacted(text: str) -> str:
    """``text`` as it may be shown: a password in it is hidden."""
    return _PASSWORD.sub(r"\1:xxxxx@", text)


def quoted(text: str) -> str:
    """``text`` with all percent-encoded that may not stand in a URL."""
    return _STRAY_PERCENT.sub("%25", quote(text, safe=_PRINTABLE, errors="surrogateescape"))


def _host(parts: SplitResult) -> str:
    host = parts.hostname
    if not host:
        raise ValueError("has no host")
    try:
        ascii_host = host if host.isascii() else host.encode("idna").decode()
    except UnicodeError:
        raise ValueError(f"{host!r} is no name of a host") from None
    if not re.fullmatch(r"[A-Za-z0-9._~:%-]+", ascii_host):
        raise ValueError(f"{host!r} is no name of a host")
    return ascii_host


def _authorization(parts: SplitResult) -> bytes:
    if parts.username is None:
        return b""
    user, password = (unquote_to_bytes(part or "") for part in (parts.username, parts.password))
    return b"Authorization: Basic " + base64.b64encode(user + b":" + password) + b"\r\n"
