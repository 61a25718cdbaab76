"""What the HTTP API's answers have to be like."""

from __future__ import annotations

from tests.support.nsqd import Answer

API = {"X-Nsq-Content-Type": "nsq; version=1.0"}
TEXT = {"Content-Type": "text/plain; charset=utf-8"}
BAD_QUERIES = ["topic=t;channel=c", "topic=%zz", "topic=t&x=%", "topic=%2"]
JSON = {"Content-Type": "application/json; charset=utf-8"}


def headers_of(answer: Answer) -> dict[str, str]:
    """Without those that tell of the moment, the server and the connection."""
    return {k: v for k, v in answer.headers.items() if k not in ("Date", "Server", "Connection")}


def expect_ok(answer: Answer) -> None:
    assert (answer.status, answer.body) == (200, b"OK")
    assert headers_of(answer) == {**API, **TEXT, "Content-Length": "2"}


def expect_empty(answer: Answer) -> None:
    assert (answer.status, answer.body) == (200, b"")
    assert headers_of(answer) == {**API, "Content-Length": "0"}


def expect_refusal(answer: Answer, status: int, code: str) -> None:
    body = b'{"message":"%b"}' % code.encode()
    assert (answer.status, answer.body) == (status, body)
    assert headers_of(answer) == {**API, **JSON, "Content-Length": str(len(body))}


def post_bytes(target: str, body: bytes, *headers: str, length: str | None = None) -> bytes:
    """A request to the byte; ``length`` stands for the whole line of the Content-Length."""
    lines = [f"POST {target} HTTP/1.1", "Host: nsqd", *headers]
    lines.append(f"Content-Length: {len(body)}" if length is None else length)
    return "\r\n".join([*filter(None, lines), "", ""]).encode() + body
