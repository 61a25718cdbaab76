"""nsqadmin's API beside the original's: both before the same daemons, asked the same, answering the same."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.fetch import fetch_json
from tests.support.needs import original
from tests.support.processes import DaemonProcess
from tests.system.cluster import Kind, nsqadmin, nsqd, nsqlookupd, tool, topic_stats
from tests.system.waiting import until

HEADERS = ("Content-Type", "Content-Encoding", "X-Nsq-Content-Type", "Allow", "Location")


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Scene:
    """Two nsqadmins before one nsqlookupd and two nsqds, which hold topic t with channel c and a consumer."""

    lookupd: DaemonProcess
    nodes: tuple[DaemonProcess, DaemonProcess]
    theirs: DaemonProcess
    ours: DaemonProcess

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[Answer, Answer]:
        """The original's answer and ours."""
        return (
            ask(self.theirs, method, path, body, headers),
            ask(self.ours, method, path, body, headers),
        )


def ask(
    daemon: DaemonProcess, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> Answer:
    """Sends a request as it is written."""
    connection = http.client.HTTPConnection(daemon.http, timeout=20)
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        connection.putheader("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders(body)
        response = connection.getresponse()
        shown = {name: response.headers[name] for name in HEADERS if name in response.headers}
        return Answer(response.status, shown, response.read())
    finally:
        connection.close()


@pytest.fixture(scope="module", params=Kind, ids=lambda kind: f"daemons-{kind.value}")
def scene(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    kind: Kind = request.param
    for program in ("nsqd", "nsqlookupd", "nsqadmin"):
        original(program)
    folder: Path = tmp_path_factory.mktemp("nodes")
    percentiles = ("--e2e-processing-latency-percentile=0.99,0.5",)
    with ExitStack() as stack:
        lookupd = stack.enter_context(nsqlookupd(kind))
        one, two = (
            stack.enter_context(nsqd(kind, folder / name, [lookupd], *percentiles)) for name in ("1", "2")
        )
        for node in (one, two):
            for path in ("/topic/create?topic=t", "/channel/create?topic=t&channel=c", "/pub?topic=t"):
                assert ask(node, "POST", path, b"message").status == 200
        assert ask(two, "POST", "/topic/create?topic=u").status == 200
        for path in ("/topic/create?topic=ghost", "/channel/create?topic=ghost&channel=gc"):
            assert ask(lookupd, "POST", path).status == 200
        stack.enter_context(
            tool("nsq_tail", "--topic=t", "--channel=c", f"--nsqd-tcp-address={one.tcp}", kind=Kind.OURS)
        )
        theirs, ours = (stack.enter_context(nsqadmin(who, [lookupd])) for who in (Kind.ORIGINAL, Kind.OURS))
        until(lambda: _settled(one))
        until(lambda: len(fetch_json(lookupd.http, "/nodes")["producers"]) == 2)
        yield Scene(lookupd, (one, two), theirs, ours)


def _settled(node: DaemonProcess) -> bool:
    [channel] = topic_stats(node, "t")["channels"]
    return bool(channel["client_count"] == 1 and channel["depth"] + channel["in_flight_count"] == 0)


_BETTERED = ("connected", "min", "value")
"""The clock's, the least of several nodes', and what the original's totals of a topic's channels have of one node."""


def alike(value: Any, parent: str = "") -> Any:
    """An answer without what ours has better, and what the clock makes of it."""
    if isinstance(value, list):
        items = [alike(item, parent) for item in value]
        return sorted(items, key=json.dumps) or None
    if not isinstance(value, dict):
        return value
    found = {key: alike(item, key) for key, item in value.items() if key not in _BETTERED}
    if "percentiles" in found:  # the original leaves these empty on single nodes
        for key in ("topic", "channel", "host"):
            del found[key]
    if parent == "nodes":  # the original puts totals there, which are none
        found.pop("channels", None)
    if parent == "channels":
        found.pop("nodes", None)
    if found.get("node") == "*":  # and the first node's host name in the totals of a topic's channels
        found.pop("hostname", None)
    return found


READS = [
    "/api/topics",
    "/api/topics?inactive=true",
    "/api/topics?inactive=1",
    "/api/topics/t",
    "/api/topics/u",
    "/api/topics/t/c",
    "/api/nodes",
    "/api/nodes/{node}",
    "/api/nodes/127.0.0.1:1",
    "/api/counter",
    "/ping",
]


@pytest.mark.parametrize("path", READS)
def test_a_question_is_answered_with_the_same_fields_in_the_same_order(scene: Scene, path: str) -> None:
    node = f"127.0.0.1:{scene.nodes[0].http.rpartition(':')[2]}"
    theirs, ours = scene.ask("GET", path.replace("{node}", node))
    assert (ours.status, ours.headers) == (theirs.status, theirs.headers)
    if path == "/ping":
        assert ours.body == theirs.body == b"OK"
        return
    shown = [json.dumps(alike(answer.json), sort_keys=path == "/api/counter") for answer in (theirs, ours)]
    assert shown[0] == shown[1]


@pytest.mark.parametrize(
    "path",
    ["/", "/topics", "/topics/t", "/topics/t/c", "/nodes", "/nodes/{node}", "/lookup", "/counter"],
)
def test_a_page_is_where_the_originals_is(scene: Scene, path: str) -> None:
    node = f"127.0.0.1:{scene.nodes[0].http.rpartition(':')[2]}"
    theirs, ours = scene.ask("GET", path.replace("{node}", node))
    assert (theirs.status, ours.status) == (200, 200)
    assert {answer.headers["Content-Type"].partition(";")[0] for answer in (theirs, ours)} == {"text/html"}


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/api/topics/nope", 502, "TOPIC_NOT_FOUND"),
        ("/api/topics/nope/c", 502, "TOPIC_NOT_FOUND"),
        ("/api/topics/t/nope", 500, "CHANNEL_NOT_FOUND"),
    ],
)
def test_what_is_unknown_is_a_404_of_ours_alone(scene: Scene, path: str, status: int, code: str) -> None:
    theirs, ours = scene.ask("GET", path)
    assert theirs.status == status
    assert (ours.status, ours.json) == (404, {"message": code})


SURFACE: list[tuple[str, str, bytes]] = [
    *((method, "/api/topics", b"") for method in ("HEAD", "OPTIONS", "PUT", "PATCH", "DELETE")),
    *((method, "/api/topics/t", b"") for method in ("HEAD", "OPTIONS", "PUT")),
    *((method, "/api/topics/t/c", b"") for method in ("OPTIONS", "PUT")),
    *((method, "/api/nodes", b"") for method in ("OPTIONS", "POST", "DELETE")),
    *((method, "/api/nodes/x:1", b"") for method in ("OPTIONS", "POST")),
    *((method, "/api/counter", b"") for method in ("OPTIONS", "POST")),
    *((method, "/ping", b"") for method in ("HEAD", "OPTIONS", "POST")),
    ("GET", "/api/nothing", b""),
    ("GET", "/api/", b""),
    ("GET", "/static/nothing", b""),
    ("GET", "/api/topics?inactive=%zz", b""),
    ("GET", "/api/topics?a;b", b""),
    *(("POST", "/api/topics", body) for body in (b"", b" ", b"{", b"{}", b"null", b'{"topic":"x"', b"nul")),
    *(("POST", "/api/topics", body) for body in (b'{"topic":5}', b'{"topic":[1]}', b'{"topic":null}')),
    ("POST", "/api/topics", b'{"topic":"a b"}'),
    ("POST", "/api/topics", b'{"topic":"t","channel":"a b"}'),
    ("POST", "/api/topics", b'{"topic":"t","channel":{}}'),
    *(("POST", "/api/topics/t", body) for body in (b"", b"{", b"{}", b'{"action":"delete"}', b"null")),
    ("POST", "/api/topics/t/c", b'{"action":true}'),
    *(("DELETE", "/api/nodes/x:1", body) for body in (b"", b"{", b"[]", b"{}", b"null", b'{"topic":"a b"}')),
]


@pytest.mark.parametrize(("method", "path", "body"), SURFACE)
def test_a_mistake_is_told_as_by_the_original(scene: Scene, method: str, path: str, body: bytes) -> None:
    theirs, ours = scene.ask(method, path, body)
    assert ours == theirs


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/API/topics"),
        ("GET", "/api/topics/"),
        ("GET", "/api//topics"),
        ("GET", "//api/topics"),
        ("GET", "/api/./nodes"),
        ("GET", "/api/x/../counter"),
        ("GET", "/api/topics/t//c"),
        ("GET", "/Ping"),
        ("POST", "/api//topics"),
        ("DELETE", "/api//topics/t"),
    ],
)
def test_a_path_that_is_not_quite_right_is_redirected_as_by_the_original(
    scene: Scene, method: str, path: str
) -> None:
    theirs, ours = scene.ask(method, path)
    assert (ours.status, ours.headers["Location"]) == (theirs.status, theirs.headers["Location"])


