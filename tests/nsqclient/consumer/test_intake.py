from __future__ import annotations

import asyncio

import pytest

from nsqclient.consumer.intake import Intake
from nsqclient.consumer.message import Message
from nsqcore.wire.frames import MESSAGE_HEAD
from tests.nsqclient.sources import RecordingSource


def message(number: int) -> Message:
    return Message(RecordingSource(), MESSAGE_HEAD.pack(1, 1, b"%016x" % number) + b"x", 0.0)


async def take(intake: Intake) -> Message:
    while not intake.messages:
        await intake.wait()
    return intake.messages.popleft()


async def test_messages_come_in_order() -> None:
    intake = Intake()
    batch = [message(n) for n in range(3)]
    intake.add(batch)
    assert [await take(intake) for _ in batch] == batch


async def test_one_message_wakes_one_waiter() -> None:
    intake = Intake()
    waiters = [asyncio.create_task(take(intake)) for _ in range(3)]
    await asyncio.sleep(0)
    first, *rest = [message(n) for n in range(3)]
    intake.add([first])
    assert await waiters[0] is first
    assert not any(waiter.done() for waiter in waiters[1:])
    intake.add(rest)
    assert await asyncio.gather(*waiters[1:]) == rest


async def test_a_waiter_cancelled_while_waiting_takes_nothing() -> None:
    intake = Intake()
    waiter = asyncio.create_task(take(intake))
    other = asyncio.create_task(take(intake))
    await asyncio.sleep(0)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    only = message(1)
    intake.add([only])
    assert await other is only


async def test_a_waiter_cancelled_just_after_it_was_woken_wakes_the_next() -> None:
    intake = Intake()
    first = asyncio.create_task(take(intake))
    second = asyncio.create_task(take(intake))
    await asyncio.sleep(0)
    only = message(1)
    intake.add([only])
    first.cancel()
    assert await second is only
    assert first.done()


async def test_the_end_wakes_everybody_and_returns_what_is_left() -> None:
    intake = Intake()
    waiters = [asyncio.create_task(intake.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    assert intake.end() == []
    await asyncio.gather(*waiters)
    assert intake.ended

    other = Intake()
    batch = [message(n) for n in range(2)]
    other.add(batch)
    assert other.end() == batch
    assert not other.messages


async def test_dropped_messages_are_not_handed_out() -> None:
    intake = Intake()
    batch = [message(n) for n in range(4)]
    intake.add(batch)
    intake.drop([batch[1], batch[2], message(9)])
    assert list(intake.messages) == [batch[0], batch[3]]
