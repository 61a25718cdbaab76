from __future__ import annotations

import asyncio

import pytest

from nsqclient import ConfigError, Message
from nsqclient.consumer import workers as workers_module
from tests.nsqclient.consumers import OPENING, make
from tests.support.fake_nsqd import FakeNsqd


async def test_messages_are_handled_concurrently_up_to_the_number_given() -> None:
    running = most = 0
    all_running = asyncio.Event()
    let_go = asyncio.Event()

    async def handler(message: Message) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 3:
            all_running.set()
        await let_go.wait()
        running -= 1

    async with FakeNsqd() as nsqd, make(nsqd.address, max_in_flight=10, drain=5) as consumer:
        await nsqd.expect(*OPENING, "RDY 10")
        ids = [nsqd.message() for _ in range(6)]
        task = asyncio.create_task(consumer.run(handler, concurrency=3))
        async with asyncio.timeout(5):
            await all_running.wait()
        let_go.set()
        await nsqd.until(lambda: nsqd.verbs.count("FIN") == 6)
        assert sorted(nsqd.commands[-6:]) == [f"FIN {i}" for i in ids]
        assert most == 3
        consumer.stop()
        await task


async def test_a_handler_that_raises_harms_its_message_alone(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(message: Message) -> None:
        if message.body == b"bad":
            raise LookupError("cannot do that")

    async with FakeNsqd() as nsqd, make(nsqd.address, max_in_flight=5, backoff=None) as consumer:
        await nsqd.expect(*OPENING, "RDY 5")
        task = asyncio.create_task(consumer.run(handler))
        bad, good = nsqd.message(b"bad"), nsqd.message(b"good")
        await nsqd.expect(f"REQ {bad} 90000", f"FIN {good}")
        consumer.stop()
        await task
    assert "cannot do that" in caplog.text
    assert f"handling message {bad} of topic t failed" in caplog.text


async def test_a_handler_may_answer_by_itself() -> None:
    async def handler(message: Message) -> None:
        message.requeue(7, backoff=False)

    async with FakeNsqd() as nsqd, make(nsqd.address) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        task = asyncio.create_task(consumer.run(handler))
        await nsqd.expect(f"REQ {nsqd.message()} 7000")
        consumer.stop()
        await task


async def test_awaiting_something_cancelled_is_a_failure_of_the_handler(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def handler(message: Message) -> None:
        if message.body == b"bad":
            gone = asyncio.get_running_loop().create_future()
            gone.cancel()
            await gone

    async with FakeNsqd() as nsqd, make(nsqd.address, max_in_flight=5, backoff=None) as consumer:
        await nsqd.expect(*OPENING, "RDY 5")
        task = asyncio.create_task(consumer.run(handler))
        bad, good = nsqd.message(b"bad"), nsqd.message(b"good")
        await nsqd.expect(f"REQ {bad} 90000", f"FIN {good}")
        consumer.stop()
        await task
    assert "awaited something that was cancelled" in caplog.text


async def test_cancelling_a_run_hands_its_messages_back_and_leaves_the_consumer_usable() -> None:
    started = asyncio.Event()

    async def handler(message: Message) -> None:
        started.set()
        await asyncio.Event().wait()

    async with FakeNsqd() as nsqd, make(nsqd.address) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        task = asyncio.create_task(consumer.run(handler))
        message_id = nsqd.message()
        await started.wait()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        await nsqd.expect(f"REQ {message_id} 0")
        assert consumer.stats.backoff_level == 0
        nsqd.message(b"next")
        assert (await consumer.get(timeout=5)).body == b"next"


async def test_a_handler_that_swallows_its_cancellation_is_told_on(caplog: pytest.LogCaptureFixture) -> None:
    started = asyncio.Event()

    async def handler(message: Message) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            pass

    async with FakeNsqd() as nsqd, make(nsqd.address) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        task = asyncio.create_task(consumer.run(handler))
        message_id = nsqd.message()
        await started.wait()
        task.cancel()
        await asyncio.wait([task])
        await nsqd.expect(f"FIN {message_id}")
    assert f"handler of message {message_id} of topic t swallowed its cancellation" in caplog.text


async def test_a_handler_that_does_not_end_is_left_behind(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(workers_module, "CANCEL_TIMEOUT", 0.02)
    started, let_go = asyncio.Event(), asyncio.Event()

    async def handler(message: Message) -> None:
        started.set()
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                pass

    async with FakeNsqd() as nsqd:
        async with make(nsqd.address) as consumer:
            await nsqd.expect(*OPENING, "RDY 1")
            task = asyncio.create_task(consumer.run(handler))
            message_id = nsqd.message()
            await started.wait()
        await nsqd.expect("CLS", f"REQ {message_id} 0")
        let_go.set()
        await asyncio.wait([task])
    assert "does not end although it was cancelled" in caplog.text


async def test_a_failing_handler_backs_the_consumer_off() -> None:
    async def handler(message: Message) -> None:
        raise LookupError

    async with FakeNsqd() as nsqd, make(nsqd.address) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        task = asyncio.create_task(consumer.run(handler))
        message_id = nsqd.message()
        await nsqd.expect("RDY 0", f"REQ {message_id} 90000")
        assert consumer.stats.backoff_level == 1
        consumer.stop()
        await task


async def test_the_number_of_handlers_is_positive() -> None:
    async def handler(message: Message) -> None:
        raise AssertionError

    async with FakeNsqd() as nsqd, make(nsqd.address) as consumer:
        with pytest.raises(ConfigError):
            await consumer.run(handler, concurrency=0)
