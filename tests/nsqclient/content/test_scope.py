from __future__ import annotations

import asyncio

import pytest

from nsqclient import ConfigError, DeadlineExceeded, NsqError, scope


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_outside_of_all_scopes_there_is_nothing() -> None:
    assert scope.deadline() is None
    assert scope.remaining() is None
    assert scope.get("tenant") is None
    assert scope.get("tenant", "nobody") == "nobody"


async def test_values_merge_and_inner_ones_win() -> None:
    async with scope(tenant="a", user="u"):
        async with scope(tenant="b"):
            assert (scope.get("tenant"), scope.get("user")) == ("b", "u")
        assert scope.get("tenant") == "a"
    assert scope.get("tenant") is None


async def test_the_earlier_deadline_counts() -> None:
    async with scope(timeout=5):
        outer = scope.deadline()
        async with scope(timeout=60):
            assert scope.deadline() == outer
        async with scope(timeout=1):
            inner = scope.deadline()
            assert inner is not None
            assert outer is not None
            assert inner < outer
            remaining = scope.remaining()
            assert remaining is not None
            assert 0 < remaining <= 1
        assert scope.deadline() == outer


async def test_the_body_is_cancelled_when_the_time_is_over() -> None:
    with pytest.raises(DeadlineExceeded, match=r"0\.01 s") as caught:
        async with scope(timeout=0.01):
            await asyncio.Event().wait()
    assert isinstance(caught.value, TimeoutError)
    assert isinstance(caught.value, NsqError)
    await asyncio.sleep(0)  # and nobody else is


async def test_a_scope_without_time_ends_at_the_first_wait() -> None:
    with pytest.raises(DeadlineExceeded):
        async with scope(timeout=-1):
            await asyncio.sleep(1)


async def test_the_outer_deadline_is_enforced_once_and_raised_outside() -> None:
    left_inner_with: list[type[BaseException]] = []

    async def work() -> None:
        async with scope(timeout=0.01):
            try:
                async with scope(timeout=60, tenant="a"):
                    await asyncio.Event().wait()
            except BaseException as e:
                left_inner_with.append(type(e))
                raise

    with pytest.raises(DeadlineExceeded, match=r"0\.01 s"):
        await work()
    assert left_inner_with == [asyncio.CancelledError]


async def test_an_error_of_the_body_passes_as_it_is() -> None:
    with pytest.raises(TimeoutError) as caught:
        async with scope(timeout=60):
            raise TimeoutError("mine")
    assert str(caught.value) == "mine"


async def test_a_cancellation_from_outside_stays_one() -> None:
    async def work() -> None:
        async with scope(timeout=60):
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_tasks_inherit_the_scope_and_a_scope_of_theirs_enforces_it() -> None:
    async def child() -> None:
        async with scope(user="u"):
            await asyncio.Event().wait()

    async with scope(timeout=0.02, tenant="a"):
        task = asyncio.create_task(child())
    with pytest.raises(DeadlineExceeded):
        await asyncio.wait_for(task, 5)


async def test_what_a_task_sets_stays_in_it() -> None:
    async def child() -> None:
        await scope(tenant="b").__aenter__()

    async with scope(tenant="a"):
        await asyncio.create_task(child())
        assert scope.get("tenant") == "a"


async def test_detached_work_has_values_and_no_deadline() -> None:
    async with scope(timeout=5, tenant="a"):
        async with scope.detached():
            assert scope.deadline() is None
            assert scope.get("tenant") == "a"
        async with scope.detached(values=False):
            assert scope.get("tenant") is None
        assert scope.deadline() is not None


async def test_detached_work_is_not_cut_short_and_the_deadline_counts_again_afterwards() -> None:
    done = asyncio.Event()

    async def work() -> None:
        async with scope(timeout=0.01), scope(timeout=0.005):
            async with scope.detached():
                await asyncio.sleep(0.03)
                done.set()
            await asyncio.Event().wait()

    with pytest.raises(DeadlineExceeded):
        await work()
    assert done.is_set()


async def test_cleaning_up_after_the_deadline_can_be_detached() -> None:
    cleaned = asyncio.Event()

    async def work() -> None:
        async with scope(timeout=0.01):
            try:
                await asyncio.Event().wait()
            finally:
                async with scope.detached():
                    assert scope.remaining() is None
                    await asyncio.sleep(0.01)
                    cleaned.set()

    with pytest.raises(DeadlineExceeded):
        await work()
    assert cleaned.is_set()


async def test_detached_work_can_have_a_deadline_of_its_own() -> None:
    async with scope(timeout=60), scope.detached():
        with pytest.raises(DeadlineExceeded):
            async with scope(timeout=0.01):
                await asyncio.Event().wait()


async def test_detaching_a_task_leaves_the_timers_of_others_alone() -> None:
    async def child(started: asyncio.Event) -> None:
        async with scope.detached():
            started.set()
            await asyncio.Event().wait()

    started = asyncio.Event()
    limited = scope(timeout=0.02)
    await limited.__aenter__()
    task = asyncio.create_task(child(started))
    with pytest.raises(asyncio.CancelledError) as caught:
        await asyncio.Event().wait()
    with pytest.raises(DeadlineExceeded):
        await limited.__aexit__(asyncio.CancelledError, caught.value, None)
    assert started.is_set()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_scope_is_entered_once() -> None:
    once = scope(timeout=1)
    async with once:
        pass
    with pytest.raises(ConfigError, match="once"):
        await once.__aenter__()


async def test_a_timeout_must_be_a_finite_number() -> None:
    with pytest.raises(ConfigError):
        scope(timeout=float("nan"))
