from __future__ import annotations

import asyncio
import functools
import logging
import threading
from contextvars import ContextVar, copy_context
from unittest.mock import AsyncMock

import pytest

from nsqclient.consumer.threads import HandlerThread, is_plain
from tests.support.nsqd import eventually

variable: ContextVar[str] = ContextVar("variable", default="nothing")


class AsyncCallable:
    async def __call__(self, message: object) -> None: ...


class PlainCallable:
    def __call__(self, message: object) -> None: ...


async def coroutine_function(message: object) -> None: ...


def plain_function(message: object) -> None: ...


@pytest.mark.parametrize(
    ("function", "plain"),
    [
        (coroutine_function, False),
        (functools.partial(coroutine_function, 1), False),
        (AsyncCallable(), False),
        (AsyncMock(), False),
        (plain_function, True),
        (functools.partial(plain_function, 1), True),
        (PlainCallable(), True),
        (lambda message: None, True),
    ],
)
def test_plain_functions_are_told_from_coroutine_functions(function: object, plain: bool) -> None:
    assert callable(function)
    assert is_plain(function) is plain


async def test_calls_run_in_one_thread_that_is_not_the_loops() -> None:
    thread = HandlerThread("a name")
    threads = [await thread.call(copy_context(), threading.current_thread) for _ in range(3)]
    assert len(set(map(id, threads))) == 1
    worker = threads[0]
    assert isinstance(worker, threading.Thread)
    assert (worker.name, worker.daemon) == ("a name", True)
    assert worker is not threading.current_thread()
    thread.end()
    await asyncio.to_thread(worker.join, 5)
    assert not worker.is_alive()


async def test_a_call_sees_its_context_alone() -> None:
    thread = HandlerThread("t")
    context = copy_context()
    context.run(variable.set, "given")
    assert await thread.call(context, variable.get) == "given"
    assert await thread.call(copy_context(), variable.get) == "nothing"
    thread.end()


@pytest.mark.parametrize("error", [LookupError("no"), SystemExit(3), KeyboardInterrupt()])
async def test_what_is_raised_in_the_thread_comes_out(error: BaseException) -> None:
    def work() -> None:
        raise error

    thread = HandlerThread("t")
    with pytest.raises(type(error)):
        await thread.call(copy_context(), work)
    assert await thread.call(copy_context(), int, "7") == 7, "the thread goes on"
    thread.end()


async def test_even_stop_iteration_comes_out() -> None:
    thread = HandlerThread("t")
    with pytest.raises(RuntimeError, match="StopIteration"):
        await thread.call(copy_context(), next, iter(()))
    thread.end()


async def test_a_call_that_is_cancelled_runs_on_and_can_be_waited_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    let_go = threading.Event()

    def work() -> None:
        let_go.wait(5)
        raise LookupError("late")

    thread = HandlerThread("t")
    task = asyncio.create_task(thread.call(copy_context(), work))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    busy = [thread.busy]
    let_go.set()
    await thread.wait()
    busy.append(thread.busy)
    assert busy == [True, False]
    await eventually(lambda: "left behind in its thread failed" in caplog.text)
    thread.end()


def test_a_thread_that_outlives_its_loop_says_so(caplog: pytest.LogCaptureFixture) -> None:
    let_go = threading.Event()
    caplog.set_level(logging.ERROR)
    thread = HandlerThread("t")

    async def main() -> None:
        task = asyncio.create_task(thread.call(copy_context(), let_go.wait, 5))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        thread.end()

    asyncio.run(main())
    let_go.set()
    worker = thread._thread
    assert worker is not None
    worker.join(5)
    assert not worker.is_alive()
    assert "the event loop was closed already" in caplog.text
