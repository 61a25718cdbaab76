"""Limits, threads, middleware: what surrounds a handler."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import pytest

from nsqclient import (
    AlreadySettled,
    ConfigError,
    Consumer,
    DeadLetter,
    Drop,
    HandlerTimeout,
    Message,
    Retry,
    scope,
)
from nsqclient.consumer import giveup as giveup_module
from tests.nsqclient.consumers import OPENING, make
from tests.nsqclient.producers import until
from tests.support.fake_nsqd import FakeNsqd

variable: ContextVar[str] = ContextVar("variable", default="nothing")


async def ended(consumer: Consumer, *tasks: asyncio.Task[None]) -> None:
    consumer.stop()
    async with asyncio.timeout(5):
        await asyncio.gather(*tasks)


# ---- contexts


async def test_nothing_a_handler_sets_leaks_to_the_next_message() -> None:
    seen: list[str] = []

    async def handler(message: Message) -> None:
        seen.append(variable.get())
        variable.set("set by a handler")
        await asyncio.sleep(0)
        seen.append(variable.get())

    variable.set("set around")
    async with FakeNsqd() as nsqd, make(nsqd.address) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        task = asyncio.create_task(consumer.run(handler))
        for _ in range(2):
            await nsqd.expect(f"FIN {nsqd.message()}")
        await ended(consumer, task)
    assert seen == ["set around", "set by a handler"] * 2


async def test_the_scope_around_a_run_is_not_that_of_its_messages() -> None:
    seen: list[object] = []

    async def handler(message: Message) -> None:
        seen.append((scope.deadline(), scope.get("tenant")))

    async with FakeNsqd() as nsqd, make(nsqd.address) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        async with scope(timeout=30, tenant="acme"):
            task = asyncio.create_task(consumer.run(handler))
            await nsqd.expect(f"FIN {nsqd.message()}")
        await ended(consumer, task)
    assert seen == [(None, None)]


async def test_handlers_that_are_added_later_see_what_the_first_see() -> None:
    seen: list[str] = []
    let_go = asyncio.Event()

    async def handler(message: Message) -> None:
        seen.append(variable.get())
        await let_go.wait()

    variable.set("where it runs")
    async with FakeNsqd() as nsqd, make(nsqd.address, max_in_flight=2) as consumer:
        await nsqd.expect(*OPENING, "RDY 2")
        task = asyncio.create_task(consumer.run(handler))
        await asyncio.sleep(0)
        variable.set("where more are asked for")
        async with scope(tenant="acme"):
            consumer.set_concurrency(2)
        nsqd.message()
        nsqd.message()
        await until(lambda: len(seen) == 2)
        let_go.set()
        await nsqd.until(lambda: nsqd.verbs.count("FIN") == 2)
        await ended(consumer, task)
    assert seen == ["where it runs"] * 2


# ---- what handlers decide


@pytest.mark.parametrize(
    ("decision", "answer"),
    [
        (Retry(after=3), "REQ {} 3000"),
        (Retry(after=3, backoff=False), "REQ {} 3000"),
        (Drop("useless"), "FIN {}"),
        (DeadLetter("hopeless"), "FIN {}"),
    ],
)
async def test_a_handler_may_decide_by_raising(decision: Exception, answer: str) -> None:
    async def handler(message: Message) -> None:
        raise decision

    async with FakeNsqd() as nsqd, make(nsqd.address, backoff=None) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        task = asyncio.create_task(consumer.run(handler))
        await nsqd.expect(answer.format(nsqd.message()))
        await ended(consumer, task)


async def test_a_decision_is_not_logged_as_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(message: Message) -> None:
        raise Drop("useless")

    caplog.set_level(logging.INFO)
    async with FakeNsqd() as nsqd, make(nsqd.address) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        task = asyncio.create_task(consumer.run(handler))
        await nsqd.expect(f"FIN {nsqd.message()}")
        await ended(consumer, task)
    assert "useless" not in caplog.text


async def test_a_failure_is_logged_with_the_facts_of_its_message(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(message: Message) -> None:
        raise LookupError

    async with FakeNsqd() as nsqd, make(nsqd.address, backoff=None) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        task = asyncio.create_task(consumer.run(handler))
        message_id = nsqd.message(attempts=2)
        await nsqd.expect(f"REQ {message_id} 180000")
        await ended(consumer, task)
        record: Any = next(r for r in caplog.records if r.levelno == logging.ERROR)
        assert (record.topic, record.channel, record.node) == ("t", "c", nsqd.address)
        assert (record.message_id, record.attempts) == (message_id, 2)


async def test_a_decision_that_cannot_be_carried_out_is_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(message: Message) -> None:
        if message.body == b"bad":
            raise Retry(after=7200)

    async with FakeNsqd() as nsqd, make(nsqd.address, backoff=None) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        task = asyncio.create_task(consumer.run(handler))
        await nsqd.expect(f"REQ {nsqd.message(b'bad')} 90000")
        await nsqd.expect(f"FIN {nsqd.message(b'good')}")
        consumer.stop()
        await task
    assert "can't be answered as was decided" in caplog.text


async def test_a_function_about_backoff_that_fails_harms_nobody() -> None:
    def judge(error: BaseException) -> bool:
        raise ZeroDivisionError

    async def handler(message: Message) -> None:
        raise LookupError

    async with FakeNsqd() as nsqd, make(nsqd.address, backoff_on=(judge,)) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        task = asyncio.create_task(consumer.run(handler))
        await nsqd.expect("RDY 0", f"REQ {nsqd.message()} 90000")  # it counts as a failure
        consumer.stop()
        await task


async def test_chosen_errors_do_not_slow_the_consumer_down() -> None:
    async def handler(message: Message) -> None:
        raise LookupError if message.body == b"chosen" else OSError

    def judge(error: BaseException) -> bool:
        return not isinstance(error, LookupError)

    async with FakeNsqd() as nsqd, make(nsqd.address, backoff_on=(judge,)) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        task = asyncio.create_task(consumer.run(handler))
        await nsqd.expect(f"REQ {nsqd.message(b'chosen')} 90000")
        assert consumer.stats.backoff_level == 0
        await nsqd.expect("RDY 0", f"REQ {nsqd.message(b'other')} 90000")
        assert consumer.stats.backoff_level == 1
        consumer.stop()
        await task


# ---- limits


async def test_a_message_that_is_touched_in_time_keeps_its_handler() -> None:
    async def handler(message: Message) -> None:
        await asyncio.sleep(0.9)

    async with FakeNsqd(msg_timeout=500) as nsqd, make(nsqd.address, auto_touch=True, drain=5) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        task = asyncio.create_task(consumer.run(handler))
        message_id = nsqd.message()
        await nsqd.until(lambda: f"FIN {message_id}" in nsqd.commands)
        assert nsqd.verbs.count("TOUCH") >= 2
        assert nsqd.verbs.count("REQ") == 0
        consumer.stop()
        await task


async def test_a_handler_that_hangs_is_not_kept_for_ever_by_touching() -> None:
    async def handler(message: Message) -> None:
        await asyncio.Event().wait()

    settings: dict[str, Any] = {"auto_touch": True, "limit": 0.4}
    async with FakeNsqd(msg_timeout=400) as nsqd, make(nsqd.address, **settings) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        task = asyncio.create_task(consumer.run(handler))
        message_id = nsqd.message()
        await nsqd.until(lambda: nsqd.commands[-1] == f"REQ {message_id} 0")
        assert nsqd.verbs.count("TOUCH") >= 1
        consumer.stop()
        await task


async def test_a_handler_that_takes_too_long_fails(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[BaseException] = []

    async def handler(message: Message) -> None:
        if message.body == b"slow":
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError as e:
                seen.append(e)
                raise

    async with FakeNsqd() as nsqd, make(nsqd.address, backoff=None) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        task = asyncio.create_task(consumer.run(handler, timeout=0.02))
        await nsqd.expect(f"REQ {nsqd.message(b'slow')} 90000")
        await nsqd.expect(f"FIN {nsqd.message(b'quick')}")
        await ended(consumer, task)
    assert [str(e) for e in seen] == ["nsqclient: timeout"]
    assert "took longer than 0.02 s" in caplog.text


async def test_a_timeout_counts_as_a_failure_of_a_kind_that_can_be_told_apart() -> None:
    failures: list[BaseException | None] = []

    async def handler(message: Message) -> None:
        await asyncio.Event().wait()

    async def give_up(message: Message, error: BaseException | None) -> None:
        failures.append(error)

    async with FakeNsqd() as nsqd, make(nsqd.address, attempts=1, give_up=give_up) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        task = asyncio.create_task(consumer.run(handler, timeout=0.01))
        message_id = nsqd.message()
        await nsqd.expect("RDY 0", f"FIN {message_id}")
        await ended(consumer, task)
    assert isinstance(failures[0], HandlerTimeout)
    assert isinstance(failures[0], TimeoutError)


async def test_a_handler_whose_lease_runs_out_is_cancelled_and_its_message_comes_again_at_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cancelled: list[str] = []

    async def handler(message: Message) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as e:
            cancelled.append(str(e))
            raise

    async with FakeNsqd(msg_timeout=250) as nsqd, make(nsqd.address) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        task = asyncio.create_task(consumer.run(handler))
        message_id = nsqd.message()
        await nsqd.expect(f"REQ {message_id} 0")
        assert consumer.stats.backoff_level == 0
        await ended(consumer, task)
    assert cancelled == ["nsqclient: lease"]
    assert "ran out of nsqd's time" in caplog.text


async def test_a_handler_that_answered_has_no_lease_to_keep() -> None:
    done = asyncio.Event()

    async def handler(message: Message) -> None:
        message.finish()
        await asyncio.sleep(0.15)
        done.set()

    async with FakeNsqd(msg_timeout=250) as nsqd, make(nsqd.address, drain=5) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        task = asyncio.create_task(consumer.run(handler))
        await nsqd.expect(f"FIN {nsqd.message()}")
        async with asyncio.timeout(5):
            await done.wait()
        await ended(consumer, task)


async def test_a_cancellation_from_outside_wins_over_a_limit() -> None:
    started = asyncio.Event()

    async def handler(message: Message) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.02)

    async with FakeNsqd() as nsqd, make(nsqd.address) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        task = asyncio.create_task(consumer.run(handler, timeout=0.005))
        message_id = nsqd.message()
        await started.wait()
        await asyncio.sleep(0.01)  # the limit has passed, the handler is cleaning up
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        await nsqd.until(lambda: nsqd.verbs.count("REQ") == 1)
        assert nsqd.commands[-1].startswith(f"REQ {message_id}")


async def test_swallowing_the_cancellation_of_a_limit_is_told_and_harms_nobody_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def handler(message: Message) -> None:
        try:
            await asyncio.sleep(0.05 if message.body == b"slow" else 0)
        except asyncio.CancelledError:
            pass

    async with FakeNsqd() as nsqd, make(nsqd.address) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        task = asyncio.create_task(consumer.run(handler, timeout=0.01))
        await nsqd.expect(f"FIN {nsqd.message(b'slow')}")
        assert "swallowed its cancellation" in caplog.text
        await nsqd.expect(f"FIN {nsqd.message(b'quick')}")
        await ended(consumer, task)


@pytest.mark.parametrize("timeout", [0, -1])
async def test_a_timeout_is_positive(timeout: float) -> None:
    async def handler(message: Message) -> None: ...

    async with FakeNsqd() as nsqd, make(nsqd.address) as consumer:
        with pytest.raises(ConfigError, match="timeout"):
            await consumer.run(handler, timeout=timeout)


# ---- how many at a time


async def test_the_number_of_handlers_can_be_changed_while_they_run() -> None:
    running = 0
    let_go = asyncio.Semaphore(0)

    async def handler(message: Message) -> None:
        nonlocal running
        running += 1
        try:
            await let_go.acquire()
        finally:
            running -= 1

    async with FakeNsqd() as nsqd, make(nsqd.address, max_in_flight=20) as consumer:
        await nsqd.expect(*OPENING, "RDY 20")
        task = asyncio.create_task(consumer.run(handler, concurrency=2))
        for _ in range(20):
            nsqd.message()
        await until(lambda: running == 2)
        consumer.set_concurrency(5)
        await until(lambda: running == 5)
        consumer.set_concurrency(1)
        for _ in range(5):
            let_go.release()
        await nsqd.until(lambda: nsqd.verbs.count("FIN") == 5)
        await asyncio.sleep(0.01)
        assert running == 1, "none was cut short, and no other began"
        consumer.set_concurrency(3)
        await until(lambda: running == 3)
        for _ in range(15):
            let_go.release()
        await nsqd.until(lambda: nsqd.verbs.count("FIN") == 20)
        assert nsqd.verbs.count("REQ") == 0
        await ended(consumer, task)


async def test_idle_handlers_leave_first_and_lose_nothing() -> None:
    async def handler(message: Message) -> None: ...

    async with FakeNsqd() as nsqd, make(nsqd.address, max_in_flight=5) as consumer:
        await nsqd.expect(*OPENING, "RDY 5")
        task = asyncio.create_task(consumer.run(handler, concurrency=5))
        await asyncio.sleep(0.01)
        consumer.set_concurrency(1)
        ids = [nsqd.message() for _ in range(5)]
        await nsqd.expect(*[f"FIN {i}" for i in ids])
        with pytest.raises(ConfigError):
            consumer.set_concurrency(0)
        await ended(consumer, task)
        with pytest.raises(ConfigError, match="nothing runs"):
            consumer.set_concurrency(2)


async def test_a_thousand_handlers_run_at_a_time() -> None:
    running = most = 0
    let_go = asyncio.Event()

    async def handler(message: Message) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 1000:
            let_go.set()
        await let_go.wait()
        running -= 1

    async with FakeNsqd() as nsqd, make(nsqd.address, max_in_flight=2000) as consumer:
        await nsqd.expect(*OPENING, "RDY 2000")
        task = asyncio.create_task(consumer.run(handler, concurrency=1000))
        for _ in range(2000):
            nsqd.message()
        await nsqd.until(lambda: nsqd.verbs.count("FIN") == 2000)
        assert most == 1000
        await ended(consumer, task)


async def test_handlers_have_twice_as_many_messages_as_they_are() -> None:
    async def handler(message: Message) -> None: ...

    async with FakeNsqd() as nsqd, Consumer("t", "c", nsqd.address, drain=0) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        task = asyncio.create_task(consumer.run(handler, concurrency=8))
        await nsqd.expect("RDY 16")
        consumer.set_concurrency(3)
        await nsqd.expect("RDY 6")
        await ended(consumer, task)


async def test_a_max_in_flight_that_was_given_is_kept() -> None:
    async def handler(message: Message) -> None: ...

    async with FakeNsqd() as nsqd, make(nsqd.address, max_in_flight=3) as consumer:
        await nsqd.expect(*OPENING, "RDY 3")
        task = asyncio.create_task(consumer.run(handler, concurrency=8))
        await nsqd.expect(f"FIN {nsqd.message()}")
        await ended(consumer, task)
        assert [c for c in nsqd.commands if c.startswith("RDY")] == ["RDY 3"]


# ---- pools


async def test_a_pool_handles_several_at_a_time() -> None:
    running = most = 0

    async def handler(message: Message) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.005)
        running -= 1

    async with FakeNsqd() as nsqd, make(nsqd.address, max_in_flight=20) as consumer:
        await nsqd.expect(*OPENING, "RDY 20")
        async with consumer.parallel(4) as pool:
            task = asyncio.create_task(pool.run(handler))
            for _ in range(20):
                nsqd.message()
            await nsqd.until(lambda: nsqd.verbs.count("FIN") == 20)
            assert most == 4
            pool.set_concurrency(1)
            most = 0
            for _ in range(5):
                nsqd.message()
            await nsqd.until(lambda: nsqd.verbs.count("FIN") == 25)
            assert most == 1
            await ended(consumer, task)


async def test_leaving_a_pool_ends_what_runs_in_it() -> None:
    started = asyncio.Event()

    async def handler(message: Message) -> None:
        started.set()
        await asyncio.Event().wait()

    async with FakeNsqd() as nsqd, make(nsqd.address) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        async with consumer.parallel(4) as pool:
            task = asyncio.create_task(pool.run(handler))
            message_id = nsqd.message()
            await started.wait()
        await nsqd.expect(f"REQ {message_id} 0")
        async with asyncio.timeout(5):
            await task
        nsqd.message(b"next")
        assert (await consumer.get(timeout=5)).body == b"next"


# ---- plain functions


async def test_plain_functions_run_in_threads_and_do_not_block_the_loop() -> None:
    loops_thread = threading.current_thread()
    both = threading.Barrier(2)

    def handler(message: Message) -> None:
        assert threading.current_thread() is not loops_thread
        both.wait(5)

    async with FakeNsqd() as nsqd, make(nsqd.address, max_in_flight=2) as consumer:
        await nsqd.expect(*OPENING, "RDY 2")
        task = asyncio.create_task(consumer.run(handler, concurrency=2))
        ids = [nsqd.message(), nsqd.message()]
        await nsqd.until(lambda: nsqd.verbs.count("FIN") == 2)
        assert sorted(nsqd.commands[-2:]) == [f"FIN {i}" for i in ids]
        await ended(consumer, task)


async def test_a_plain_function_may_fail_and_may_answer_from_its_thread() -> None:
    errors: list[Exception] = []

    def handler(message: Message) -> None:
        if message.body == b"fail":
            raise LookupError
        message.touch()
        message.requeue(7, backoff=False)
        assert message.state == "requeued"
        try:
            message.finish()
        except AlreadySettled as e:
            errors.append(e)

    async with FakeNsqd() as nsqd, make(nsqd.address, backoff=None) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        task = asyncio.create_task(consumer.run(handler))
        await nsqd.expect(f"REQ {nsqd.message(b'fail')} 90000")
        message_id = nsqd.message(b"answer")
        await nsqd.expect(f"TOUCH {message_id}", f"REQ {message_id} 7000")
        await ended(consumer, task)
    assert len(errors) == 1


async def test_what_a_plain_function_sees_is_the_message() -> None:
    seen: list[tuple[object, ...]] = []

    def handler(message: Message) -> None:
        seen.append((message.id, message.body, message.attempts, message.topic, message.channel))
        seen.append((message.node, message.timestamp.year, message.state, message.given_up))
        repr(message)

    async with FakeNsqd() as nsqd, make(nsqd.address) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        task = asyncio.create_task(consumer.run(handler))
        message_id = nsqd.message(b"body", attempts=3)
        await nsqd.expect(f"FIN {message_id}")
        await ended(consumer, task)
        assert seen == [(message_id, b"body", 3, "t", "c"), (nsqd.address, 1970, "held", False)]


async def test_what_a_plain_function_returns_is_awaited_if_it_can_be() -> None:
    awaited = asyncio.Event()

    async def work() -> None:
        awaited.set()

    def handler(message: Message) -> Awaitable[None]:
        return work()

    async with FakeNsqd() as nsqd, make(nsqd.address) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        task = asyncio.create_task(consumer.run(handler))
        await nsqd.expect(f"FIN {nsqd.message()}")
        assert awaited.is_set()
        await ended(consumer, task)


async def test_a_thread_past_its_limit_is_waited_for_before_the_next_message(
    caplog: pytest.LogCaptureFixture,
) -> None:
    let_go = threading.Event()

    def handler(message: Message) -> None:
        if message.body == b"slow":
            let_go.wait(5)

    async with FakeNsqd() as nsqd, make(nsqd.address, max_in_flight=2, backoff=None) as consumer:
        await nsqd.expect(*OPENING, "RDY 2")
        task = asyncio.create_task(consumer.run(handler, timeout=0.02))
        slow, quick = nsqd.message(b"slow"), nsqd.message(b"quick")
        await nsqd.expect(f"REQ {slow} 90000")
        await asyncio.sleep(0.02)
        nsqd.nothing_more()
        let_go.set()
        await nsqd.expect(f"FIN {quick}")
        await ended(consumer, task)
    assert "took longer" in caplog.text


async def test_a_thread_that_outlasts_the_drain_is_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    started, let_go = threading.Event(), threading.Event()

    def handler(message: Message) -> None:
        started.set()
        let_go.wait(5)

    async with FakeNsqd() as nsqd:
        async with make(nsqd.address, drain=0.01) as consumer:
            await nsqd.expect(*OPENING, "RDY 1")
            task = asyncio.create_task(consumer.run(handler))
            message_id = nsqd.message()
            await asyncio.to_thread(started.wait, 5)
        await nsqd.expect("CLS", f"REQ {message_id} 0")
        async with asyncio.timeout(5):
            await task
        assert "its thread is left behind" in caplog.text
        let_go.set()


# ---- middleware


async def test_middleware_goes_around_each_handler_in_its_order() -> None:
    steps: list[str] = []

    def around(name: str) -> Any:
        async def middleware(call_next: Callable[[Message], Awaitable[object]], message: Message) -> object:
            steps.append(f"{name} before")
            try:
                return await call_next(message)
            finally:
                steps.append(f"{name} after")

        return middleware

    async def handler(message: Message) -> str:
        steps.append("handler")
        return "result"

    async with FakeNsqd() as nsqd, make(nsqd.address, around=[around("outer"), around("inner")]) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        task = asyncio.create_task(consumer.run(handler))
        await nsqd.expect(f"FIN {nsqd.message()}")
        await ended(consumer, task)
    assert steps == ["outer before", "inner before", "handler", "inner after", "outer after"]


async def test_middleware_sees_results_and_errors_and_may_decide() -> None:
    seen: list[object] = []

    async def middleware(call_next: Callable[[Message], Awaitable[object]], message: Message) -> object:
        if message.body == b"unwanted":
            raise Drop("unwanted")
        try:
            seen.append(await call_next(message))
        except LookupError as e:
            seen.append(type(e))
            raise Retry(after=5) from e
        return None

    def handler(message: Message) -> str:
        if message.body == b"bad":
            raise LookupError
        return "result"

    async with FakeNsqd() as nsqd, make(nsqd.address, around=[middleware], backoff=None) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        task = asyncio.create_task(consumer.run(handler))
        await nsqd.expect(f"FIN {nsqd.message(b'unwanted')}")
        await nsqd.expect(f"FIN {nsqd.message(b'good')}")
        await nsqd.expect(f"REQ {nsqd.message(b'bad')} 5000")
        await ended(consumer, task)
    assert seen == ["result", LookupError]


# ---- cancelled anywhere


@pytest.mark.parametrize("step", range(1, 9))
async def test_wherever_a_handler_is_cancelled_its_message_is_answered_once(step: int) -> None:
    reached = asyncio.Event()
    let_go = asyncio.Event()

    async def handler(message: Message) -> None:
        for n in range(1, 10):
            if n == step:
                reached.set()
                await let_go.wait()
            async with asyncio.timeout(5), asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(0))

    async with FakeNsqd() as nsqd, make(nsqd.address) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        task = asyncio.create_task(consumer.run(handler))
        message_id = nsqd.message()
        await reached.wait()
        task.cancel()
        await asyncio.wait([task])
        await nsqd.expect(f"REQ {message_id} 0")
        nsqd.nothing_more()
        assert len(asyncio.all_tasks() - {asyncio.current_task()}) <= 8, "those of nsqd and consumer"


@pytest.mark.parametrize("turns", range(12))
async def test_a_run_cancelled_at_any_moment_loses_no_message(turns: int) -> None:
    async def handler(message: Message) -> None:
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async with FakeNsqd() as nsqd, make(nsqd.address, max_in_flight=4) as consumer:
        await nsqd.expect(*OPENING, "RDY 4")
        task = asyncio.create_task(consumer.run(handler, concurrency=2))
        ids = [nsqd.message() for _ in range(4)]
        await until(lambda: consumer.stats.received == 4)
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        while consumer.stats.buffered:
            (await consumer.get()).finish()
        await nsqd.until(lambda: nsqd.verbs.count("FIN") + nsqd.verbs.count("REQ") == 4)
        answers = [c.split()[1] for c in nsqd.commands if c.split()[0] in ("FIN", "REQ")]
        assert sorted(answers) == ids
        assert consumer.stats.in_flight == 0


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_what_is_to_end_the_process_does_so_and_the_message_goes_back(error: type[BaseException]) -> None:
    states: list[str] = []
    seen: list[Message] = []

    async def handler(message: Message) -> None:
        seen.append(message)
        raise error

    async def main() -> None:
        async with FakeNsqd() as nsqd, make(nsqd.address) as consumer:
            await nsqd.expect(*OPENING, "RDY 1")
            nsqd.message()
            try:
                await consumer.run(handler)
            finally:
                states.append(seen[0].state)

    with pytest.raises(error):
        asyncio.run(main())
    assert states == ["requeued"]


# ---- handlers that do the unexpected


async def test_a_handler_that_answers_early_may_go_on_while_the_consumer_ends() -> None:
    done: list[str] = []
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def handler(message: Message) -> None:
        message.finish()
        begun.set()
        await go_on.wait()
        done.append(message.id)

    async with FakeNsqd() as nsqd, make(nsqd.address, drain=60) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        running = asyncio.create_task(consumer.run(handler))
        message_id = nsqd.message()
        await begun.wait()
        closing = asyncio.create_task(consumer.close())
        await nsqd.expect(f"FIN {message_id}", "CLS")
        nsqd.link.heartbeat()
        await nsqd.until(lambda: nsqd.link.nops == 1)
        assert not closing.done()
        go_on.set()
        await running
        await closing
    assert done == [message_id]


@pytest.mark.parametrize("concurrency", [1, 2])
async def test_a_handler_whose_task_is_cancelled_by_others_is_no_end_of_handling(concurrency: int) -> None:
    begun: list[asyncio.Task[Any]] = []

    async def handler(message: Message) -> None:
        if message.body == b"cancelled":
            task = asyncio.current_task()
            assert task is not None
            begun.append(task)
            await asyncio.sleep(60)

    async with FakeNsqd() as nsqd, make(nsqd.address, max_in_flight=2) as consumer:
        await nsqd.expect(*OPENING, "RDY 2")
        running = asyncio.create_task(consumer.run(handler, concurrency=concurrency))
        for count in range(1, 4):
            message_id = nsqd.message(b"cancelled")
            await until(lambda: len(begun) == count)  # noqa: B023 - awaited in the same turn
            begun[-1].cancel()
            await nsqd.expect(f"REQ {message_id} 0")
        await nsqd.expect(f"FIN {nsqd.message(b'good')}")
        assert not running.done()
        await ended(consumer, running)


async def test_a_plain_function_may_return_a_coroutine_that_answers_in_the_loop() -> None:
    async def work(message: Message) -> None:
        async with message, message.keep_alive():
            assert message.time_left() > 0
            message.touch()

    async with FakeNsqd(msg_timeout=400) as nsqd, make(nsqd.address) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        running = asyncio.create_task(consumer.run(lambda message: work(message)))
        message_id = nsqd.message()
        await nsqd.expect(f"TOUCH {message_id}", f"FIN {message_id}")
        await ended(consumer, running)


async def test_a_message_is_kept_alive_for_a_coroutine_of_a_plain_function() -> None:
    async def work(message: Message) -> None:
        async with message.keep_alive():
            await touched.wait()

    touched = asyncio.Event()
    async with FakeNsqd(msg_timeout=400) as nsqd, make(nsqd.address) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        running = asyncio.create_task(consumer.run(lambda message: work(message)))
        message_id = nsqd.message()
        await nsqd.expect(f"TOUCH {message_id}")
        touched.set()
        await nsqd.until(lambda: nsqd.commands[-1] == f"FIN {message_id}")
        await ended(consumer, running)


async def test_a_block_that_contains_errors_contains_impossible_decisions(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with FakeNsqd() as nsqd, make(nsqd.address, backoff=None) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        message_id = nsqd.message()
        async with (await consumer.get(timeout=5)).contain():
            raise Retry(after=10**9)
        await nsqd.expect(f"REQ {message_id} 90000")
    assert "can't be answered as was decided" in caplog.text


async def test_a_function_that_gives_up_and_can_not_be_cancelled_is_not_waited_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(giveup_module, "CANCEL_TIMEOUT", 0.01)
    go_on, cancelled = asyncio.Event(), asyncio.Event()

    async def hook(message: Message, error: BaseException | None) -> None:
        while not go_on.is_set():
            try:
                await go_on.wait()
            except asyncio.CancelledError:
                cancelled.set()

    async with FakeNsqd() as nsqd:
        async with asyncio.timeout(5), make(nsqd.address, attempts=1, give_up=hook) as consumer:
            await nsqd.expect(*OPENING, "RDY 1")
            message_id = nsqd.message(attempts=1)
            (await consumer.get(timeout=5)).requeue()
        await nsqd.expect("CLS", f"REQ {message_id} 0")
        assert cancelled.is_set()
        go_on.set()
        await asyncio.sleep(0)


@pytest.mark.parametrize("count", [0, -1, 1.5])
async def test_numbers_of_handlers_are_whole_and_positive(count: Any) -> None:
    async with FakeNsqd() as nsqd, make(nsqd.address) as consumer:
        with pytest.raises(ConfigError, match="concurrency is"):
            await consumer.run(print, concurrency=count)
        with pytest.raises(ConfigError, match="concurrency is"):
            consumer.parallel(count)
        with pytest.raises(ConfigError, match="nothing runs"):
            consumer.set_concurrency(count)
        if count:
            with pytest.raises(ConfigError, match="max_in_flight is"):
                consumer.set_max_in_flight(count)
