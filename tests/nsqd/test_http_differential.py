"""The fast lane of HTTP beside the API's server: they must answer and do the same."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from nsqcore.wire.commands import encode_batch
from tests.nsqd.answers import post_bytes
from tests.support.nsqd import DEADLINE_S, Answer, Node, RawHttp, eventually

LIMITS = ("--max-msg-size=50", "--max-body-size=400", "--max-req-timeout=10s")


class Pair:
    """Two daemons: one is asked through the lane, the other through the API's server."""

    def __init__(self, lane: Node, other: Node) -> None:
        self.lane = lane
        self.other = other

    async def compare(self, requests: list[bytes]) -> list[Answer]:
        """Sends requests down one connection each; answers, their order and all effects must be equal."""
        ours = await self.ask(self.lane, requests, first=b"")
        theirs = await self.ask(self.other, requests, first=b"GET /ping HTTP/1.1\r\nHost: nsqd\r\n\r\n")
        assert [told(answer) for answer in ours] == [told(answer) for answer in theirs]
        assert effects(self.lane) == effects(self.other)
        return ours

    async def ask(self, node: Node, requests: list[bytes], first: bytes) -> list[Answer]:
        client = await RawHttp.open(node.http)
        try:
            if first:  # the connection is the API's from here on
                client.send(first)
                assert (await client.answer()).status == 200
            client.send(b"".join(requests))
            return [await final_answer(client) for _ in requests]
        finally:
            client.close()

    def forget(self) -> None:
        """Both daemons are as new."""
        for node in (self.lane, self.other):
            for topic in list(node.broker.topics.values()):
                node.broker.delete_topic(topic)


async def final_answer(client: RawHttp) -> Answer:
    """The next answer but for ``100 Continue``."""
    while True:
        answer = await client.answer()
        if answer.status != 100:
            return answer


def told(answer: Answer) -> tuple[object, ...]:
    names = ("Content-Type", "X-Nsq-Content-Type", "Content-Length", "Transfer-Encoding", "Allow", "Location")
    return answer.status, answer.reason, {n: answer.headers.get(n) for n in names}, answer.body


def effects(node: Node) -> dict[bytes, tuple[list[bytes], int]]:
    return {
        name: ([frame[34:] for frame in topic.queue.memory], len(topic.deferred))
        for name, topic in node.broker.topics.items()
    }


class Running:
    """A pair of daemons, and the loop that they and their clients run on, for synchronous tests."""

    def __init__(self, folder: Path) -> None:
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        (folder / "lane").mkdir()
        (folder / "other").mkdir()
        self._folder = folder
        self.pair = self._runner.run(self._start())

    async def _start(self) -> Pair:
        lane, other = Node(self._folder / "lane", *LIMITS), Node(self._folder / "other", *LIMITS)
        await lane.start()
        await other.start()
        return Pair(lane, other)

    def run(self, scenario: Callable[[Pair], Awaitable[object]]) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(4 * DEADLINE_S):
                await scenario(self.pair)

        self.pair.forget()
        self._runner.run(bounded())

    def close(self) -> None:
        self._runner.run(self.pair.lane.stop())
        self._runner.run(self.pair.other.stop())
        self._runner.close()


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with tempfile.TemporaryDirectory(prefix="nsq-lane-") as folder:
        log = logging.getLogger("nsqd")
        log.setLevel(logging.ERROR)  # what clients sent is not always text that a test report can hold
        both = Running(Path(folder))
        yield both
        both.close()
        log.setLevel(logging.NOTSET)


