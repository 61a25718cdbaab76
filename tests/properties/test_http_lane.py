"""The fast lane of HTTP: what it takes, what it leaves untouched to the API's server, and that cuts make no difference."""

from __future__ import annotations

import asyncio
import re
import tempfile
from itertools import pairwise
from typing import Any, NamedTuple
from unittest.mock import patch

import hypothesis.strategies as st
from hypothesis import example, given

from nsqcore.errors import HttpError
from nsqcore.wire.commands import encode_batch
from nsqd.broker import Broker
from nsqd.frames import BatchDecoder
from nsqd.guid import EPOCH
from nsqd.http import lane as http_lane
from nsqd.http.head import Head, read_head
from nsqd.http.lane import MAX_HEAD, HttpLane, Lanes
from nsqd.http.publish import arguments
from nsqd.options import Options
from nsqd.statistics.stats import topic_stats
from tests.properties.fuzzing import MEMORY, examples, property_test
from tests.properties.simulation import Event, FakeTransport, SimulatedLoop

NOW = (EPOCH + 1_000_000) << 20
MAX_MSG, MAX_BODY = 20, 100
RESPONSE = re.compile(
    rb"HTTP/1\.1 (\d{3}) [A-Za-z ]+\r\n(?:[A-Za-z-]+: [^\r\n]+\r\n)*Content-Length: (\d+)\r\n"
    rb"(?:Content-Type: [^\r\n]+\r\n)?(Connection: close\r\n)?\r\n"
)


class Recorder(asyncio.Protocol):
    """Stands for the API's server."""

    def __init__(self) -> None:
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data


class Outcome(NamedTuple):
    """What came of a stream."""

    written: bytes
    handed_over: bytes | None
    """What the API's server got; None when it got nothing."""
    closed: bool
    topics: list[dict[str, Any]]


def play(pieces: list[bytes], *, ended: bool = False) -> Outcome:
    """Sends the pieces at once; ``ended``: and then the end of the stream."""
    log: list[Event] = []
    loop = SimulatedLoop()
    transport = FakeTransport(loop, log)
    fallbacks: list[Recorder] = []

    def fallback() -> Recorder:
        fallbacks.append(Recorder())
        return fallbacks[-1]

    with (
        tempfile.TemporaryDirectory(dir=MEMORY) as folder,
        patch("time.time_ns", return_value=NOW),
        patch("time.time", return_value=NOW / 1e9),
    ):

        def start() -> tuple[Broker, Lanes]:
            broker = Broker(
                Options(data_path=folder, node_id=1, max_msg_size=MAX_MSG, max_body_size=MAX_BODY)
            )
            broker.load()
            loop.stall(True)  # nsqd.dat need not be written
            lanes = Lanes(broker, fallback)
            transport.connect(HttpLane(lanes))
            return broker, lanes

        def send() -> None:
            for piece in pieces:
                if not transport.closing:
                    receiver = transport.get_protocol()
                    assert isinstance(receiver, asyncio.Protocol)
                    receiver.data_received(piece)

        def over() -> bool:
            return transport.closing or bool(fallbacks)

        broker, lanes = loop.perform(start)
        loop.perform(send)
        if ended and not over():
            loop.perform(transport.end)
            assert over()
        outcome = Outcome(
            b"".join(event.data for event in log if event.data is not None),
            fallbacks[0].received if fallbacks else None,
            transport.closing,
            [(topic_stats(topic, [], include_clients=False)) for topic in broker.topics.values()],
        )
        loop.perform(lanes.close)
        loop.stall(False)
        loop.complete(broker.close())
        loop.close()
    assert len(fallbacks) <= 1
    return outcome


def responses(written: bytes) -> list[tuple[int, bytes]]:
    """Status and body of each answer; nothing else may have been written."""
    found = []
    while written:
        match = RESPONSE.match(written)
        assert match is not None, written
        end = match.end() + int(match[2])
        assert len(written) >= end
        found.append((int(match[1]), written[match.end() : end]))
        written = written[end:]
    return found


# -- heads -----------------------------------------------------------------------------------------

