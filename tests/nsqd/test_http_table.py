"""Every endpoint of nsqd by raw bytes: good, borderline and bad; and what HTTP itself allows and forbids.

The same table holds for the original, where ``NSQ_PEER_BIN`` names the folder with it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.http_table import (
    EMPTY,
    NOT_FOUND,
    Case,
    get,
    invalid,
    last,
    moved,
    moved_on,
    ok,
    options,
    plain,
    play,
    post,
    refused,
    too_large,
    unreadable,
    value,
    wrong_method,
)
from tests.support.needs import original
from tests.support.processes import spawn

FLAGS = ("--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--https-address=", "--node-id=5")
LIMITS = ("--max-msg-size=100", "--max-body-size=1000", "--max-req-timeout=10s")


@pytest.fixture(scope="module", params=["ours", "original"])
def address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a daemon serves that has a topic t with a channel c."""
    program = "nsqd" if request.param == "ours" else original("nsqd")
    with spawn(program, *FLAGS, *LIMITS, f"--data-path={tmp_path_factory.mktemp('data')}") as daemon:
        play(daemon.http, Case(post("/topic/create?topic=t"), [EMPTY]))
        play(daemon.http, Case(post("/channel/create?topic=t&channel=c"), [EMPTY]))
        yield daemon.http


LONG = "x" * 64
GONE = refused("404 Not Found", "TOPIC_NOT_FOUND")
NO_CHANNEL = refused("404 Not Found", "CHANNEL_NOT_FOUND")
ONLY_GET, ONLY_POST, GET_PUT = "GET, OPTIONS", "OPTIONS, POST", "GET, OPTIONS, PUT"
ALL = "GET, OPTIONS, POST, PUT"
CHUNKED = "Transfer-Encoding: chunked"

