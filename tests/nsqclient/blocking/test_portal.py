"""Calls into a loop of another thread: what becomes of them when nobody waits any more."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from nsqclient import Closed
from nsqclient.blocking.portal import Portal


@pytest.fixture
def portal() -> Iterator[Portal]:
    made = Portal("test")
    yield made
    made.stop()


def test_a_result_that_nobody_waits_for_any_more_is_undone(portal: Portal) -> None:
    undone: list[int] = []

    async def work() -> int:
        return 7

    call = portal.begin(work, undone.append)
    assert call.future.result(10) == 7
    call.abandon()
    portal.run(lambda: None)
    assert undone == [7]


def test_a_call_that_is_abandoned_early_is_cancelled_and_a_late_result_undone(portal: Portal) -> None:
    undone: list[int] = []
    begun, ended = threading.Event(), threading.Event()

    async def stubborn() -> int:
        begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.set()
        return 8

    call = portal.begin(stubborn, undone.append)
    assert begun.wait(10)
    call.abandon()
    assert ended.wait(10)
    portal.run(lambda: None)
    assert undone == [8]


def test_stopping_tells_those_who_wait(portal: Portal) -> None:
    call = portal.begin(lambda: asyncio.sleep(60, 1))
    portal.stop()
    with pytest.raises(Closed):
        call.future.result(10)
    with pytest.raises(Closed):
        portal.begin(lambda: asyncio.sleep(0, 1))
    portal.post(lambda: None)
    portal.stop()


def test_its_own_thread_must_not_wait_for_itself(portal: Portal) -> None:
    with pytest.raises(RuntimeError, match="wait for itself"):
        portal.run(lambda: portal.run(lambda: None))


def test_one_action_that_fails_costs_the_others_nothing(
    portal: Portal, caplog: pytest.LogCaptureFixture
) -> None:
    done: list[int] = []

    def fail() -> None:
        raise ValueError("bad action")

    portal.post(fail)
    portal.post(lambda: done.append(1))
    portal.run(lambda: None)
    assert done == [1]
    assert "bad action" in caplog.text
