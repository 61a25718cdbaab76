"""The end of a consumer: in order, bounded, and nothing kept from others."""

from __future__ import annotations

import asyncio
import logging

import pytest

from nsqclient import Closed, Message
from nsqclient.consumer import reception as reception_module
from tests.nsqclient.consumers import OPENING, QUICK, make
from tests.support.fake_nsqd import FakeNsqd, Link, silence


async def test_deliveries_stop_first_and_what_was_not_started_goes_back_at_once() -> None:
    async with FakeNsqd() as nsqd:
        async with make(nsqd.address, max_in_flight=5) as consumer:
            await nsqd.expect(*OPENING, "RDY 5")
            ids = [nsqd.message() for _ in range(3)]
            (await consumer.get(timeout=5)).finish()
            await nsqd.expect(f"FIN {ids[0]}")
            nsqd.link.heartbeat()
            await nsqd.until(lambda: nsqd.link.nops == 1)  # all three have arrived
        await nsqd.expect("CLS", f"REQ {ids[1]} 0", f"REQ {ids[2]} 0")
        nsqd.nothing_more()
        assert nsqd.links[0].gone.is_set()
        assert consumer.stats.in_flight == 0


async def test_messages_on_their_way_when_it_stops_go_back_too() -> None:
    async with FakeNsqd() as nsqd:

        def late(link: Link) -> None:
            link.message(b"late", message_id="f" * 16)
            link.send(0, b"CLOSE_WAIT")

        nsqd.script("CLS", late)
        async with make(nsqd.address, max_in_flight=5, drain=0):
            await nsqd.expect(*OPENING, "RDY 5")
        await nsqd.expect("CLS", f"REQ {'f' * 16} 0")


async def test_messages_under_way_are_waited_for_and_heartbeats_answered() -> None:
    let_go = asyncio.Event()

    async def work(message: Message) -> None:
        async with message:
            await let_go.wait()

    async with FakeNsqd() as nsqd:
        async with make(nsqd.address, drain=5) as consumer:
            await nsqd.expect(*OPENING, "RDY 1")
            message_id = nsqd.message()
            working = asyncio.create_task(work(await consumer.get(timeout=5)))
            closing = asyncio.create_task(consumer.close())
            await nsqd.expect("CLS")
            nsqd.link.heartbeat()
            await nsqd.until(lambda: nsqd.link.nops == 1)
            assert not closing.done()
            let_go.set()
            await working
            await closing
        await nsqd.expect(f"FIN {message_id}")


async def test_handlers_that_take_too_long_are_cancelled_and_their_messages_go_back() -> None:
    started = asyncio.Event()
    ended: list[str] = []

    async def handler(message: Message) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(message.state)

    async with FakeNsqd() as nsqd:
        async with make(nsqd.address, drain=0.05) as consumer:
            await nsqd.expect(*OPENING, "RDY 1")
            task = asyncio.create_task(consumer.run(handler))
            message_id = nsqd.message()
            await started.wait()
        await task
        await nsqd.expect("CLS", f"REQ {message_id} 0")
        assert ended == ["held"]
        assert consumer.stats.backoff_level == 0


async def test_what_nobody_answers_goes_back_in_the_end() -> None:
    async with FakeNsqd() as nsqd:
        async with make(nsqd.address, drain=0.05) as consumer:
            await nsqd.expect(*OPENING, "RDY 1")
            message_id = nsqd.message()
            message = await consumer.get(timeout=5)
        await nsqd.expect("CLS", f"REQ {message_id} 0")
        assert message.state == "requeued"


async def test_stopping_ends_the_iteration_and_waiting_calls() -> None:
    async with FakeNsqd() as nsqd, make(nsqd.address) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")

        async def iterate() -> int:
            seen = 0
            async for message in consumer:
                message.finish()
                seen += 1
            return seen

        iterating = asyncio.create_task(iterate())
        message_id = nsqd.message()
        await nsqd.expect(f"FIN {message_id}")
        getting = asyncio.create_task(consumer.get())
        await asyncio.sleep(0)
        consumer.stop()
        consumer.stop()
        assert await iterating == 1
        with pytest.raises(Closed):
            await getting
        await nsqd.expect("CLS")


