"""Handlers that are plain functions: they run in threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable

import pytest

from nsqclient import (
    AlreadySettled,
    Message,
)
from tests.nsqclient.consumers import OPENING, ended, make
from tests.support.fake_nsqd import FakeNsqd


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