@pytest.mark.parametrize("accepted", ["gzip", "deflate", "deflate, gzip", "gzip;q=1.0", "br", "GZIP"])
def test_long_answers_are_compressed_as_by_the_original(scene: Scene, accepted: str) -> None:
    theirs, ours = scene.ask("GET", "/api/topics/t/c", Accept_Encoding=accepted)
    assert ours.headers == theirs.headers


Read = Callable[[Scene, str], object]


def _is_paused(scene: Scene, topic: str) -> object:
    return [topic_stats(node, topic)["paused"] for node in scene.nodes]


def _channels_paused(scene: Scene, topic: str) -> object:
    return [[c["paused"] for c in topic_stats(node, topic)["channels"]] for node in scene.nodes]


def _depths(scene: Scene, topic: str) -> object:
    stats = [topic_stats(node, topic) for node in scene.nodes]
    return [(t["depth"], [c["depth"] for c in t["channels"]]) for t in stats]


def _what_is_there(scene: Scene, topic: str) -> object:
    there = [
        [c["channel_name"] for c in topic_stats(node, topic).get("channels", [])] for node in scene.nodes
    ]
    known = fetch_json(scene.lookupd.http, "/topics")["topics"]
    return there, topic in known


WRITES: list[tuple[str, str, dict[str, str] | None, Read]] = [
    ("POST", "/api/topics/{t}", {"action": "pause"}, _is_paused),
    ("POST", "/api/topics/{t}", {"action": "unpause"}, _is_paused),
    ("POST", "/api/topics/{t}/c", {"action": "pause"}, _channels_paused),
    ("POST", "/api/topics/{t}/c", {"action": "empty"}, _depths),
    ("POST", "/api/topics/{t}/c", {"action": "unpause"}, _channels_paused),
    ("POST", "/api/topics/{t}", {"action": "empty"}, _depths),
    ("POST", "/api/topics", {"topic": "{t}", "channel": "more"}, _what_is_there),
    ("DELETE", "/api/topics/{t}/c", None, _what_is_there),
    ("DELETE", "/api/nodes/{node}", {"topic": "{t}"}, _what_is_there),
    ("DELETE", "/api/topics/{t}", None, _what_is_there),
    ("POST", "/api/topics", {"topic": "{t}"}, _what_is_there),
    ("DELETE", "/api/topics/{t}", None, _what_is_there),
]


def test_every_change_is_answered_as_by_the_original_and_does_the_same(scene: Scene) -> None:
    node = f"127.0.0.1:{scene.nodes[0].http.rpartition(':')[2]}"
    seen = []
    for name, admin in (("first", scene.theirs), ("second", scene.ours)):
        for each in scene.nodes:
            for path in (f"/topic/create?topic={name}", f"/channel/create?topic={name}&channel=c"):
                assert ask(each, "POST", path).status == 200
            assert ask(each, "POST", f"/pub?topic={name}", b"message").status == 200

        def producers(name: str = name) -> int:
            status, _, body = ask(scene.lookupd, "GET", f"/lookup?topic={name}")
            return len(json.loads(body)["producers"]) if status == 200 else 0

        until(lambda: producers() == 2)
        for method, path, body, read in WRITES:
            data = json.dumps(body).replace("{t}", name).encode() if body else b""
            answer = ask(admin, method, path.replace("{t}", name).replace("{node}", node), data)
            seen.append((name, method, path, answer.status, answer.headers, answer.body, read(scene, name)))
    half = len(WRITES)
    for theirs, ours in zip(seen[:half], seen[half:], strict=True):
        assert ours[1:] == theirs[1:]
