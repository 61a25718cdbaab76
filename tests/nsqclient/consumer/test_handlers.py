"""What surrounds a handler: its context, what it decides, middleware."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import pytest

from nsqclient import (
    DeadLetter,
    Drop,
    Message,
    Retry,
    scope,
)
from tests.nsqclient.consumers import OPENING, ended, make
from tests.nsqclient.producers import until
from tests.support.fake_nsqd import FakeNsqd

variable: ContextVar[str] = ContextVar("variable", default="nothing")


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
