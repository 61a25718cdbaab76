"""Heads of HTTP/1 requests, read as Go's net/http reads them: what it takes is taken, what it refuses is refused.

That is the originals' side of the wire: scripts and load balancers see the same statuses and texts.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

MAX_HEAD = (1 << 20) + 4096
"""Bytes of a request line and its headers together."""
MAX_LINES = 10_000
"""Lines of a head: reading so many takes some 30 ms, which all other clients wait."""
_END = re.compile(rb"\n\r?\n")
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_HOST = re.compile(rb"[!$%&'()*+,\-.:;=@\[\]_~0-9A-Za-z]*")
_VERSION = re.compile(rb"HTTP/([0-9])\.([0-9])")
_SCHEME = re.compile(rb"([A-Za-z][A-Za-z0-9+.\-]*):")
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_CONTROL_BUT_TAB = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")


class BadRequest(Exception):
    """A request that can't be read: ``status`` (with reason) and ``body`` are the answer, ``why`` is for the log."""

    def __init__(self, why: str, status: str = "400 Bad Request", body: str | None = None) -> None:
        super().__init__(why)
        self.status = status
        self.body = status if body is None else body

    @classmethod
    def told(cls, why: str, status: str = "400 Bad Request") -> BadRequest:
        """One whose reason is told to the client too."""
        return cls(why, f"{status}: {why}")

    @property
    def answer(self) -> bytes:
        """The whole answer, behind which the connection is closed."""
        return (
            f"HTTP/1.1 {self.status}\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"
            f"{self.body}"
        ).encode()


TOO_LONG = BadRequest("head is too long", "431 Request Header Fields Too Large")


class Head(NamedTuple):
    """A request without its body. Bytes that are not UTF-8 are surrogate escapes in all texts."""

    method: str
    origin: str
    """``scheme://authority`` of an absolute target, else empty."""
    raw_path: str
    """The path as it came, percent escapes and all."""
    path: str
    """The path, decoded."""
    query: str
    """What came behind the first ``?``, as it came."""
    minor: int
    """0 for HTTP/1.0, 1 for HTTP/1.1 and what is later."""
    headers: dict[str, str]
    """By lower-case name; of repeated ones the first."""
    length: int | None
    """Bytes of the body; None when it is chunked."""
    keep_alive: bool
    """Whether the client wants the connection to go on."""
    expects_continue: bool
    """Whether the client waits for ``100 Continue`` before it sends the body."""
    expects_more: bool
    """Whether it expects something else, which nobody can fulfil."""


def head_end(data: bytes | bytearray, start: int = 0) -> int:
    """Where the first head in ``data`` ends, its blank line included; -1 when it is not complete.

    ``start`` is how much was looked at before.
    """
    found = _END.search(data, max(start - 2, 0))
    return found.end() if found else -1


def read_head(data: bytes) -> Head:
    """A complete head; raises BadRequest."""
    line, _, rest = data.partition(b"\n")
    method, target, major, minor = read_request_line(line)
    origin, raw_path, query = _split_target(method, target)
    headers = _read_headers(rest)
    hosts = headers.get(b"host", ())
    if len(hosts) > 1:
        raise BadRequest("too many Host headers")
    length = _body_length(headers, (major, minor))
    if major != 1 and not (method == b"PRI" and target == b"*"):
        raise BadRequest.told("unsupported protocol version", "505 HTTP Version Not Supported")
    if (major, minor) >= (1, 1) and not hosts and method not in (b"CONNECT", b"PRI"):
        raise BadRequest.told("missing required Host header")
    if hosts and not _HOST.fullmatch(hosts[0]):
        raise BadRequest.told("malformed Host header")
    for name, values in headers.items():
        if not _TOKEN.fullmatch(name):
            raise BadRequest.told("invalid header name")
        if any(map(_CONTROL_BUT_TAB.search, values)):
            raise BadRequest.told("invalid header value")
    options = {word.strip().lower() for value in headers.get(b"connection", ()) for word in value.split(b",")}
    expect = headers.get(b"expect", (b"",))[0].lower()
    return Head(
        method.decode(),
        _text(origin),
        _text(raw_path),
        _text(unquote_to_bytes(raw_path)),
        _text(query),
        min(minor, 1) if major == 1 else 1,
        {_text(name): _text(values[0]) for name, values in headers.items()},
        length,
        b"close" not in options and (major, minor) != (2, 0) and (minor > 0 or b"keep-alive" in options),
        expect == b"100-continue" and (major, minor) >= (1, 1) and length != 0,
        expect not in (b"", b"100-continue"),
    )