paths = st.sampled_from(
    ["/pub"] * 5 + ["/mpub"] * 5 + ["/Pub", "/mpub/", "/%70ub", "/nothing", "/topic/create"]
)
TOPICS = ["t", "u", "a.b", "t%23ephemeral", "", "%", "a b", "+", "%20", "\u00e9", "x;y", "t" * 64, "t" * 65]
OTHERS = ["true", "false", "0", "1", "5000", "10001", "-1", "1e3", "a#b", "a?b", "%00", "%ff", "="]
values = st.sampled_from(TOPICS) | st.sampled_from(OTHERS)
names = st.sampled_from(["topic"] * 6 + ["binary", "binary", "defer", "defer", "Topic", "x", ""])
parameters = st.one_of(
    st.tuples(names, values).map("=".join), st.sampled_from(["topic=t"] * 5 + ["topic", ""])
)
queries = st.lists(parameters, max_size=4).map("&".join).map(lambda q: f"?{q}" if q else q)
texts = st.lists(st.binary(max_size=12) | st.just(b""), max_size=8).map(b"\n".join)
batches = st.lists(st.binary(min_size=1, max_size=12), max_size=6).map(encode_batch)
bodies = st.one_of(
    texts,
    batches,
    batches.map(lambda body: body[:-1]),
    st.binary(max_size=60),
    st.integers(45, 55).map(lambda size: b"x" * size),
    st.integers(395, 405).map(lambda size: b"y\n" * (size // 2)),
)
ways = st.sampled_from(
    ["Content-Length: {}"] * 6
    + ["content-length:{}", "CONTENT-LENGTH:   {}  ", "Content-Length: 0{}", "Content-Length:\t{}"]
    + ["Expect: 100-continue\r\nContent-Length: {}", "chunked"]
)
FORM = "Content-Type: application/x-www-form-urlencoded"
EXTRAS = [FORM, "Content-Encoding: gzip", "X-Empty:", "accept: */*", "Connection: keep-alive", "Upgrade: h2c"]
extras = st.lists(st.sampled_from([*EXTRAS, "User-Agent: \u00e9"]), max_size=2, unique=True)


@st.composite
def requests(draw: st.DrawFn, most: int = 1000) -> bytes:
    """A request with a body of at most ``most`` bytes."""
    body, way = draw(bodies.filter(lambda body: len(body) <= most)), draw(ways)
    target = draw(paths) + draw(queries)
    if way == "chunked":
        cut = draw(st.integers(0, len(body)))
        chunks = [chunk for chunk in (body[:cut], body[cut:]) if chunk]
        sent = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
        return post_bytes(quoted(target), sent, *draw(extras), length="Transfer-Encoding: chunked")
    return post_bytes(quoted(target), body, *draw(extras), length=way.format(len(body)))


def quoted(target: str) -> str:
    """Blanks and letters beyond ASCII can't stand in a request line: those of a client that escapes them."""
    return "".join(c if " " < c < "\x7f" else "".join(f"%{b:02X}" for b in c.encode()) for c in target)


@given(request=requests())
@settings(max_examples=300)
def test_the_lane_and_the_api_answer_and_do_the_same(running: Running, request: bytes) -> None:
    running.run(lambda pair: pair.compare([request]))


@given(several=st.lists(requests(most=50), min_size=2, max_size=6))  # what is too long may end a connection
@settings(max_examples=100)
def test_a_pipeline_has_the_same_answers_in_the_same_order(running: Running, several: list[bytes]) -> None:
    running.run(lambda pair: pair.compare(several))


@given(request=requests(), cuts=st.lists(st.integers(1, 300), max_size=6))
@settings(max_examples=100)
def test_a_request_is_the_same_however_its_bytes_are_cut(
    running: Running, request: bytes, cuts: list[int]
) -> None:
    async def scenario(pair: Pair) -> None:
        [whole] = await pair.ask(pair.other, [request], first=b"")
        client = await RawHttp.open(pair.lane.http)
        known = pair.lane.lanes
        await eventually(lambda: len(known.open) == 1)
        [lane] = known.open
        parts = [request[a:b] for a, b in zip([0, *sorted(cuts)], [*sorted(cuts), len(request)], strict=True)]
        for part in filter(None, parts):
            if lane in known.open:
                lane.data_received(part)
            else:
                protocol = lane._transport.get_protocol()
                assert isinstance(protocol, asyncio.Protocol)
                protocol.data_received(part)
        answer = await final_answer(client)
        client.close()
        assert told(answer) == told(whole)
        assert effects(pair.lane) == effects(pair.other)

    running.run(scenario)
