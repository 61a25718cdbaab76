"""Tables of raw HTTP requests and raw answers: the bytes of the wire, and whether the connection lives.

In requests ``|`` stands for CR LF and ``¶`` for a bare LF. Answers are without their Date.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence
from typing import NamedTuple

PATIENCE_S = 5.0
_DATE = re.compile(rb"Date: [^\r]*\r\n")
_API = "X-Nsq-Content-Type: nsq; version=1.0\r\n"
_JSON = "Content-Type: application/json; charset=utf-8\r\n"
_TEXT = "Content-Type: text/plain; charset=utf-8\r\n"
_PROBE = b"DELETE /probe HTTP/1.1\r\nHost: h\r\n\r\n"


class Case(NamedTuple):
    """What is sent, and what comes back in answer to all of it."""

    sent: str
    answers: Sequence[str]
    lives: bool = True
    """Whether the connection goes on."""
    eof: bool = False
    """Whether the client sends no more behind it."""


def get(target: str, *headers: str, method: str = "GET") -> str:
    """A request without a body."""
    return "|".join([f"{method} {target} HTTP/1.1", "Host: h", *headers, "", ""])


def post(target: str, body: str = "", *headers: str, method: str = "POST") -> str:
    """A request with a body of ASCII."""
    return get(target, f"Content-Length: {len(body)}", *headers, method=method) + body


def plain(body: str = "OK", status: str = "200 OK") -> str:
    """An answer of ``/ping``."""
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{_TEXT}\r\n{body}"


def ok(body: str = "OK") -> str:
    """A text of the API."""
    return f"HTTP/1.1 200 OK\r\n{_API}Content-Length: {len(body)}\r\n{_TEXT if body else ''}\r\n{body}"


def value(body: str) -> str:
    """JSON of the API."""
    return f"HTTP/1.1 200 OK\r\n{_JSON}{_API}Content-Length: {len(body)}\r\n\r\n{body}"


EMPTY = ok("")


def refused(status: str, code: str, *, allow: str = "", body: bool = True) -> str:
    """A refusal of the API; ``body``: whether the method has one."""
    text = f'{{"message":"{code}"}}'
    first = f"Allow: {allow}\r\n" if allow else ""
    return (
        f"HTTP/1.1 {status}\r\n{first}{_JSON}{_API}Content-Length: {len(text)}\r\n\r\n{text if body else ''}"
    )


NOT_FOUND = refused("404 Not Found", "NOT_FOUND")


def invalid(code: str) -> str:
    """A bad request that the API refuses."""
    return refused("400 Bad Request", code)


def too_large(code: str) -> str:
    """Too much."""
    return refused("413 Request Entity Too Large", code)


def wrong_method(allow: str) -> str:
    """The path is there, the method is not."""
    return refused("405 Method Not Allowed", "METHOD_NOT_ALLOWED", allow=allow)


def last(answer: str) -> str:
    """The same as the last of its connection."""
    head, _, body = answer.partition("\r\n\r\n")
    return f"{head}\r\nConnection: close\r\n\r\n{body}"


def unreadable(status: str = "400 Bad Request", body: str = "") -> str:
    """The answer to what is no request."""
    return f"HTTP/1.1 {status}\r\n{_TEXT}Connection: close\r\n\r\n{body or status}"


def moved(location: str, shown: str = "") -> str:
    """A GET is sent to another path."""
    page = f'<a href="{shown or location}">Moved Permanently</a>.\n\n'
    return (
        "HTTP/1.1 301 Moved Permanently\r\nContent-Type: text/html; charset=utf-8\r\n"
        f"Location: {location}\r\nContent-Length: {len(page)}\r\n\r\n{page}"
    )


def moved_on(location: str) -> str:
    """Another method is."""
    return f"HTTP/1.1 307 Temporary Redirect\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"


def options(allow: str) -> str:
    """The answer to OPTIONS."""
    return f"HTTP/1.1 200 OK\r\nAllow: {allow}\r\nContent-Length: 0\r\n\r\n"


def play(address: str, case: Case) -> None:
    """Sends a case to a server and compares; a connection that lives has to answer one request more."""
    host, _, port = address.rpartition(":")
    expected = "".join([*case.answers, *([NOT_FOUND] if case.lives else [])]).encode()
    with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as client:
        client.sendall(case.sent.replace("|", "\r\n").replace("¶", "\n").encode("utf-8", "surrogateescape"))
        if case.eof:
            client.shutdown(socket.SHUT_WR)
        elif case.lives:
            client.sendall(_PROBE)
        came = b""
        while not case.lives or len(_DATE.sub(b"", came)) < len(expected):
            part = client.recv(1 << 16)
            if not part:
                break
            came += part
    assert _DATE.sub(b"", came).decode("utf-8", "replace") == expected.decode()
