"""Handlers that are cancelled anywhere, and those that do the unexpected."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from nsqclient import (
    ConfigError,
    Message,
    Retry,
)
from nsqclient.consumer import giveup as giveup_module
from tests.nsqclient.consumers import OPENING, ended, make
from tests.nsqclient.producers import until
from tests.support.fake_nsqd import FakeNsqd

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
