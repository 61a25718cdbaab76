"""nsq_to_nsq as a process, between nsqds that are processes as well."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from nsqclient import Consumer, Producer
from tests.support.fetch import fetch_json, post
from tests.support.processes import DaemonProcess, spawn
from tests.support.tls import Authority
from tests.support.tools import ToolProcess, run_tool, start_tool

LOCAL = ("--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--broadcast-address=127.0.0.1")
SOON = (
    "--consumer-opt=default_requeue_delay,20ms",
    "--consumer-opt=max_requeue_delay,100ms",
    "--consumer-opt=backoff_multiplier,5ms",
    "--consumer-opt=max_backoff_duration,50ms",
)
"""Messages that failed come again within a test."""


@dataclass
class Pair:
    source: DaemonProcess
    destination: DaemonProcess
    topic: str = ""

    @property
    def flags(self) -> list[str]:
        return [
            f"--topic={self.topic}",
            f"--nsqd-tcp-address={self.source.tcp}",
            f"--destination-nsqd-tcp-address={self.destination.tcp}",
        ]


@pytest.fixture(scope="module")
def daemons(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folders = [tmp_path_factory.mktemp(name) for name in ("source", "destination")]
    with (
        spawn("nsqd", *LOCAL, f"--data-path={folders[0]}") as source,
        spawn("nsqd", *LOCAL, f"--data-path={folders[1]}", "--max-msg-size=1000") as destination,
    ):
        yield Pair(source, destination)


@pytest.fixture
def pair(daemons: Pair) -> Pair:
    """With a topic that no other test uses."""
    return Pair(daemons.source, daemons.destination, f"t{uuid4().hex}")


def publish(daemon: DaemonProcess, topic: str, *bodies: bytes, channel: str = "nsq_to_nsq") -> None:
    """To a topic that keeps them for that channel."""
    post(daemon.http, f"/topic/create?topic={topic}")
    post(daemon.http, f"/channel/create?topic={topic}&channel={channel}")
    for body in bodies:
        assert post(daemon.http, f"/pub?topic={topic}", body)[0] == 200


async def received(daemon: DaemonProcess, topic: str, count: int, timeout: float = 20) -> list[bytes]:
    """So many messages of a topic."""
    bodies = []
    async with Consumer(topic, "test", daemon.tcp, max_in_flight=100, drain=0) as consumer:
        for _ in range(count):
            message = await consumer.get(timeout)
            message.finish()
            bodies.append(message.body)
    return bodies


def left(daemon: DaemonProcess, topic: str, channel: str = "nsq_to_nsq") -> int:
    """Messages of a channel that are not finished."""
    (told,) = fetch_json(daemon.http, f"/stats?format=json&topic={topic}&channel={channel}")["topics"]
    (told,) = told["channels"]
    return int(told["depth"] + told["in_flight_count"] + told["deferred_count"])


async def relayed(
    tool: ToolProcess, daemon: DaemonProcess, topic: str, channel: str = "nsq_to_nsq", *, but: int = 0
) -> None:
    """Until nothing of that channel is left, or no more than some."""
    async with asyncio.timeout(30):
        while await asyncio.to_thread(left, daemon, topic, channel) > but:
            assert tool.poll() is None, tool.err
            await asyncio.sleep(0.005)


async def test_messages_of_several_topics_go_where_they_belong(pair: Pair) -> None:
    other = f"{pair.topic}-2"
    publish(pair.source, pair.topic, b"one", b"two", channel="c")
    publish(pair.source, other, b"three", channel="c")
    with start_tool(
        "nsq_to_nsq", *pair.flags, f"--topic={other}", "--channel=c", "--max-in-flight=1"
    ) as tool:
        assert sorted(await received(pair.destination, pair.topic, 2)) == [b"one", b"two"]
        assert await received(pair.destination, other, 1) == [b"three"]
        assert tool.stop() == 0
    assert left(pair.source, pair.topic, "c") == left(pair.source, other, "c") == 0


async def test_topics_are_found_by_nsqlookupd_and_may_change_their_name(tmp_path: Path, pair: Pair) -> None:
    with (
        spawn("nsqlookupd", *LOCAL) as lookupd,
        spawn("nsqd", *LOCAL, f"--data-path={tmp_path}", f"--lookupd-tcp-address={lookupd.tcp}") as source,
    ):
        publish(source, "orders", b"one")
        flags = [
            "--topic=orders",
            f"--lookupd-http-address={lookupd.http}",
            "--consumer-opt=lookupd_poll_interval,100ms",
            f"--destination-topic={pair.topic}",
            f"--destination-nsqd-tcp-address={pair.destination.tcp}",
        ]
        with start_tool("nsq_to_nsq", *flags) as tool:
            assert await received(pair.destination, pair.topic, 1) == [b"one"]
            assert tool.stop() == 0


async def test_a_topic_may_be_copied_within_one_nsqd_and_live_in_memory_alone(pair: Pair) -> None:
    copy = f"copy{pair.topic[:20]}#ephemeral"
    publish(pair.source, pair.topic, b"one", channel="c#ephemeral")
    flags = [
        f"--topic={pair.topic}",
        "--channel=c#ephemeral",
        f"--nsqd-tcp-address={pair.source.tcp}",
        f"--destination-nsqd-tcp-address={pair.source.tcp}",
        f"--destination-topic={copy}",
    ]
    async with Consumer(copy, "test#ephemeral", pair.source.tcp, drain=0) as consumer:
        publish(pair.source, pair.topic, b"two", channel="c#ephemeral")
        with start_tool("nsq_to_nsq", *flags) as tool:
            (message := await consumer.get(20)).finish()
            assert message.body in (b"one", b"two")
            assert tool.stop() == 0


async def test_only_objects_that_match_pass_with_the_fields_that_may(pair: Pair) -> None:
    bodies = [b'{"kind": 1, "who": "<ann>", "key": 12345678901234567890}', b'{"kind": 2}', b"{}", b"no json"]
    publish(pair.source, pair.topic, *bodies)
    flags = [
        "--require-json-field=kind",
        "--require-json-value=1",
        "--whitelist-json-field=who",
        "--whitelist-json-field=key",
    ]
    with start_tool("nsq_to_nsq", *pair.flags, *flags) as tool:
        passed = await received(pair.destination, pair.topic, 1)
        assert passed == [b'{"key":12345678901234567890,"who":"\\u003cann\\u003e"}']
        await relayed(tool, pair.source, pair.topic)
        assert tool.stop() == 0
    assert "ERROR: Unable to decode json: 'no json'" in tool.err
    assert "1 messages relayed, 2 filtered out, 1 were no JSON objects" in tool.err


@pytest.mark.parametrize("mode", ["round-robin", "hostpool", "epsilon-greedy", "all"])
async def test_messages_go_to_one_destination_or_to_all(mode: str, tmp_path: Path, pair: Pair) -> None:
    bodies = [b"%d" % number for number in range(20)]
    publish(pair.source, pair.topic, *bodies)
    with spawn("nsqd", *LOCAL, f"--data-path={tmp_path}") as second:
        flags = [f"--destination-nsqd-tcp-address={second.tcp}", f"--mode={mode}", "--max-in-flight=4"]
        with start_tool("nsq_to_nsq", *pair.flags, *flags, "--status-every=5") as tool:
            await relayed(tool, pair.source, pair.topic)
            assert tool.stop() == 0
        got: list[Counter[bytes]] = []
        for daemon in (pair.destination, second):
            topics = fetch_json(daemon.http, f"/stats?format=json&topic={pair.topic}")["topics"]
            depth = topics[0]["depth"] if topics else 0
            got.append(Counter(await received(daemon, pair.topic, depth)))
    if mode == "all":
        assert got == [Counter(bodies), Counter(bodies)]
        assert f"[{second.tcp}]: finished 5 - 99th: " in tool.err
    else:
        assert got[0] + got[1] == Counter(bodies)
    assert "[aggregate]: finished 5 - 99th: " in tool.err
    assert "Warning: use more than 100 status values for accurate percentiles (configured with 5)" in tool.err


async def test_a_message_that_is_too_large_becomes_a_dead_letter_and_holds_nobody_up(pair: Pair) -> None:
    large = b"x" * 1001
    publish(pair.source, pair.topic, b"one", large, b"two")
    dead = f"{pair.topic}-dead"
    with start_tool("nsq_to_nsq", *pair.flags, f"--dead-letter-topic={dead}") as tool:
        assert sorted(await received(pair.destination, pair.topic, 2)) == [b"one", b"two"]
        assert await received(pair.source, dead, 1) == [large]
        await relayed(tool, pair.source, pair.topic)
        assert tool.stop() == 0
    assert f"1001 bytes is now in topic {dead}, given up after 1 attempts" in tool.err
    assert f"[{pair.topic}/nsq_to_nsq]" in tool.err


async def test_a_message_is_given_up_only_if_that_was_asked_for(pair: Pair) -> None:
    large = b"x" * 1001
    publish(pair.source, pair.topic, large)
    with start_tool("nsq_to_nsq", *pair.flags, *SOON, "--consumer-opt=max_attempts,3") as tool:
        await relayed(tool, pair.source, pair.topic)
        assert tool.stop() == 0
    assert "bytes is refused at its attempt 1 and requeued" in tool.err
    assert "of 1001 bytes after 3 attempts, it is lost - " in tool.err


async def test_destinations_may_want_tls(tmp_path: Path, pair: Pair) -> None:
    authority = Authority(tmp_path)
    secure = ["--tls-required=true", *authority.flags, f"--data-path={tmp_path}"]
    with spawn("nsqd", *LOCAL, *secure) as destination:
        publish(pair.source, pair.topic, b"secret")
        flags = [
            f"--topic={pair.topic}",
            f"--nsqd-tcp-address={pair.source.tcp}",
            f"--destination-nsqd-tcp-address={destination.tcp}",
            "--producer-opt=tls_v1",
            f"--producer-opt=tls_root_ca_file,{tmp_path / 'ca.pem'}",
        ]
        with start_tool("nsq_to_nsq", *flags) as tool:
            await relayed(tool, pair.source, pair.topic)
            assert tool.stop() == 0


def test_a_source_that_can_not_be_reached_ends_it() -> None:
    flags = ["--nsqd-tcp-address=127.0.0.1:1", "--destination-nsqd-tcp-address=127.0.0.1:2"]
    ended = run_tool("nsq_to_nsq", "--topic=one", "--topic=two", *flags)
    assert ended.status == 1
    assert "127.0.0.1:1: Connection refused" in ended.err.splitlines()[-1]


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, 0), (signal.SIGHUP, -signal.SIGHUP)]
)
def test_signals_end_it_in_order_but_for_sighup(pair: Pair, number: signal.Signals, status: int) -> None:
    with start_tool("nsq_to_nsq", *pair.flags) as tool:
        tool.wait_for_err("subscribed")
        tool.signal(number)
        assert tool.wait() == status


# ---- bad weather


async def fill(daemon: DaemonProcess, topic: str, bodies: Sequence[bytes]) -> None:
    publish(daemon, topic)
    async with Producer(daemon.tcp) as producer:
        for start in range(0, len(bodies), 500):
            await producer.publish_many(topic, bodies[start : start + 500])


@contextmanager
def on_disk(folder: Path, tcp: str = "127.0.0.1:0") -> Iterator[DaemonProcess]:
    """A nsqd that loses nothing when it is killed."""
    flags = ["--http-address=127.0.0.1:0", f"--tcp-address={tcp}", f"--data-path={folder}"]
    with spawn("nsqd", *flags, "--mem-queue-size=0") as daemon:
        yield daemon


async def test_a_destination_that_is_killed_and_comes_back_misses_nothing(tmp_path: Path, pair: Pair) -> None:
    bodies = [b"%d" % number for number in range(20_000)]
    await fill(pair.source, pair.topic, bodies)
    flags = [f"--topic={pair.topic}", f"--nsqd-tcp-address={pair.source.tcp}", "--max-in-flight=500", *SOON]
    with on_disk(tmp_path) as first:
        address = first.tcp
        with start_tool("nsq_to_nsq", *flags, f"--destination-nsqd-tcp-address={address}") as tool:
            await relayed(tool, pair.source, pair.topic, but=15_000)
            first.kill()
            await asyncio.to_thread(tool.wait_for_err, "are not confirmed")
            with on_disk(tmp_path, address) as second:
                await relayed(tool, pair.source, pair.topic)
                assert tool.stop() == 0
                topics = fetch_json(second.http, f"/stats?format=json&topic={pair.topic}")["topics"]
                got = Counter(await received(second, pair.topic, topics[0]["depth"]))
    assert set(got) == set(bodies)
    twice = sum(got.values()) - len(bodies)
    assert twice <= 500, f"{twice} messages came twice, more than were on their way when it was killed"


async def test_one_that_is_stopped_in_the_middle_leaves_the_rest_to_the_next_at_once(pair: Pair) -> None:
    bodies = [b"%d" % number for number in range(10_000)]
    await fill(pair.source, pair.topic, bodies)
    for moment in (9_000, 5_000):
        with start_tool("nsq_to_nsq", *pair.flags, "--max-in-flight=500") as tool:
            await relayed(tool, pair.source, pair.topic, but=moment)
            assert tool.stop() == 0
    with start_tool("nsq_to_nsq", *pair.flags, "--max-in-flight=500") as tool:
        await relayed(tool, pair.source, pair.topic)
    topics = fetch_json(pair.destination.http, f"/stats?format=json&topic={pair.topic}")["topics"]
    assert Counter(await received(pair.destination, pair.topic, topics[0]["depth"])) == Counter(bodies)
