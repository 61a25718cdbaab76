"""Every endpoint of nsqlookupd by raw bytes: good, borderline and bad.

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
    options,
    plain,
    play,
    post,
    refused,
    unreadable,
    value,
    wrong_method,
)
from tests.support.needs import original
from tests.support.processes import spawn


@pytest.fixture(scope="module", params=["ours", "original"])
def address(request: pytest.FixtureRequest) -> Iterator[str]:
    """Where a daemon serves that knows a topic t with a channel c."""
    program = "nsqlookupd" if request.param == "ours" else original("nsqlookupd")
    with spawn(program, "--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0") as daemon:
        play(daemon.http, Case(post("/channel/create?topic=t&channel=c"), [EMPTY]))
        yield daemon.http


ONLY_GET, ONLY_POST = "GET, OPTIONS", "OPTIONS, POST"
CASES = [
    Case(get("/ping"), [plain()]),
    Case(get("/topics"), [value('{"topics":["t"]}')]),
    Case(get("/topics?%zz"), [value('{"topics":["t"]}')]),
    Case(get("/nodes"), [value('{"producers":[]}')]),
    Case(get("/debug"), [value("{}")]),
    Case(get("/channels?topic=t"), [value('{"channels":["c"]}')]),
    Case(get("/channels?topic=unknown"), [value('{"channels":[]}')]),
    Case(get("/channels?topic=a&topic=t"), [value('{"channels":[]}')]),
    Case(get("/channels"), [invalid("MISSING_ARG_TOPIC")]),
    Case(get("/channels?topic=%zz"), [invalid("INVALID_REQUEST")]),
    Case(get("/channels?topic=t;x"), [invalid("INVALID_REQUEST")]),
    Case(get("/lookup?topic=t"), [value('{"channels":["c"],"producers":[]}')]),
    Case(get("/lookup?topic=caf\u00e9"), [refused("404 Not Found", "TOPIC_NOT_FOUND")]),
    Case(get("/lookup"), [invalid("MISSING_ARG_TOPIC")]),
    Case(get("/lookup?topic="), [refused("404 Not Found", "TOPIC_NOT_FOUND")]),
    Case(get("/channels?topic"), [value('{"channels":[]}')]),
    Case(post("/topic/create?topic="), [invalid("INVALID_ARG_TOPIC")]),
    Case(post("/topic/delete?topic="), [EMPTY]),
    Case(post("/channel/create?topic=&channel=c"), [invalid("INVALID_ARG_TOPIC")]),
    Case(post("/channel/delete?topic=t&channel="), [invalid("INVALID_ARG_CHANNEL")]),
    Case(post("/topic/tombstone?topic=&node="), [EMPTY]),
    Case(post("/lookup?topic=t", "x", method="GET"), [value('{"channels":["c"],"producers":[]}')]),
    Case(post("/topic/create?topic=t"), [EMPTY]),
    Case(post("/topic/create?topic=t", "topic=a%20b"), [EMPTY]),
    Case(post("/topic/create"), [invalid("MISSING_ARG_TOPIC")]),
    Case(post("/topic/create?topic=a%20b"), [invalid("INVALID_ARG_TOPIC")]),
    Case(post("/topic/create?topic=%"), [invalid("INVALID_REQUEST")]),
    Case(post("/topic/create?topic=u") + post("/topic/delete?topic=u") * 2, [EMPTY] * 3),
    Case(post("/topic/delete?topic=a%20b"), [EMPTY]),
    Case(post("/topic/delete"), [invalid("MISSING_ARG_TOPIC")]),
    Case(post("/channel/create?topic=t"), [invalid("MISSING_ARG_CHANNEL")]),
    Case(post("/channel/create?topic=t&channel=%20"), [invalid("INVALID_ARG_CHANNEL")]),
    Case(post("/channel/create?channel=c"), [invalid("MISSING_ARG_TOPIC")]),
    Case(post("/channel/delete?topic=t&channel=unknown"), [refused("404 Not Found", "CHANNEL_NOT_FOUND")]),
    Case(
        post("/channel/create?topic=t&channel=d") + post("/channel/delete?topic=t&channel=d"), [EMPTY, EMPTY]
    ),
    Case(post("/topic/tombstone?topic=t"), [invalid("MISSING_ARG_NODE")]),
    Case(post("/topic/tombstone?node=h:1"), [invalid("MISSING_ARG_TOPIC")]),
    Case(post("/topic/tombstone?topic=t&node=h:1"), [EMPTY]),
    Case(get("/debug/pprof/mutex"), [NOT_FOUND]),
    Case(get("/debug/pprof/"), [moved("/debug/pprof")]),
    Case(get("/debug/"), [moved("/debug")]),
    Case(get("/LOOKUP/?topic=t"), [moved("/lookup?topic=t")]),
    Case(post("//topic//create?topic=t"), [moved_on("/topic/create?topic=t")]),
    Case(post("/debug/setblockrate"), [NOT_FOUND]),
    Case(post("/topics"), [wrong_method(ONLY_GET)]),
    Case(get("/topic/create"), [wrong_method(ONLY_POST)]),
    Case(get("/debug/pprof/symbol", method="PUT"), [wrong_method("GET, OPTIONS, POST")]),
    Case(get("*"), [wrong_method("GET, OPTIONS, POST")]),
    Case(get("/topic/create", method="OPTIONS"), [options(ONLY_POST)]),
    Case(get("/ping", method="HEAD"), [wrong_method(ONLY_GET).partition("{")[0]]),
    Case(get("/ping", "Connection: close"), [last(plain())], lives=False),
    Case(get("/ping"), [plain()], lives=False, eof=True),
    Case("GET /ping||", [unreadable()], lives=False),
    Case(get("/ping", "A : b"), [unreadable("400 Bad Request: invalid header name")], lives=False),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.sent[:60].encode("unicode_escape").decode())
def test_the_answer_is_the_originals_to_the_byte(address: str, case: Case) -> None:
    play(address, case)