METHODS = st.sampled_from(["POST"] * 6 + ["GET", "PUT", "post", "HEAD"])
PATHS = st.sampled_from(
    ["/pub"] * 4 + ["/mpub"] * 4 + ["/ping", "/PUB", "/pub/", "//pub", "*", "http://h/pub"]
)
QUERIES = st.sampled_from(
    [
        "",
        "?",
        "?topic=t",
        "?topic=t",
        "?topic=t&defer=5",
        "?topic=t&binary=true",
        "?topic=a%20b",
        "?topic=%zz",
        "?topic=t;x=1",
        "?topic=t#x",
        "?topic=é",
        "?topic=t&topic=u",
        "?%00",
        "?topic=t topic=u",
    ]
)
VERSIONS = st.sampled_from(
    ["HTTP/1.1"] * 6 + ["HTTP/1.0", "HTTP/2.0", "HTTP/1.2", "HTTP/01.1", "HTTX/1.1", ""]
)
HEADERS = st.sampled_from(
    ["Host: h"] * 6
    + ["Content-Length: 5"] * 6
    + ["content-length:5", "Content-Length: 0", "Content-Length: 10", "Content-Length: +5", "Content-Length: 5, 5"]
    + ["Content-Length: 0x5", "Content-Length: ", "Content-Length: 99999999999999999999", "Content-Length: 5 5"]
    + ["Transfer-Encoding: chunked", "transfer-encoding: identity", "Expect: 100-continue", "Upgrade: h2c"]
    + ["Connection: close", "Connection: keep-alive", "connection: Close", "Connection: upgrade", "X: y", "X:"]
    + ["X: \u00e9", "X y: z", " X: y", "X\u00e9: y", "X\r: y", "X: a\rb", ": y", "X: a\nHost: i", "\tX: y"]
)  # fmt: skip


def expected(method: str, path: str, query: str, version: str, headers: list[str]) -> Head | None:
    """What the rules of the lane say of a head, each header well-formed or not."""
    fields = [tuple(part.strip() for part in header.split(":", 1)) for header in headers]
    names = [field[0].lower() for field in fields]
    lengths = [field[1] for field in fields if field[0].lower() == "content-length"]
    if (method, version) != ("POST", "HTTP/1.1") or path not in ("/pub", "/mpub") or not query.isascii():
        return None
    if len(lengths) != 1 or not lengths[0].isdigit() or len(lengths[0]) > 15 or names.count("host") != 1:
        return None
    if {"transfer-encoding", "expect", "upgrade"} & set(names):
        return None
    options = [field[1].lower() for field in fields if field[0].lower() == "connection"]
    try:
        args = arguments(path, query.partition("?")[2], int(lengths[0]))
    except HttpError:
        return None
    return Head(path, args, int(lengths[0]), "close" not in options)


@property_test()
@examples(1000)
@given(
    method=METHODS,
    path=PATHS,
    query=QUERIES,
    version=VERSIONS,
    headers=st.lists(HEADERS, min_size=2, max_size=6),
)
@example("POST", "/pub", "?topic=t", "HTTP/1.1", ["Host: h", "Content-Length: 5"])
@example("POST", "/pub", "?topic=t", "HTTP/1.1", ["Host: h", "Content-Length: 5", "Connection: close"])
@example("POST", "/pub", "?topic=t", "HTTP/1.1", ["Host: h", "Content-Length: 5", "Content-Length: 5"])
def test_a_head_is_read_by_the_rules_or_left_to_others(
    method: str, path: str, query: str, version: str, headers: list[str]
) -> None:
    lines = [f"{method} {path}{query} {version}", *headers, "", ""]
    head = read_head("\r\n".join(lines).encode())
    odd = [h for h in headers if not re.fullmatch(r"[A-Za-z-]+:[ -~]*", h)]
    if odd or " " in query or "#" in query:
        if head is not None:  # then it has understood it as everybody does
            assert head == expected(method, path, query, version, headers)
    else:
        assert head == expected(method, path, query, version, headers)


@property_test()
@examples(1000)
@given(
    head=st.lists(
        st.one_of(
            st.sampled_from([b"POST ", b"/pub?topic=t", b" HTTP/1.1", b"\r\n", b"\n", b"\r", b"Host: h\r\n"]),
            st.sampled_from([b"POST /pub?topic=t HTTP/1.1\r\nHost: h\r\n", b"Content-Length: 5\r\n", b"\0"]),
            st.binary(max_size=5),
        ),
        max_size=12,
    ).map(b"".join)
)
@example(b"POST /pub?topic=t HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\nhello")
@example(b"POST /pub?topic=t HTTP/1.1\nHost: h\nContent-Length: 5\n\nhello")
@example(b"POST /pub?topic=t HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nConnection: upgrade")
def test_a_head_that_is_taken_is_a_plain_one(head: bytes) -> None:
    """The lane cuts at the first blank line; who reads line ends more generously must not find one before."""
    data = (head + b"\r\n\r\n").partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    if read_head(data) is not None:
        assert re.fullmatch(rb"[\r\n]*POST [!-~]+ HTTP/1\.1\r\n([A-Za-z-]+:[^\r\n\0]*\r\n)+\r\n", data)


# -- streams ---------------------------------------------------------------------------------------

BODIES = st.one_of(
    st.binary(max_size=MAX_MSG + 5),
    st.lists(st.binary(max_size=MAX_MSG + 1), min_size=1, max_size=5).map(encode_batch),
    st.lists(st.binary(max_size=8), max_size=9).map(b"\n".join),
)


