"""The helper itself: it must reach every wait, and notice who does not obey."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

import pytest

from tests.support.cancellation import at_each_wait, cancel_at


async def three_waits(log: list[str]) -> str:
    try:
        await asyncio.sleep(0)
        log.append("first")
        await asyncio.sleep(0.001)
        log.append("second")
        async with asyncio.timeout(5):
            await asyncio.sleep(0)
        log.append("third")
    finally:
        log.append("end")
    return "result"


@pytest.mark.parametrize("late", [False, True])
async def test_each_wait_is_cancelled_once_and_the_last_round_is_whole(late: bool) -> None:
    logs: list[list[str]] = []

    def make() -> Coroutine[object, object, str]:
        logs.append([])
        return three_waits(logs[-1])

    cuts = [cut async for cut in at_each_wait(make, late=late)]
    assert [cut.place for cut in cuts] == [1, 2, 3, 4]
    assert [cut.reached for cut in cuts] == [True, True, True, False]
    assert cuts[-1].result == "result"
    assert all(log[-1] == "end" for log in logs)
    if not late:
        assert [cut.cancelled for cut in cuts] == [True, True, True, False]
        assert [len(log) for log in logs] == [1, 2, 3, 4]


async def test_the_note_of_a_cancellation_is_kept() -> None:
    async def work() -> None:
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError as e:
            e.add_note("so far")
            raise

    cut = await cancel_at(1, work())
    assert cut.error is not None
    assert cut.error.__notes__ == ["so far"]


async def test_who_swallows_a_cancellation_is_seen() -> None:
    async def work() -> str:
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            return "went on"
        return "never"

    cut = await cancel_at(1, work())
    assert (cut.reached, cut.cancelled, cut.result) == (True, False, "went on")


async def test_other_errors_come_out() -> None:
    async def work() -> None:
        await asyncio.sleep(0)
        raise ValueError("broken")

    cut = await cancel_at(2, work())
    assert not cut.reached
    assert isinstance(cut.error, ValueError)
