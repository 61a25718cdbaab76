"""Producer and consumer with the real nsqd and nsqlookupd."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from nsqclient import (
    ConnectionOptions,
    Consumer,
    FlowControl,
    FullJitter,
    Lookup,
    Message,
    Producer,
    PublishUnknown,
    RetryPolicy,
)
from tests.support.processes import DaemonProcess, spawn

EXAMPLES = Path(__file__).parents[2] / "client" / "examples"
LOCAL = ("--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--broadcast-address=127.0.0.1")
QUICK = FullJitter(0.01, cap=0.2)
RETRY = RetryPolicy(backoff=QUICK, on_unknown="retry")


@dataclass
class Topology:
    lookupds: list[DaemonProcess]
    nsqds: list[DaemonProcess]
    folders: list[Path]

    @property
    def lookup(self) -> Lookup:
        return Lookup(*(f"http://{lookupd.http}" for lookupd in self.lookupds), poll_interval=0.5)

    def flags(self, number: int) -> list[str]:
        """How nsqd ``number`` is started."""
        return [
            *LOCAL,
            f"--data-path={self.folders[number]}",
            *(f"--lookupd-tcp-address={lookupd.tcp}" for lookupd in self.lookupds),
        ]


def start(stack: ExitStack, folder: Path, nsqds: int, lookupds: int) -> Topology:
    topology = Topology([], [], [])
    for _ in range(lookupds):
        topology.lookupds.append(stack.enter_context(spawn("nsqlookupd", *LOCAL)))
    for number in range(nsqds):
        path = folder / f"nsqd-{number}"
        path.mkdir()
        topology.folders.append(path)
        topology.nsqds.append(stack.enter_context(spawn("nsqd", *topology.flags(number))))
    return topology


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[DaemonProcess]:
    """One nsqd."""
    with ExitStack() as stack:
        yield start(stack, tmp_path, 1, 0).nsqds[0]


async def receive(consumer: Consumer, count: int) -> list[Message]:
    """Receives and finishes ``count`` messages."""
    messages = []
    async with asyncio.timeout(20):
        async for message in consumer:
            message.finish()
            messages.append(message)
            if len(messages) == count:
                break
    return messages


async def test_messages_go_through_and_are_stamped(alone: DaemonProcess) -> None:
    async with (
        Producer(alone.tcp) as producer,
        Consumer("t", "c", alone.tcp, max_in_flight=10) as consumer,
    ):
        await producer.publish("t", b"one")
        await producer.publish_many("t", [b"two", b"three"])
        messages = await receive(consumer, 3)
        assert sorted(message.body for message in messages) == [b"one", b"three", b"two"]
        assert {message.attempts for message in messages} == {1}
        assert len({message.id for message in messages}) == 3
        assert all(message.node == alone.tcp for message in messages)


async def test_a_requeued_message_comes_again_with_its_attempts_counted(alone: DaemonProcess) -> None:
    async with (
        Producer(alone.tcp) as producer,
        Consumer("t", "c", alone.tcp, flow=FlowControl(backoff=None)) as consumer,
    ):
        await producer.publish("t", b"x")
        first = await consumer.get(timeout=10)
        first.requeue(0)
        again = await consumer.get(timeout=10)
        again.finish()
        assert (again.id, again.attempts) == (first.id, 2)


async def test_what_a_consumer_had_in_hand_goes_to_the_next_at_once(alone: DaemonProcess) -> None:
    async with Producer(alone.tcp) as producer:
        await producer.publish_many("t", [b"%d" % n for n in range(100)])
    async with Consumer("t", "c", alone.tcp, max_in_flight=100, drain=0) as consumer:
        while consumer.stats.received < 100:
            (await consumer.get(timeout=10)).touch()
        assert consumer.stats.in_flight == 100
    # far less than the message timeout, which messages that were kept would have to wait for
    async with asyncio.timeout(10), Consumer("t", "c", alone.tcp, max_in_flight=100) as consumer:
        messages = await receive(consumer, 100)
    assert {message.attempts for message in messages} == {2}


async def test_a_lost_lease_is_noticed(alone: DaemonProcess) -> None:
    options = ConnectionOptions(msg_timeout=1)
    async with (
        Producer(alone.tcp) as producer,
        Consumer("t", "c", alone.tcp, options=options, max_in_flight=2) as consumer,
    ):
        await producer.publish("t", b"x")
        old = await consumer.get(timeout=10)
        new = await consumer.get(timeout=15)
        assert (old.id, old.state) == (new.id, "lost")
        new.finish()
        assert consumer.stats.lost == 1


async def test_a_deferred_message_comes_later(alone: DaemonProcess) -> None:
    clock = asyncio.get_running_loop().time
    async with Producer(alone.tcp) as producer, Consumer("t", "c", alone.tcp) as consumer:
        receipt = await producer.publish("t", b"x", delay=0.5)
        await receive(consumer, 1)
        assert clock() - receipt.acked_at > 0.4


async def test_handlers_and_many_publishes_at_once(alone: DaemonProcess) -> None:
    seen: Counter[bytes] = Counter()

    async with (
        Producer(alone.tcp) as producer,
        Consumer("t", "c", alone.tcp, max_in_flight=50) as consumer,
    ):

        async def handler(message: Message) -> None:
            seen[message.body] += 1
            if len(seen) == 500:
                consumer.stop()

        running = asyncio.create_task(consumer.run(handler, concurrency=10))
        await asyncio.gather(*(producer.publish("t", b"%d" % n) for n in range(500)))
        async with asyncio.timeout(20):
            await running
    assert seen == Counter({b"%d" % n: 1 for n in range(500)})


async def test_discovery_with_two_nsqlookupds_and_three_nsqds(tmp_path: Path) -> None:
    with ExitStack() as stack:
        topology = await asyncio.to_thread(start, stack, tmp_path, 3, 2)
        addresses = {nsqd.tcp for nsqd in topology.nsqds}
        async with Producer(topology.lookup) as producer:
            stored: Counter[str] = Counter()
            async with asyncio.timeout(20):
                while len(stored) < 3:  # nsqds register one after the other
                    receipt = await producer.publish("t", b"x")
                    stored[receipt.nodes[0]] += 1
            assert set(stored) == addresses
            async with Consumer("t", "c", topology.lookup, max_in_flight=9) as consumer:
                messages = await receive(consumer, stored.total())
                assert Counter(message.node for message in messages) == stored
        topology.lookupds[0].kill()
        async with Consumer("t", "c2", topology.lookup, max_in_flight=9, drain=0) as consumer:
            async with asyncio.timeout(20):
                while consumer.stats.connections < 3:  # noqa: ASYNC110 - a snapshot has no event
                    await asyncio.sleep(0.01)


async def test_a_nsqd_restarted_in_the_middle_loses_nothing(tmp_path: Path) -> None:
    total = 3000
    sent: set[bytes] = set()
    unknown: set[bytes] = set()
    seen: Counter[bytes] = Counter()
    with ExitStack() as stack:
        topology = await asyncio.to_thread(start, stack, tmp_path, 2, 2)
        victim = topology.nsqds[1]

        async def restart() -> None:
            assert await asyncio.to_thread(victim.stop) == 0
            # the same ports, as a supervisor would start it
            flags = [f for f in topology.flags(1) if not f.startswith(("--tcp-address", "--http-address"))]
            again = spawn("nsqd", *flags, f"--tcp-address={victim.tcp}", f"--http-address={victim.http}")
            topology.nsqds[1] = await asyncio.to_thread(stack.enter_context, again)

        async def publish(producer: Producer, body: bytes) -> None:
            try:
                await producer.publish("t", body, timeout=20)
            except PublishUnknown:
                unknown.add(body)
            else:
                sent.add(body)

        async def handler(message: Message) -> None:
            await asyncio.sleep(0)
            seen[message.body] += 1

        async with (
            Producer(topology.lookup, retry=RETRY) as producer,
            Consumer("t", "c", topology.lookup, max_in_flight=100, reconnect=QUICK) as consumer,
        ):
            running = asyncio.create_task(consumer.run(handler, concurrency=10))
            restarting = None
            for batch in range(0, total, 100):
                await asyncio.gather(*(publish(producer, b"%d" % n) for n in range(batch, batch + 100)))
                if batch == total // 3:
                    restarting = asyncio.create_task(restart())
                await asyncio.sleep(0.01)
            assert restarting is not None
            await restarting
            async with asyncio.timeout(60):
                while not sent <= set(seen):  # noqa: ASYNC110 - handlers only count
                    await asyncio.sleep(0.05)
            consumer.stop()
            await running
    assert len(sent) + len(unknown) == total
    assert not unknown


def example(name: str, *arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    return subprocess.run(command, input=given, capture_output=True, timeout=60, check=False)


def test_the_examples_run(alone: DaemonProcess) -> None:
    lines = [b"%d" % n for n in range(1000)]
    published = example("publish.py", "t", "--nsqd", alone.tcp, given=b"\n".join(lines))
    assert published.stdout == b"1000 messages published\n", published.stderr
    consumed = example("consume.py", "t", "c", "--nsqd", alone.tcp, "--count", "1000")
    assert consumed.returncode == 0, consumed.stderr
    assert sorted(consumed.stdout.split()) == sorted(lines)
