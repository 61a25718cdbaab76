"""How busy the loop is, and what a channel does about it: runs grow while the loop has no time to lose."""

from __future__ import annotations

import asyncio
from unittest.mock import patch

import pytest

from nsqd import pressure
from nsqd.channel import LARGE, LONG_RUN, PATIENCE, Channel
from nsqd.client import Client, Settings
from nsqd.frames import FrameBuilder
from nsqd.guid import Ids
from nsqd.in_flight import InFlight
from nsqd.message_queue import Budget
from nsqd.pressure import Pressure
from nsqd.storage.backend import NullBackend

builder = FrameBuilder(Ids(1))


def test_pressure_is_high_while_the_thread_works_most_of_the_time() -> None:
    gauge, now, worked = Pressure(), 100.0, 1.0
    for busy, high in ((0.0, False), (0.5, False), (0.7, True), (1.0, True), (0.1, False)):
        now += 0.02
        worked += 0.02 * busy
        assert now >= gauge.until
        with patch.object(pressure, "thread_time", lambda: worked):  # noqa: B023 - it is asked at once
            gauge.look(now)
        assert gauge.high is high
        assert now < gauge.until


class Busy(Pressure):
    """A loop with no time left."""

    def look(self, now: float) -> None:
        self.high, self.until = True, now + 60.0


class Writes:
    """A consumer, and how many messages each write to it held."""

    def __init__(self, ready: int) -> None:
        self.runs: list[int] = []
        self.joined = 0
        self.client = Client(
            settings=Settings("me", "here"),
            write=self._write,
            write_all=lambda run: self.runs.append(len(run)),
            close=lambda: None,
            remote_address="",
            in_flight=InFlight(60.0, 900.0),
            ready=ready,
        )
        self._before = 0

    def _write(self, data: bytes) -> None:
        self.joined += 1
        now = self.client.message_count
        self.runs.append(now - self._before)
        self._before = now


def make_channel(gauge: Pressure) -> Channel:
    return Channel(
        "t",
        "c",
        limit=100_000,
        budget=Budget(1 << 30),
        make_backend=lambda grown: NullBackend(),
        emptied=lambda channel: None,
        discard=lambda frames: None,
        pressure=gauge,
    )


async def turns(count: int) -> None:
    """So many turns of the loop."""
    for _ in range(count):
        await asyncio.sleep(0)


async def publish_each_turn(channel: Channel, count: int) -> None:
    for _ in range(count):
        channel.put(builder.many([b"x"] * 5))
        await turns(1)


def subscribe(channel: Channel, ready: int) -> Writes:
    consumer = Writes(ready)
    channel.add_client(consumer.client)
    channel.hungry(consumer.client)
    return consumer


async def test_a_loop_with_time_sends_each_batch_at_once() -> None:
    channel = make_channel(Pressure())
    consumer = subscribe(channel, ready=200)
    await publish_each_turn(channel, 4)
    assert consumer.runs == [5, 5, 5, 5]


async def test_a_busy_loop_gathers_batches_for_a_few_turns() -> None:
    channel = make_channel(Busy())
    consumer = subscribe(channel, ready=200)
    await publish_each_turn(channel, 2 * PATIENCE + 2)
    assert consumer.runs == [5 * (PATIENCE + 1)] * 2


async def test_a_busy_loop_waits_no_longer_than_more_comes() -> None:
    channel = make_channel(Busy())
    consumer = subscribe(channel, ready=200)
    channel.put(builder.many([b"x"] * 5))
    await turns(2)
    assert consumer.runs == [5]


@pytest.mark.parametrize("ready", [1, LONG_RUN, 2500])
async def test_what_makes_a_long_run_or_fills_the_consumer_does_not_wait(ready: int) -> None:
    channel = make_channel(Busy())
    consumer = subscribe(channel, ready=ready)
    channel.put(builder.many([b"x"] * 5000))
    await turns(1)
    assert consumer.runs[0] == min(ready, 1000)


async def test_room_is_gathered_as_messages_are() -> None:
    channel = make_channel(Busy())
    channel.put(builder.many([b"x"] * 5000))
    consumer = subscribe(channel, ready=100)
    await turns(1)
    assert consumer.runs == [100]
    for _ in range(PATIENCE + 1):
        for message_id in list(consumer.client.in_flight.messages)[1:11]:  # behind the mark
            assert channel.finish(consumer.client, message_id)
        await turns(1)
    assert consumer.runs == [100, 10 * (PATIENCE + 1)]


async def test_large_messages_are_written_without_being_joined() -> None:
    channel = make_channel(Pressure())
    consumer = subscribe(channel, ready=10)
    batch = builder.many([b"x" * LARGE] * 3)
    channel.put(batch)
    await turns(1)
    assert (consumer.runs, consumer.joined) == ([3], 0)
    assert channel.queue.bytes == 0  # all are accounted for