def read_request_line(line: bytes) -> tuple[bytes, bytes, int, int]:
    """Method, target and version of the first line; raises BadRequest."""
    method, _, rest = line.rstrip(b"\r").partition(b" ")
    target, _, version = rest.partition(b" ")
    numbers = _VERSION.fullmatch(version)
    if numbers is None or not _TOKEN.fullmatch(method):
        raise BadRequest("malformed request line")
    return method, target, int(numbers[1]), int(numbers[2])


def _split_target(method: bytes, target: bytes) -> tuple[bytes, bytes, bytes]:
    """Origin, path and query as they came; raises BadRequest."""
    if not target or _CONTROL.search(target):
        raise BadRequest("invalid request target")
    if target == b"*":
        return b"", b"*", b""
    if method == b"CONNECT" and not target.startswith(b"/"):
        return b"", b"", b""
    scheme = _SCHEME.match(target)
    origin = scheme[0] if scheme else b""
    path, _, query = target[len(origin) :].partition(b"?")
    if scheme and not path.startswith(b"/"):
        return b"", b"", b""
    if scheme and path.startswith(b"//"):
        authority, slash, below = path[2:].partition(b"/")
        if not _HOST.fullmatch(authority):
            raise BadRequest("invalid host in request target")
        origin, path = origin + b"//" + authority, slash + below
    elif not path.startswith(b"/"):
        raise BadRequest("invalid request target")
    if _BAD_ESCAPE.search(path):
        raise BadRequest("invalid escape in request target")
    return origin, path, query


def _read_headers(data: bytes) -> dict[bytes, list[bytes]]:
    """Values by lower-case name; lines that begin with a blank belong to the one before."""
    if data[:1] in (b" ", b"\t"):
        raise BadRequest("malformed first header")
    if data.count(b"\n") > MAX_LINES:
        raise TOO_LONG
    found: dict[bytes, list[list[bytes]]] = {}
    last: list[bytes] = []
    for line in data.split(b"\n"):
        if line[:1] in (b" ", b"\t"):
            last.append(line.strip(b" \t\r"))
            continue
        line = line.rstrip(b"\r")
        if not line:
            break
        name, colon, value = line.partition(b":")
        if not colon:
            raise BadRequest("header without a colon")
        last = [value.strip(b" \t")]
        found.setdefault(name.lower(), []).append(last)
    found.pop(b"", None)
    return {name: [b" ".join(parts) for parts in values] for name, values in found.items()}


def _body_length(headers: dict[bytes, list[bytes]], version: tuple[int, int]) -> int | None:
    codings = headers.get(b"transfer-encoding")
    if codings and version >= (1, 1):
        if len(codings) > 1 or codings[0].lower() != b"chunked":
            raise BadRequest(
                "unsupported transfer encoding", "501 Not Implemented", "Unsupported transfer encoding"
            )
        return None
    lengths = set(headers.get(b"content-length", (b"",)))
    if len(lengths) > 1:
        raise BadRequest("different Content-Lengths")
    [length] = lengths
    if not length:
        return 0
    if not length.isdigit() or len(length) > 19 or int(length) >= 1 << 63:
        raise BadRequest("bad Content-Length")
    return int(length)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
