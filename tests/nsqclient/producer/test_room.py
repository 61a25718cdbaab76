from __future__ import annotations

import asyncio

import pytest

from nsqclient import Backlogged
from nsqclient.producer.room import Room


def soon() -> float:
    return asyncio.get_running_loop().time() + 5


async def test_room_is_limited_by_items_and_by_bytes() -> None:
    room = Room(2, 10)
    assert room.take_nowait(6)
    assert not room.take_nowait(5)
    assert room.take_nowait(4)
    assert not room.take_nowait(0)
    assert (room.items, room.bytes) == (2, 10)


async def test_a_lone_item_may_be_larger_than_the_room() -> None:
    room = Room(2, 10)
    assert room.take_nowait(11)
    assert not room.take_nowait(1)


async def test_places_are_given_in_the_order_of_asking() -> None:
    room = Room(1, 100)
    room.take_nowait(1)
    got: list[int] = []

    async def take(number: int) -> None:
        await room.take(number, soon())
        got.append(number)

    tasks = [asyncio.create_task(take(n)) for n in (1, 2, 3)]
    await asyncio.sleep(0)
    assert not room.take_nowait(1)  # nobody overtakes those who wait
    for n in (1, 2, 3):
        room.give_back(1 if n == 1 else n - 1)
        await tasks[n - 1]
    assert got == [1, 2, 3]
    assert (room.items, room.bytes) == (1, 3)


async def test_waiting_ends_with_backlogged() -> None:
    room = Room(1, 100)
    room.take_nowait(7)
    with pytest.raises(Backlogged, match="1 publishes of 7 bytes") as caught:
        await room.take(1, asyncio.get_running_loop().time() + 0.01)
    assert caught.value.outcome == "not_sent"
    room.give_back(7)
    assert (room.items, room.bytes) == (0, 0)
    assert room.take_nowait(1)


async def test_a_waiter_that_is_cancelled_lets_a_smaller_one_pass() -> None:
    room = Room(10, 10)
    room.take_nowait(5)
    large = asyncio.create_task(room.take(8, soon()))
    small = asyncio.create_task(room.take(2, soon()))
    await asyncio.sleep(0)
    large.cancel()
    await small
    assert room.bytes == 7
    with pytest.raises(asyncio.CancelledError):
        await large


async def test_a_place_that_came_while_its_waiter_was_cancelled_is_given_on() -> None:
    room = Room(1, 100)
    room.take_nowait(1)
    first = asyncio.create_task(room.take(2, soon()))
    second = asyncio.create_task(room.take(3, soon()))
    await asyncio.sleep(0)
    room.give_back(1)  # first has its place, but has not run since
    first.cancel()
    await second
    assert first.cancelled() or first.done()
    assert (room.items, room.bytes) == (1, 3)


async def test_refusing_ends_all_waiting() -> None:
    room = Room(1, 100)
    room.take_nowait(1)
    waiting = [asyncio.create_task(room.take(1, soon())) for _ in range(2)]
    await asyncio.sleep(0)
    room.refuse(LookupError("closed"))
    for task in waiting:
        with pytest.raises(LookupError):
            await task
    assert (room.items, room.bytes) == (1, 1)