PUBLISHING = [
    Case(post("/pub?topic=t", "m"), [ok()]),
    Case(post("/pub?topic=t", "m" * 100), [ok()]),
    Case(post("/pub?topic=t", "m" * 101), [too_large("MSG_TOO_BIG")]),
    Case(post("/pub?topic=t") + post("/pub?topic=t", "m"), [invalid("MSG_EMPTY"), ok()]),
    Case(get("/pub?topic=t", method="POST"), [invalid("MSG_EMPTY")]),
    Case(post("/pub?topic=%zz", ""), [invalid("MSG_EMPTY")]),
    Case(post("/pub?topic=%zz", "m"), [invalid("INVALID_REQUEST")]),
    Case(post("/pub?topic=t;x", "m"), [invalid("INVALID_REQUEST")]),
    Case(post("/pub", "m"), [invalid("MISSING_ARG_TOPIC")]),
    Case(post("/pub?topic=", "m"), [invalid("INVALID_TOPIC")]),
    Case(post(f"/pub?topic={LONG}", "m"), [ok()]),
    Case(post(f"/pub?topic={LONG}x", "m"), [invalid("INVALID_TOPIC")]),
    Case(post("/pub?topic=caf\u00e9", "m"), [invalid("INVALID_TOPIC")]),
    Case(post("/pub?topic=%ed%a0%80", "m"), [invalid("INVALID_TOPIC")]),
    Case(post("/pub?topic=t&defer=10000", "m"), [ok()]),
    Case(post("/pub?topic=t&defer=10001", "m"), [invalid("INVALID_DEFER")]),
    Case(post("/pub?topic=t&defer=-1", "m"), [invalid("INVALID_DEFER")]),
    Case(post("/pub?topic=t&defer=", "m"), [invalid("INVALID_DEFER")]),
    Case(get("/pub?topic=t", CHUNKED, method="POST") + "1|m|0||", [ok()]),
    Case(get("/pub?topic=t", CHUNKED, method="POST") + "65|" + "m" * 101 + "|0||", [too_large("MSG_TOO_BIG")]),
    Case(post("/mpub?topic=t", "a¶b"), [ok()]),
    Case(post("/mpub?topic=t", ""), [ok()]),
    Case(post("/mpub?topic=t", "a" * 100), [ok()]),
    Case(post("/mpub?topic=t", "a" * 101), [too_large("MSG_TOO_BIG")]),
    Case(post("/mpub?topic=t", ("a" * 99 + "¶") * 10), [ok()]),
    Case(post("/mpub?topic=t", ("a" * 99 + "¶") * 10 + "b"), [too_large("BODY_TOO_BIG")]),
    Case(post("/mpub?topic=t&binary=true", "abc"), [too_large("BAD_BODY")]),
    Case(post("/mpub?topic=t&binary=true", "\0\0\0\1\0\0\0\2a"), [too_large("BAD_MESSAGE")]),
    Case(post("/mpub?topic=t&binary=true", "\0\0\0\1\0\0\0\1a"), [ok()]),
    Case(post("/mpub?topic=a%20b", "m"), [invalid("INVALID_TOPIC")]),
]  # fmt: skip
TOPICS = [
    *(
        Case(post(f"/topic/{verb}{query}"), [answer])
        for verb in ("create", "delete", "empty", "pause", "unpause")
        for query, answer in [
            ("", invalid("MISSING_ARG_TOPIC")),
            ("?topic=%zz", invalid("INVALID_REQUEST")),
            ("?topic=a%20b", invalid("INVALID_TOPIC") if verb in ("create", "empty") else GONE),
            ("?topic=new%23ephemeral" if verb == "create" else "?topic=unknown", EMPTY if verb == "create" else GONE),
        ]
    ),
    Case(post("/topic/create?topic=a") + post("/topic/create?topic=a") + post("/topic/empty?topic=a"), [EMPTY] * 3),
    Case(post("/topic/create?topic=b") + post("/topic/pause?topic=b") + post("/topic/pause?topic=b"), [EMPTY] * 3),
    Case(post("/topic/create?topic=c") + post("/topic/delete?topic=c") + post("/topic/delete?topic=c"), [EMPTY, EMPTY, GONE]),
    Case(post("/topic/unpause?topic=t", "ignored"), [EMPTY]),
    *(
        Case(post(f"/channel/{verb}{query}"), [answer])
        for verb in ("create", "delete", "empty", "pause", "unpause")
        for query, answer in [
            ("?channel=c", invalid("MISSING_ARG_TOPIC")),
            ("?topic=t;channel=c", invalid("INVALID_REQUEST")),
            ("?topic=&channel=c", invalid("INVALID_ARG_TOPIC")),
            ("?topic=t", invalid("MISSING_ARG_CHANNEL")),
            ("?topic=unknown&channel=", invalid("INVALID_ARG_CHANNEL")),
            ("?topic=unknown&channel=c", GONE),
            ("?topic=t&channel=new" if verb == "create" else "?topic=t&channel=unknown", EMPTY if verb == "create" else NO_CHANNEL),
        ]
    ),
    Case(post("/channel/pause?topic=t&channel=c") + post("/channel/unpause?topic=t&channel=c"), [EMPTY] * 2),
    Case(post("/channel/create?topic=t&channel=d") + post("/channel/delete?topic=t&channel=d"), [EMPTY] * 2),
]  # fmt: skip
NODE = [
    Case(get("/ping"), [plain()]),
    Case(get("/ping?%zz"), [plain()]),
    Case(get("/stats?topic=%zz"), [invalid("INVALID_REQUEST")]),
    Case(get("/stats?format=json&topic=x;"), [invalid("INVALID_REQUEST")]),
    Case(get("/config/id"), [value("5")]),
    Case(get("/config/tls_key"), [EMPTY]),
    Case(get("/config/log_prefix"), [ok("[nsqd] ")]),
    Case(get("/config/nope"), [invalid("INVALID_OPTION")]),
    Case(post("/config/id", "6", method="PUT"), [invalid("INVALID_OPTION")]),
    Case(post("/config/log_level", "bogus", method="PUT"), [invalid("INVALID_VALUE")]),
    Case(post("/config/log_level", "", method="PUT"), [too_large("INVALID_VALUE")]),
    Case(post("/config/log_level", "x" * 101, method="PUT"), [too_large("INVALID_VALUE")]),
    Case(post("/config/log_level", "Warn", method="PUT") + post("/config/log_level", "info", method="PUT"), [value("3"), value("2")]),
    Case(post("/config/nsqlookupd_tcp_addresses", "null", method="PUT"), [value("null")]),
    Case(post("/config/nsqlookupd_tcp_addresses", "[1]", method="PUT"), [invalid("INVALID_VALUE")]),
    Case(post("/config/nsqlookupd_tcp_addresses", "[ ]", method="PUT"), [value("[]")]),
    Case(post("/debug/setblockrate?rate=x", "", method="PUT"), [plain('invalid block rate : strconv.Atoi: parsing "x": invalid syntax', "400 Bad Request")]),
    Case(get("/debug/pprof/mutex"), [NOT_FOUND]),
]  # fmt: skip
PATHS = [
    Case(get(path, method=method), [NOT_FOUND])
    for method, path in [
        ("GET", "/"),
        ("GET", "/nothing"),
        ("POST", "/ping/"),
        ("DELETE", "/ping/"),
        ("OPTIONS", "/ping/"),
        ("GET", "/config/"),
        ("GET", "/config/a/b"),
        ("PUT", "/config/a%2fb"),
        ("GET", "/caf\u00e9"),
        ("GET", "http://h"),
        ("GET", "a:b"),
        ("CONNECT", "h:80"),
    ]
]
PATHS += [
    Case(get("/ping/"), [moved("/ping")]),
    Case(get("/PING"), [moved("/ping")]),
    Case(get("//ping"), [moved("/ping")]),
    Case(get("/x/../ping/"), [moved("/ping")]),
    Case(get("/%50ing"), [moved("/ping")]),
    Case(get("/ping%2f"), [moved("/ping")]),
    Case(get("http://h/PING?a=b"), [moved("http://h/ping?a=b")]),
    Case(get("/debug/pprof"), [moved("/debug/pprof/")]),
    Case(get("/config/x/"), [moved("/config/x")]),
    Case(get("/CONFIG/caf\u00e9"), [moved("/config/caf%C3%A9")]),
    Case(get("/CONFIG/a%20b?x=<\"'&y"), [moved("/config/a%20b?x=<\"'&y", "/config/a%20b?x=&lt;&#34;&#39;&amp;y")]),
    Case(post("//pub", "a"), [moved_on("/pub")]),
    Case(post("/Pub/?topic=a", "a"), [moved_on("/pub?topic=a")]),
    Case(post("/a/../topic/create?topic=a"), [moved_on("/topic/create?topic=a")]),
    Case(post("/ping"), [wrong_method(ONLY_GET)]),
    Case(get("/ping", method="get"), [wrong_method(ONLY_GET)]),
    Case(get("/ping", method="FOO"), [wrong_method(ONLY_GET)]),
    Case(get("/ping", method="CONNECT"), [wrong_method(ONLY_GET)]),
    Case(get("/pub"), [wrong_method(ONLY_POST)]),
    Case(get("/mpub", method="DELETE"), [wrong_method(ONLY_POST)]),
    Case(post("/config/x"), [wrong_method(GET_PUT)]),
    Case(get("/debug/freememory"), [wrong_method(ONLY_POST)]),
    Case(get("/debug/setblockrate"), [wrong_method("OPTIONS, PUT")]),
    Case(post("/debug/pprof/heap"), [wrong_method(ONLY_GET)]),
    Case(get("*"), [wrong_method(ALL)]),
    Case(get("*", method="DELETE"), [wrong_method(ALL)]),
    Case(get("/ping", method="OPTIONS"), [options(ONLY_GET)]),
    Case(get("/config/x", method="OPTIONS"), [options(GET_PUT)]),
    Case(get("/ping", method="HEAD"), [refused("405 Method Not Allowed", "METHOD_NOT_ALLOWED", allow=ONLY_GET, body=False)]),
    Case(get("/ping/", method="HEAD"), [refused("404 Not Found", "NOT_FOUND", body=False)]),
]  # fmt: skip
HTTP = [
    Case(get("/ping") * 3, [plain()] * 3),
    Case(get("/ping", "Connection: close"), [last(plain())], lives=False),
    Case(get("/ping", "Connection: keep-alive, Close"), [last(plain())], lives=False),
    Case(get("/ping"), [plain()], lives=False, eof=True),
    Case(post("/topic/unpause?topic=t"), [EMPTY], lives=False, eof=True),
    Case("GET /ping HTTP/1.0||", [plain().replace("1.1", "1.0", 1)], lives=False),
    Case("GET /ping HTTP/1.0|Connection: keep-alive||", [plain().replace("1.1", "1.0", 1).replace("\r\n\r\n", "\r\nConnection: keep-alive\r\n\r\n")]),
    Case("GET /ping HTTP/1.2|Host: h||", [plain()]),
    Case("GET /ping HTTP/1.1¶Host: h¶¶", [plain()]),
    Case("POST /pub?topic=t HTTP/1.1¶Host: h¶Content-Length: 1¶¶m", [ok()]),
    Case(get("/ping", "A: b", " c"), [plain()]),
    Case(get("/ping", ": b"), [plain()]),
    Case(post("/pub?topic=t", "m") + "|" + get("/ping"), [ok(), plain()]),
    Case(post("/ping?x", "abc", method="GET") + get("/ping"), [plain(), plain()]),
    Case(post("/pub?topic=t", "m", "Expect: 100-continue"), ["HTTP/1.1 100 Continue\r\n\r\n", ok()]),
    Case(get("/pub?topic=t", "Content-Length: 99999999", "Expect: 100-continue", method="POST"), [last(too_large("MSG_TOO_BIG"))], lives=False),
    Case(post("/pub?topic=t", "m", "Expect: more"), ["HTTP/1.1 417 Expectation Failed\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"], lives=False),
    Case(get("/pub?topic=t", "Content-Length: 1000000", method="POST"), [last(too_large("MSG_TOO_BIG"))], lives=False),
    Case(get("/pub?topic=t", "Content-Length: 1", "Content-Length: 1", method="POST") + "m", [ok()]),
    Case(get("/pub?topic=t", "Content-Length: 1", CHUNKED, method="POST") + "1|m|0||", [ok()]),
    Case(get("/pub?topic=t", CHUNKED, method="POST") + "1;a=b|m|0|X: y||", [ok()]),
    Case(get("/pub?topic=t", CHUNKED, method="POST") + "zz|m|0||", [last(refused("500 Internal Server Error", "INTERNAL_ERROR"))], lives=False),
    Case(get("/topic/pause?topic=t", CHUNKED, method="POST") + "zz|m|0||", [last(invalid("INVALID_REQUEST"))], lives=False),
    Case("GET /ping||", [unreadable()], lives=False),
    Case("garbage||", [unreadable()], lives=False),
    Case("G@T /ping HTTP/1.1|Host: h||", [unreadable()], lives=False),
    Case(get("/pi ng"), [unreadable()], lives=False),
    Case(get("/ping\x01"), [unreadable()], lives=False),
    Case(get("/p%zz"), [unreadable()], lives=False),
    Case(get("ping"), [unreadable()], lives=False),
    Case(get("/ping", "no colon"), [unreadable()], lives=False),
    Case(get("/ping", "Host: i"), [unreadable()], lives=False),
    Case("GET /ping HTTP/1.1||", [unreadable("400 Bad Request: missing required Host header")], lives=False),
    Case(get("/ping", "A : b"), [unreadable("400 Bad Request: invalid header name")], lives=False),
    Case(get("/ping", "A: \x01"), [unreadable("400 Bad Request: invalid header value")], lives=False),
    Case("GET /ping HTTP/1.1|Host: a b||", [unreadable("400 Bad Request: malformed Host header")], lives=False),
    Case("GET /ping HTTP/2.0|Host: h||", [unreadable("505 HTTP Version Not Supported: unsupported protocol version")], lives=False),
    Case("PRI * HTTP/2.0||SM||", [last(wrong_method(ALL))], lives=False),
    Case(post("/pub?topic=t", "m", "Content-Length: 2"), [unreadable()], lives=False),
    Case(get("/pub?topic=t", "Content-Length: x", method="POST"), [unreadable()], lives=False),
    Case(get("/pub?topic=t", "Content-Length: -1", method="POST"), [unreadable()], lives=False),
    Case(get("/pub?topic=t", "Transfer-Encoding: gzip", method="POST"), [unreadable("501 Not Implemented", "Unsupported transfer encoding")], lives=False),
    Case(get("/ping", "A: " + "x" * 1_100_000), [unreadable("431 Request Header Fields Too Large")], lives=False),
    Case(get("/ping", "A: " + "x" * 200_000), [plain()]),
    Case("GET /pi", [unreadable()], lives=False, eof=True),
    Case("GET /ping HTTP/1.1|Host: h|", [unreadable()], lives=False, eof=True),
]  # fmt: skip


@pytest.mark.parametrize(
    "case", [*PUBLISHING, *TOPICS, *NODE, *PATHS, *HTTP], ids=lambda case: case.sent[:60].encode("unicode_escape").decode()
)  # fmt: skip
def test_the_answer_is_the_originals_to_the_byte(address: str, case: Case) -> None:
    play(address, case)
