from __future__ import annotations

import asyncio
import gc

import pytest

from nsqclient import Closed
from nsqclient.lifecycle import Lifecycle


async def nothing() -> None:
    pass


async def test_it_must_be_opened_and_may_be_opened_once() -> None:
    life = Lifecycle("thing")
    with pytest.raises(Closed, match="thing is not open; use it with 'async with'"):
        life.check_open()
    life.open()
    life.check_open()
    with pytest.raises(Closed, match="was used before"):
        life.open()
    await life.close(nothing, lambda: None)
    with pytest.raises(Closed, match="thing is closed"):
        life.check_open()


async def test_what_was_never_opened_needs_no_closing() -> None:
    life = Lifecycle("thing")

    async def work() -> None:
        raise AssertionError("there is nothing to do")

    await life.close(work, lambda: None)
    with pytest.raises(Closed):
        life.open()


async def test_closing_works_once_and_everybody_waits_for_it() -> None:
    life = Lifecycle("thing")
    life.open()
    done = asyncio.Event()
    runs = 0

    async def work() -> None:
        nonlocal runs
        runs += 1
        await done.wait()

    closing = [asyncio.create_task(life.close(work, lambda: None)) for _ in range(2)]
    await asyncio.sleep(0)
    assert not any(task.done() for task in closing)
    done.set()
    await asyncio.gather(*closing)
    await life.close(work, lambda: None)
    assert runs == 1
    assert life.phase == "closed"


async def test_a_cancelled_close_hurries_finishes_and_is_cancelled() -> None:
    life = Lifecycle("thing")
    life.open()
    hurried = asyncio.Event()
    finished = False

    async def work() -> None:
        nonlocal finished
        await hurried.wait()
        finished = True

    closing = asyncio.create_task(life.close(work, hurried.set))
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert finished
    assert life.phase == "closed"


async def test_a_failure_is_told_to_all_later_users() -> None:
    life = Lifecycle("thing")
    life.open()
    cause = LookupError("first")
    life.fail(cause)
    life.fail(LookupError("second"))
    assert life.failed
    with pytest.raises(Closed, match="thing failed") as caught:
        life.check_open()
    assert caught.value.__cause__ is cause
    await life.close(nothing, lambda: None)


def test_forgetting_to_close_is_warned_of() -> None:
    life = Lifecycle("thing")
    life.open()
    with pytest.warns(ResourceWarning, match="a thing was never closed"):
        del life


@pytest.mark.parametrize("debug", [False, True])
async def test_what_is_forgotten_open_is_warned_of_with_its_place_in_debug_mode(debug: bool) -> None:
    asyncio.get_running_loop().set_debug(debug)

    def forget() -> None:
        Lifecycle("thing").open()
        gc.collect()

    with pytest.warns(ResourceWarning, match="a thing was never closed") as caught:
        forget()
    assert (f"made in {__file__}" in str(caught[0].message)) == debug
