"""Heads of requests: what Go's server takes, what it refuses and in which words."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsqcore.wire.http_head import MAX_LINES, BadRequest, head_end, read_head

HOST = "Host: h\r\n"


def head(line: str, headers: str = HOST) -> bytes:
    return f"{line}\r\n{headers}\r\n".encode()


@pytest.mark.parametrize(
    ("target", "origin", "raw_path", "path", "query"),
    [
        ("/ping", "", "/ping", "/ping", ""),
        ("/pub?topic=t", "", "/pub", "/pub", "topic=t"),
        ("/pub?a=b?c", "", "/pub", "/pub", "a=b?c"),
        ("/pub?", "", "/pub", "/pub", ""),
        ("/a%20b%2fc", "", "/a%20b%2fc", "/a b/c", ""),
        ("/pub?topic=t#ephemeral", "", "/pub", "/pub", "topic=t#ephemeral"),
        ("/caf\u00e9", "", "/caf\u00e9", "/caf\u00e9", ""),
        ("/%ff", "", "/%ff", "/\udcff", ""),
        ("*", "", "*", "*", ""),
        ("//x/y", "", "//x/y", "//x/y", ""),
        ("http://h:1/ping?a", "http://h:1", "/ping", "/ping", "a"),
        ("http://h", "http://h", "", "", ""),
        ("a:b", "", "", "", ""),
    ],
)
def test_a_target_is_taken_apart(target: str, origin: str, raw_path: str, path: str, query: str) -> None:
    found = read_head(head(f"GET {target} HTTP/1.1"))
    assert (found.origin, found.raw_path, found.path, found.query) == (origin, raw_path, path, query)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (head("GET / HTTP/1.1"), True),
        (head("GET / HTTP/1.2"), True),
        (head("GET / HTTP/1.0"), False),
        (head("GET / HTTP/1.1", HOST + "Connection: close\r\n"), False),
        (head("GET / HTTP/1.1", HOST + "Connection: x, Close\r\n"), False),
        (head("GET / HTTP/1.1", HOST + "Connection: x\r\nConnection: close\r\n"), False),
        (head("GET / HTTP/1.0", "Connection: Keep-Alive\r\n"), True),
        (head("GET / HTTP/1.0", "Connection: keep-alive, close\r\n"), False),
    ],
)
def test_the_client_says_whether_the_connection_goes_on(data: bytes, expected: bool) -> None:
    assert read_head(data).keep_alive is expected


@pytest.mark.parametrize(
    ("line", "headers", "length"),
    [
        ("POST / HTTP/1.1", "", 0),
        ("POST / HTTP/1.1", "Content-Length: 12\r\n", 12),
        ("POST / HTTP/1.1", "content-length:12 \r\n", 12),
        ("POST / HTTP/1.1", "Content-Length:\r\n", 0),
        ("POST / HTTP/1.1", "Content-Length: 1\r\nContent-Length: 1\r\n", 1),
        ("POST / HTTP/1.1", "Transfer-Encoding: Chunked\r\n", None),
        ("POST / HTTP/1.1", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", None),
        ("POST / HTTP/1.0", "Transfer-Encoding: chunked\r\n", 0),
        ("POST / HTTP/1.1", f"Content-Length: {(1 << 63) - 1}\r\n", (1 << 63) - 1),
    ],
)
def test_the_body_has_a_length_or_is_chunked(line: str, headers: str, length: int | None) -> None:
    assert read_head(head(line, HOST + headers)).length == length


@pytest.mark.parametrize(
    "data",
    [
        b"GET /ping HTTP/1.1\nHost: h\n\n",
        b"GET /ping HTTP/1.1\r\nHost: h\n\r\n",
        head("GET /ping HTTP/1.1", HOST + "A: b\r\n c\r\n"),
        head("GET /ping HTTP/1.1", HOST + ": no name\r\n"),
        head("GET /ping HTTP/1.1", HOST + "A: tab\tinside\r\n"),
        head("GET /ping HTTP/1.1", "Host:\r\n"),
        head("f#o /ping HTTP/1.1"),
    ],
)
def test_what_go_is_generous_about_is_taken(data: bytes) -> None:
    assert read_head(data).path == "/ping"
    assert head_end(data) == len(data)


def test_headers_are_found_by_their_lower_case_name_folded_lines_joined() -> None:
    found = read_head(head("GET / HTTP/1.1", HOST + "X-Y: a \r\n\t b\r\nx-y: c\r\nZ:\r\n")).headers
    assert found == {"host": "h", "x-y": "a b", "z": ""}


PLAIN = "400 Bad Request"


@pytest.mark.parametrize(
    ("data", "status", "body"),
    [
        (head("GET /ping"), PLAIN, PLAIN),
        (head("garbage"), PLAIN, PLAIN),
        (head("GET /pi ng HTTP/1.1"), PLAIN, PLAIN),
        (head("G@T /ping HTTP/1.1"), PLAIN, PLAIN),
        (head(" /ping HTTP/1.1"), PLAIN, PLAIN),
        (head("GET /ping HTTP/1.10"), PLAIN, PLAIN),
        (head("GET /ping http/1.1"), PLAIN, PLAIN),
        (head("GET ping HTTP/1.1"), PLAIN, PLAIN),
        (head("GET ?a HTTP/1.1"), PLAIN, PLAIN),
        (head("GET  HTTP/1.1"), PLAIN, PLAIN),
        (head("GET /p%zz HTTP/1.1"), PLAIN, PLAIN),
        (head("GET /p% HTTP/1.1"), PLAIN, PLAIN),
        (head("GET /\x01 HTTP/1.1"), PLAIN, PLAIN),
        (head("GET http://a b/ HTTP/1.1"), PLAIN, PLAIN),
        (head("GET http://a<b/ HTTP/1.1"), PLAIN, PLAIN),
        (head("GET / HTTP/1.1", HOST + HOST), PLAIN, PLAIN),
        (head("GET / HTTP/1.1", " A: b\r\n" + HOST), PLAIN, PLAIN),
        (head("GET / HTTP/1.1", HOST + "no colon\r\n"), PLAIN, PLAIN),
        (head("POST / HTTP/1.1", HOST + "Content-Length: x\r\n"), PLAIN, PLAIN),
        (head("POST / HTTP/1.1", HOST + "Content-Length: -1\r\n"), PLAIN, PLAIN),
        (head("POST / HTTP/1.1", HOST + "Content-Length: +1\r\n"), PLAIN, PLAIN),
        (head("POST / HTTP/1.1", HOST + "Content-Length: 1, 1\r\n"), PLAIN, PLAIN),
        (head("POST / HTTP/1.1", HOST + f"Content-Length: {1 << 63}\r\n"), PLAIN, PLAIN),
        (head("POST / HTTP/1.1", HOST + "Content-Length: 1\r\nContent-Length: 2\r\n"), PLAIN, PLAIN),
        (head("GET / HTTP/1.1", ""), f"{PLAIN}: missing required Host header", None),
        (head("GET / HTTP/1.1", "Host: a b\r\n"), f"{PLAIN}: malformed Host header", None),
        (head("GET / HTTP/1.1", HOST + "A : b\r\n"), f"{PLAIN}: invalid header name", None),
        (head("GET / HTTP/1.1", HOST + "A: \x01\r\n"), f"{PLAIN}: invalid header value", None),
        (head("GET / HTTP/1.1", HOST + "A: b\rc\r\n"), f"{PLAIN}: invalid header value", None),
        (head("GET / HTTP/2.0"), "505 HTTP Version Not Supported: unsupported protocol version", None),
        (head("GET / HTTP/3.0"), "505 HTTP Version Not Supported: unsupported protocol version", None),
        (head("POST / HTTP/1.1", HOST + "Transfer-Encoding: gzip\r\n"), "501 Not Implemented", "Unsupported transfer encoding"),
        (head("POST / HTTP/1.1", HOST + "Transfer-Encoding: gzip, chunked\r\n"), "501 Not Implemented", "Unsupported transfer encoding"),
        (head("POST / HTTP/1.1", HOST + "Transfer-Encoding: chunked\r\n" * 2), "501 Not Implemented", "Unsupported transfer encoding"),
    ],
)  # fmt: skip
def test_what_go_refuses_is_refused_in_its_words(data: bytes, status: str, body: str | None) -> None:
    with pytest.raises(BadRequest) as caught:
        read_head(data)
    assert (
        caught.value.answer
        == (
            f"HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n{body or status}"
        ).encode()
    )


@pytest.mark.parametrize("line", ["A: b\r\n", " b\r\n", "A{}: b\r\n"])
def test_a_head_of_very_many_lines_is_refused(line: str) -> None:
    headers = HOST + "X: y\r\n" + "".join(line.format(n) for n in range(MAX_LINES))
    with pytest.raises(BadRequest) as caught:
        read_head(head("GET / HTTP/1.1", headers))
    assert caught.value.status == "431 Request Header Fields Too Large"
    fewer = "".join(headers.splitlines(keepends=True)[: MAX_LINES - 1])
    assert read_head(head("GET / HTTP/1.1", fewer)).path == "/"


@pytest.mark.parametrize(
    ("expect", "length", "asked", "refused"),
    [("100-continue", 1, True, False), ("100-Continue", 0, False, False), ("more", 1, False, True)],
)
def test_a_client_may_expect_to_be_asked(expect: str, length: int, asked: bool, refused: bool) -> None:
    found = read_head(head("POST / HTTP/1.1", HOST + f"Expect: {expect}\r\nContent-Length: {length}\r\n"))
    assert (found.expects_continue, found.expects_more) == (asked, refused)


PIECES = st.one_of(
    st.sampled_from(
        [
            b"GET ",
            b"/ping",
            b" HTTP/1.1",
            b"\r\n",
            b"\n",
            b"Host: h\r\n",
            b"http://",
            b"?",
            b"%",
            b":",
            b" ",
            b"\t",
        ]
    ),
    st.sampled_from([b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n"]),
    st.binary(max_size=6),
)


@given(st.lists(PIECES, max_size=14).map(b"".join))
def test_any_bytes_are_a_head_or_a_refusal(data: bytes) -> None:
    data += b"\r\n\r\n"
    whole = data[: head_end(data)]
    with suppress(BadRequest):
        found = read_head(whole)
        assert found.length is None or found.length >= 0
        found.path.encode("utf-8", "surrogateescape")


@given(st.lists(PIECES, max_size=14).map(b"".join), st.integers(0, 200))
def test_the_end_of_a_head_is_found_wherever_the_search_was_interrupted(data: bytes, at: int) -> None:
    data += b"\r\n\r\n"
    seen = data[:at]
    if head_end(seen) < 0:
        assert head_end(data, len(seen)) == head_end(data)
