"""Limits of a handler: its time, its lease, and what goes on beyond them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from nsqclient import (
    ConfigError,
    HandlerTimeout,
    Message,
)
from tests.nsqclient.consumers import OPENING, ended, make
from tests.support.fake_nsqd import FakeNsqd


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