async def test_after_the_end_iterating_ends_and_get_is_refused() -> None:
    async with FakeNsqd() as nsqd:
        async with make(nsqd.address) as consumer:
            pass
        assert [message async for message in consumer] == []
        with pytest.raises(Closed, match="consumer is closed"):
            await consumer.get()
        with pytest.raises(Closed):
            await consumer.run(lambda message: asyncio.sleep(0))
        consumer.stop()
        await consumer.close()


async def test_a_nsqd_that_does_not_confirm_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reception_module, "CLOSE_WAIT_TIMEOUT", 0.05)
    async with FakeNsqd() as nsqd:
        nsqd.always("CLS", silence)
        async with asyncio.timeout(5), make(nsqd.address, drain=60):
            await nsqd.expect(*OPENING, "RDY 1")
        await nsqd.expect("CLS")


async def test_a_nsqd_that_is_gone_is_not_waited_for() -> None:
    async with FakeNsqd() as nsqd, asyncio.timeout(5), make(nsqd.address, drain=60) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        nsqd.message()
        await consumer.get(timeout=5)
        await nsqd.stop()


async def test_a_connection_lost_while_it_drains_is_not_made_again() -> None:
    async with FakeNsqd() as nsqd:
        async with make(nsqd.address, drain=60, reconnect=QUICK) as consumer:
            await nsqd.expect(*OPENING, "RDY 1")
            nsqd.message()
            message = await consumer.get(timeout=5)
            closing = asyncio.create_task(consumer.close())
            await nsqd.expect("CLS")
            nsqd.link.drop()
            async with asyncio.timeout(5):
                await closing
            assert message.state == "lost"
        nsqd.nothing_more()


async def test_leaving_by_an_exception_drains_for_a_shorter_time() -> None:
    async with FakeNsqd() as nsqd:

        async def work() -> None:
            async with make(nsqd.address, drain=60, drain_on_error=0.01) as consumer:
                nsqd.message()
                await consumer.get(timeout=5)
                raise LookupError

        async with asyncio.timeout(5):
            with pytest.raises(LookupError):
                await work()
        assert nsqd.verbs[-2:] == ["CLS", "REQ"]


async def test_leaving_by_cancellation_cleans_up_and_is_cancelled() -> None:
    async with FakeNsqd() as nsqd:
        ready = asyncio.Event()

        async def work() -> None:
            async with make(nsqd.address, drain=60, drain_on_error=0.01) as consumer:
                async for message in consumer:
                    async with message:
                        ready.set()
                        await asyncio.Event().wait()

        task = asyncio.create_task(work())
        await nsqd.expect(*OPENING, "RDY 1")
        message_id = nsqd.message()
        await ready.wait()
        task.cancel()
        async with asyncio.timeout(5):
            await asyncio.wait([task])
        assert task.cancelled()
        await nsqd.expect(f"REQ {message_id} 0", "CLS")


async def test_a_second_cancellation_cuts_the_drain_short() -> None:
    async with FakeNsqd() as nsqd:
        started = asyncio.Event()

        async def handler(message: Message) -> None:
            started.set()
            await asyncio.Event().wait()

        async def work() -> None:
            async with make(nsqd.address, drain=60) as consumer:
                running = asyncio.create_task(consumer.run(handler))
                await started.wait()
            await running

        task = asyncio.create_task(work())
        await nsqd.expect(*OPENING, "RDY 1")
        message_id = nsqd.message()
        await nsqd.expect("CLS")
        task.cancel()
        async with asyncio.timeout(5):
            await asyncio.wait([task])
        assert task.cancelled()
        await nsqd.expect(f"REQ {message_id} 0")


async def test_an_orderly_end_is_no_news(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="nsqclient")
    async with FakeNsqd() as nsqd, make(nsqd.address):
        await nsqd.expect(*OPENING, "RDY 1")
    assert "lost" not in caplog.text


async def test_the_hook_of_a_message_given_up_is_cancelled_with_the_handlers() -> None:
    started = asyncio.Event()

    async def hook(message: Message, error: BaseException | None) -> None:
        started.set()
        await asyncio.Event().wait()

    async with FakeNsqd() as nsqd:
        async with make(nsqd.address, attempts=1, give_up=hook, backoff=None) as consumer:
            await nsqd.expect(*OPENING, "RDY 1")
            message_id = nsqd.message()
            (await consumer.get(timeout=5)).requeue()
            await started.wait()
        await nsqd.expect("CLS", f"REQ {message_id} 0")
