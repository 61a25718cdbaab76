"""The system's clock is set back or forward: ids go on, and no deadline moves."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from nsqcore.wire.frames import WireMessage
from tests.support.nsqd import Node

HOUR = 3600 * 10**9
JUMPS = {"back": -24 * HOUR, "forward": 24 * HOUR, "to 1970": -(10**18)}


class SystemClock:
    """Wall-clock time as the machine has it, until it is set."""

    def __init__(self) -> None:
        self._offset = 0
        self._real = time.time_ns

    def time_ns(self) -> int:
        return self._real() + self._offset

    def set(self, offset: int) -> None:
        self._offset = offset


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SystemClock:
    """What the process takes for the time of day."""
    made = SystemClock()
    monkeypatch.setattr(time, "time_ns", made.time_ns)
    monkeypatch.setattr(time, "time", lambda: made.time_ns() / 1e9)
    return made


def in_order(messages: list[WireMessage]) -> bool:
    ids = [message.id for message in messages]
    return ids == sorted(set(ids))


@pytest.mark.parametrize("jump", JUMPS.values(), ids=JUMPS.keys())
async def test_ids_stay_unique_and_ascending(tmp_path: Path, clock: SystemClock, jump: int) -> None:
    async with Node(tmp_path) as node:
        consumer = await node.subscribe("t", "c", rdy=2500)
        producer = await node.connect()
        for offset in (0, jump, 0, jump, 2 * jump if jump > 0 else jump // 2):
            clock.set(offset)
            await producer.pub("t", b"a", b"b")
            await producer.mpub("t", *[b"%d" % n for n in range(200)])
        messages = await consumer.messages(5 * 202)
        assert in_order(messages)
        times = [message.timestamp for message in messages]
        assert abs(times[202] - times[0] - jump) < HOUR, "the time of a message is that of the clock"


async def test_ids_go_on_through_a_restart_behind_a_clock_set_forward(
    tmp_path: Path, clock: SystemClock
) -> None:
    async with Node(tmp_path) as node:
        producer = await node.connect()
        await producer.pub("t", b"1", b"2")
        await node.restart()
        clock.set(HOUR)
        producer = await node.connect()
        await producer.pub("t", b"3", b"4")
        consumer = await node.subscribe("t", "c", rdy=10)
        messages = await consumer.messages(4)
        assert in_order(messages)
        assert [message.body for message in messages] == [b"1", b"2", b"3", b"4"]


@pytest.mark.parametrize("jump", JUMPS.values(), ids=JUMPS.keys())
async def test_deadlines_and_delays_do_not_move(tmp_path: Path, clock: SystemClock, jump: int) -> None:
    loop = asyncio.get_running_loop()
    async with Node(tmp_path, "--msg-timeout=300ms") as node:
        consumer = await node.subscribe("t", "c", rdy=10)
        producer = await node.connect()
        started = loop.time()
        await producer.pub("t", b"times out")
        await producer.dpub("t", 200, b"deferred")
        first = await consumer.message()
        assert (first.body, first.attempts) == (b"times out", 1)
        clock.set(jump)
        deferred = await consumer.message()
        assert deferred.body == b"deferred"
        assert 0.19 < loop.time() - started < 3
        consumer.fin(deferred.id)
        again = await consumer.message()
        assert (again.id, again.attempts) == (first.id, 2)
        assert 0.29 < loop.time() - started < 3
        consumer.fin(again.id)
        await consumer.settled()


@pytest.mark.parametrize("jump", JUMPS.values(), ids=JUMPS.keys())
async def test_a_message_touched_across_a_jump_keeps_its_time(
    tmp_path: Path, clock: SystemClock, jump: int
) -> None:
    async with Node(tmp_path) as node:
        consumer = await node.subscribe("t", "c", rdy=10)
        producer = await node.connect()
        await producer.pub("t", b"x")
        message = await consumer.message()
        clock.set(jump)
        consumer.touch(message.id)
        consumer.fin(message.id)
        await consumer.settled()
        stats = await node.stats()
        (channel,) = stats["topics"][0]["channels"]
        assert (channel["timeout_count"], channel["in_flight_count"], channel["depth"]) == (0, 0, 0)
