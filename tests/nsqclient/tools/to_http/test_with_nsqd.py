"""The tool's work in this process, between a nsqd and endpoints of every temper."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from nsqclient.tools.common.running import Running
from nsqclient.tools.common.tool import read_options
from nsqclient.tools.to_http.tool import TOOL, work
from nsqd.channel import Channel
from tests.nsqclient.tools.to_http.sinks import OK, Received, Sink, Wire, status
from tests.support.nsqd import Node, eventually, numbers

QUICKLY = (
    "--consumer-opt=default_requeue_delay,1ms",
    "--consumer-opt=backoff_multiplier,1ms",
    "--consumer-opt=max_backoff_duration,4ms",
)


@pytest.fixture(autouse=True)
def _plainly(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.delenv("NSQ_URL", raising=False)
    caplog.set_level(logging.INFO, "nsqclient.tools")


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    async with Node(tmp_path) as node:
        yield node


@asynccontextmanager
async def tool(node: Node, *args: str) -> AsyncIterator[Running]:
    """The tool at work until the block ends, which it does in order."""
    address = "{}:{}".format(*node.tcp)
    options, _ = read_options(
        TOOL, ["--topic=t", f"--nsqd-tcp-address={address}", *QUICKLY, *args], "nsq_to_http"
    )
    TOOL.check(options)
    running = Running()
    task = asyncio.create_task(work(options, running))
    try:
        yield running
        running.end()
        assert await asyncio.wait_for(task, 20) == 0
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def channel_of(node: Node) -> Channel:
    """The one that is read."""
    return node.channel("t", "nsq_to_http")


def settled(node: Node, channel: str = "nsq_to_http") -> bool:
    """Whether all messages of the channel, of which there were some, are finished."""
    found = node.channel("t", channel)
    return bool(found.message_count) and not (found.depth or found.in_flight_count or len(found.deferred))


async def test_each_message_is_the_body_of_a_post(node: Node) -> None:
    async with Sink() as sink, tool(node, f"--post={sink.url}/in?x=1"):
        await node.publish("t", b"one", b"\x00\xff\n", b"x" * 100_000)
        await eventually(lambda: len(sink.received) == 3)
    assert Counter(sink.bodies) == Counter([b"one", b"\x00\xff\n", b"x" * 100_000])
    first = sink.received[0]
    assert (first.method, first.path) == ("POST", "/in?x=1")
    assert first.headers["user-agent"] == "nsq_to_http v1.3.0"
    assert first.headers["content-type"] == "application/octet-stream"
    await eventually(lambda: settled(node))


async def test_each_message_is_a_part_of_the_url_of_a_get(node: Node) -> None:
    async with Sink(status(204)) as sink, tool(node, f"--get={sink.url}/a%20b?d=%s"):
        await node.publish("t", b"a b%s&c")
        await eventually(lambda: len(sink.received) == 1)
    assert [(r.method, r.path, r.body) for r in sink.received] == [("GET", "/a%20b?d=a+b%25s%26c", b"")]
    assert "content-type" not in sink.received[0].headers
    await eventually(lambda: settled(node))


async def test_headers_are_sent_as_given(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    given = (
        "--header=X-A: b:c",
        "--header=user-agent: me",
        "--header=Host: elsewhere",
        "--content-type=text/plain",
    )
    async with Sink() as sink, tool(node, f"--post={sink.url}", *given):
        await node.publish("t", b"one")
        await eventually(lambda: len(sink.received) == 1)
    headers = sink.received[0].headers
    assert (headers["x-a"], headers["user-agent"], headers["content-type"]) == ("b:c", "me", "text/plain")
    assert headers["host"] == f"127.0.0.1:{sink.port}"
    assert "--header Host is not sent: it follows from the request" in caplog.messages


async def test_headers_tell_which_message_it_is_and_how_often_it_came(node: Node) -> None:
    async def answers(request: Received, wire: Wire) -> bytes:
        return status(500) if request.headers["x-nsq-attempts"] == "1" else OK

    async with Sink(answers) as sink, tool(node, f"--post={sink.url}", "--channel=c"):
        await node.publish("t", b"one")
        await eventually(lambda: len(sink.received) == 2)
    first, second = (request.headers for request in sink.received)
    assert (second["x-nsq-topic"], second["x-nsq-channel"], second["x-nsq-attempts"]) == ("t", "c", "2")
    assert len(second["x-nsq-message-id"]) == 16
    assert int(second["x-nsq-timestamp"]) > 1_600_000_000_000_000_000
    assert {first[name] == second[name] for name in ("x-nsq-message-id", "x-nsq-timestamp")} == {True}


async def test_headers_about_the_message_can_be_left_out(node: Node) -> None:
    async with Sink() as sink, tool(node, f"--post={sink.url}", "--message-headers=false"):
        await node.publish("t", b"one")
        await eventually(lambda: len(sink.received) == 1)
    assert not any(name.startswith("x-nsq") for name in sink.received[0].headers)


async def test_what_the_endpoint_refuses_comes_again_until_it_is_taken(node: Node) -> None:
    async def answers(request: Received, wire: Wire) -> bytes:
        return OK if int(request.headers["x-nsq-attempts"]) > 7 else status(503)

    async with Sink(answers) as sink, tool(node, f"--post={sink.url}"):
        await node.publish("t", b"one")
        await eventually(lambda: len(sink.received) == 8)
    await eventually(lambda: settled(node))


async def test_a_message_is_given_up_after_the_attempts_that_were_asked_for(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    async with Sink(status(400)) as sink, tool(node, f"--post={sink.url}", "--consumer-opt=max_attempts,2"):
        await node.publish("t", b"poison")
        await eventually(lambda: "given up" in caplog.text or "giving up" in caplog.text)
    assert len(sink.received) == 2
    (line,) = [m for m in caplog.messages if m.startswith("giving up message")]
    assert "of 6 bytes after 2 attempts" in line
    assert "got status code 400" in line
    await eventually(lambda: settled(node))


async def test_what_is_given_up_goes_to_the_topic_for_it(node: Node) -> None:
    args = ("--consumer-opt=max_attempts,1", "--dead-letter-topic=dead")
    async with Sink(status(400)) as sink, tool(node, f"--post={sink.url}", *args):
        dead = await node.subscribe("dead", "c", rdy=1)
        await node.publish("t", b"poison")
        assert await dead.bodies(1) == [b"poison"]
        await eventually(lambda: settled(node))
    dead.close()


async def test_as_many_requests_at_a_time_as_asked_for(node: Node) -> None:
    gate = asyncio.Event()

    async def answers(request: Received, wire: Wire) -> bytes:
        await gate.wait()
        return OK

    async with Sink(answers) as sink, tool(node, f"--post={sink.url}", "--n=3", "--max-in-flight=10"):
        await node.publish("t", *numbers(20))
        await eventually(lambda: channel_of(node).in_flight_count == 10)
        assert len(sink.received) == 3
        gate.set()
        await eventually(lambda: len(sink.received) == 20)


async def test_a_share_is_sampled(node: Node) -> None:
    async with Sink() as sink, tool(node, f"--post={sink.url}", "--sample=0.2"):
        await node.publish("t", *numbers(1000))
        await eventually(lambda: settled(node))
    assert 100 < len(sink.received) < 320


async def test_round_robin_takes_turns(node: Node) -> None:
    async with (
        Sink() as a,
        Sink() as b,
        tool(node, f"--post={a.url}", f"--post={b.url}", "--mode=round-robin"),
    ):
        await node.publish("t", *numbers(100))
        await eventually(lambda: len(a.received) + len(b.received) == 100)
    assert len(a.received) == 50


@pytest.mark.parametrize("mode", ["hostpool", "epsilon-greedy"])
async def test_a_host_that_fails_is_left_alone(node: Node, mode: str) -> None:
    async with (
        Sink() as good,
        Sink(status(500)) as bad,
        tool(node, f"--post={good.url}", f"--post={bad.url}", f"--mode={mode}", "--n=1"),
    ):
        await node.publish("t", *numbers(100))
        await eventually(lambda: len(good.received) == 100)
    assert 1 <= len(bad.received) <= 2
    assert sorted(good.bodies) == sorted(numbers(100))


async def test_the_faster_host_gets_more(node: Node) -> None:
    async def slow(request: Received, wire: Wire) -> bytes:
        await asyncio.sleep(0.02)
        return OK

    async with (
        Sink() as a,
        Sink(slow) as b,
        tool(node, f"--post={a.url}", f"--post={b.url}", "--mode=epsilon-greedy", "--n=2"),
    ):
        await node.publish("t", *numbers(300))
        await eventually(lambda: len(a.received) + len(b.received) == 300)
    assert len(a.received) > 200


async def test_all_endpoints_get_all_messages_and_only_those_that_failed_get_them_again(node: Node) -> None:
    async def flaky(request: Received, wire: Wire) -> bytes:
        return OK if request.headers["x-nsq-attempts"] == "3" else status(500)

    async with Sink() as a, Sink(flaky) as b, Sink() as c:
        posts = [f"--post={sink.url}" for sink in (a, b, c)]
        async with tool(node, *posts, "--mode=all"):
            await node.publish("t", *numbers(20))
            await eventually(lambda: settled(node) and len(b.received) == 60)
    assert sorted(a.bodies) == sorted(c.bodies) == sorted(numbers(20))


async def test_the_times_of_requests_are_told(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with Sink() as a, Sink() as b:
        posts = [f"--post={sink.url}" for sink in (a, b)]
        async with tool(node, *posts, "--mode=round-robin", "--status-every=10"):
            await node.publish("t", *numbers(44))
            await eventually(lambda: settled(node) and len(a.received) + len(b.received) == 44)
    names = Counter(
        text.partition("]: finished 10 - 99th: ")[0] for text in caplog.messages if "finished" in text
    )
    assert names == {"[aggregate": 4, f"[{a.url}": 2, f"[{b.url}": 2}
    warning = "Warning: use more than 100 status values for accurate percentiles (configured with 10)"
    assert warning in caplog.messages


async def test_an_endpoint_that_never_answers_holds_up_only_its_own_requests(node: Node) -> None:
    async def silent(request: Received, wire: Wire) -> None:
        await wire.gone()

    async with Sink(silent) as bad, Sink() as good:
        posts = [f"--post={sink.url}" for sink in (bad, good)]
        async with tool(node, *posts, "--http-client-request-timeout=300ms", "--n=4"):
            await node.publish("t", *numbers(200))
            await eventually(lambda: len(set(good.bodies)) == 200)
    assert len(bad.received) <= 4


async def test_an_endpoint_that_comes_back_gets_everything(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    sink = Sink()
    async with sink:
        url = f"{sink.url}/x"
    async with tool(node, f"--post={url}"):
        await node.publish("t", *numbers(50))
        await eventually(lambda: "connection refused" in caplog.text)
        async with sink:
            await eventually(lambda: settled(node) and len(set(sink.bodies)) == 50)


@pytest.mark.parametrize("temper", ["close", "reset", "half", "garbage", "headers"])
async def test_nothing_is_lost_or_sent_twice_needlessly_to_a_hostile_endpoint(
    node: Node, temper: str
) -> None:
    taken: list[bytes] = []

    async def answers(request: Received, wire: Wire) -> bytes | None:
        if request.headers["x-nsq-attempts"] != "1":
            taken.append(request.body)
            return OK
        if temper == "reset":
            wire.reset()
        elif temper == "half":
            await wire.send(b"HTTP/1.1 20")
        elif temper == "garbage":
            await wire.send(b"\xff" * 5000)
        elif temper == "headers":
            await wire.send(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000)
        return None

    async with Sink(answers) as sink, tool(node, f"--post={sink.url}"):
        await node.publish("t", *numbers(30))
        await eventually(lambda: settled(node) and len(taken) == 30)
    assert sorted(taken) == sorted(numbers(30))


async def test_requests_under_way_are_waited_for_at_the_end(node: Node) -> None:
    gate = asyncio.Event()

    async def answers(request: Received, wire: Wire) -> bytes:
        await gate.wait()
        return OK

    async with Sink(answers) as sink:
        async with tool(node, f"--post={sink.url}", "--n=2") as running:
            await node.publish("t", *numbers(10))
            await eventually(lambda: len(sink.received) == 2)
            running.end()
            channel = channel_of(node)
            await eventually(lambda: channel.in_flight_count == 2 and channel.depth == 8)
            gate.set()
        await eventually(lambda: channel.in_flight_count == 0)
    assert (len(sink.received), channel.depth) == (2, 8)


async def test_requests_that_do_not_end_are_given_up_and_their_messages_handed_back(node: Node) -> None:
    async def silent(request: Received, wire: Wire) -> None:
        await wire.gone()

    async with Sink(silent) as sink:
        async with tool(node, f"--post={sink.url}", "--http-client-request-timeout=500ms") as running:
            await node.publish("t", *numbers(5))
            await eventually(lambda: len(sink.received) == 5)
            running.end()
        found = channel_of(node)
        await eventually(lambda: not found.in_flight_count and found.depth + len(found.deferred) == 5)