def request(path: str, body: bytes, *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: h", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


TARGETS = st.sampled_from(
    [
        "/pub?topic=t",
        "/pub?topic=u",
        "/pub?topic=t&defer=5",
        "/pub?topic=t&defer=x",
        "/pub",
        "/pub?topic=no%20name",
        "/mpub?topic=t",
        "/mpub?topic=t&binary=true",
        "/mpub?topic=u&binary=1",
        "/mpub?topic=t&binary=0",
    ]
)
OURS = st.builds(request, TARGETS, BODIES.filter(lambda body: 0 < len(body) <= MAX_MSG))
CLOSING = st.builds(request, TARGETS, BODIES.filter(lambda body: 0 < len(body) <= MAX_MSG), st.just("Connection: close"))  # fmt: skip
TOO_BIG = st.builds(request, TARGETS, st.just(b"x" * (MAX_BODY + 1)))
FOREIGN = st.one_of(
    st.sampled_from(
        [
            b"GET /ping HTTP/1.1\r\nHost: h\r\n\r\n",
            b"POST /pub?topic=t HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
            b"POST /pub?topic=t HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nab",
            b"POST /pub?topic=t HTTP/1.0\r\nContent-Length: 2\r\n\r\nab",
            b"POST /pub?topic=t HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
            b"POST /pub?topic=%zz HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx",
            b"POST /topic/create?topic=t HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
        ]
    ),
    st.binary(min_size=1, max_size=20).filter(lambda data: data[:1] not in b"P\r\n"),
    st.just(b"POST /pub?" + b"x" * MAX_HEAD),
)
PARTS = st.lists(st.one_of(OURS, OURS, OURS, OURS, CLOSING, TOO_BIG, FOREIGN), min_size=1, max_size=8)
CUTS = st.lists(st.integers(0, 700), max_size=8)


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(place for place in cuts if place < len(data))})
    return [data[at:end] for at, end in pairwise(places)]


def by_the_byte(data: bytes) -> list[bytes]:
    return [data[n : n + 1] for n in range(len(data))]


@property_test(weight=3)
@examples(250)
@given(parts=PARTS, left_out=st.integers(0, 30), cuts=CUTS, ended=st.booleans())
@example([request("/pub?topic=t", b"x", "Connection: close"), request("/pub?topic=t", b"y")], 0, [], False)
@example([request("/mpub?topic=t", b"a\nb\nc", "Connection: close")], 0, [], True)
def test_how_requests_are_cut_makes_no_difference(
    parts: list[bytes], left_out: int, cuts: list[int], ended: bool
) -> None:
    stream = b"".join(parts)
    stream = stream[: max(1, len(stream) - left_out)]
    whole = play([stream], ended=ended)
    assert len(responses(whole.written)) <= len(parts)
    assert whole.handed_over is None or stream.endswith(whole.handed_over)
    assert play(cut(stream, cuts), ended=ended) == whole
    small = len(stream) < 2000
    if small:
        assert play(by_the_byte(stream), ended=ended) == whole
    with (
        patch.object(BatchDecoder.step, "__defaults__", (1,)),
        patch.object(http_lane, "MAX_REQUESTS", 2),
    ):
        assert play([stream], ended=ended) == whole
        if small:
            assert play(by_the_byte(stream), ended=ended) == whole


@property_test()
@examples(200)
@given(ours=st.lists(OURS, max_size=5), foreign=FOREIGN, behind=PARTS, cuts=CUTS)
def test_the_first_foreign_request_and_all_behind_it_go_to_the_api_untouched(
    ours: list[bytes], foreign: bytes, behind: list[bytes], cuts: list[int]
) -> None:
    rest = b"".join([foreign, *behind])
    outcome = play(cut(b"".join(ours) + rest, cuts))
    assert outcome.handed_over == rest
    assert len(responses(outcome.written)) == len(ours)


@property_test()
@examples(200)
@given(bodies=st.lists(st.binary(min_size=1, max_size=MAX_MSG), min_size=1, max_size=8), cuts=CUTS)
def test_every_publish_is_answered_and_counted(bodies: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(request("/pub?topic=t", body) for body in bodies)
    outcome = play(cut(stream, cuts))
    assert responses(outcome.written) == [(200, b"OK")] * len(bodies)
    (stats,) = outcome.topics
    assert (stats["message_count"], stats["message_bytes"]) == (len(bodies), sum(map(len, bodies)))


@property_test()
@examples(300)
@given(data=st.lists(st.one_of(st.binary(max_size=30), OURS), max_size=6).map(b"".join), ended=st.booleans())
def test_no_bytes_upset_the_lane(data: bytes, ended: bool) -> None:
    outcome = play([data] if data else [], ended=ended)
    responses(outcome.written)
    if outcome.handed_over is not None:
        assert data.endswith(outcome.handed_over)
