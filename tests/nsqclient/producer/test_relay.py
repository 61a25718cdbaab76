"""Middleware around publishes."""

from __future__ import annotations

import asyncio
import logging

import pytest

from nsqclient import Backlogged, Batch, Closed, Producer, PublishRejected, Receipt
from nsqclient.content.outgoing import Outgoing
from nsqclient.producer.relay import Send
from tests.nsqclient.producers import QUICK, until
from tests.support.cancellation import at_each_wait
from tests.support.fake_nsqd import FakeNsqd, refuse, silence


async def shout(call_next: Send, outgoing: Outgoing) -> Receipt:
    assert isinstance(outgoing.value, bytes)
    outgoing.value = outgoing.value.upper()
    return await call_next(outgoing)


async def bracket(call_next: Send, outgoing: Outgoing) -> Receipt:
    assert isinstance(outgoing.value, bytes)
    outgoing.value = b"(" + outgoing.value + b")"
    return await call_next(outgoing)


async def test_the_first_is_outermost_and_may_change_everything() -> None:
    async def elsewhere(call_next: Send, outgoing: Outgoing) -> Receipt:
        outgoing.topic = "u"
        outgoing.headers["a"] = "b"
        assert outgoing.carries_headers
        return await call_next(outgoing)

    async with FakeNsqd() as nsqd:
        async with Producer(nsqd.address, around=[shout, bracket]) as producer:
            await producer.publish("t", b"x")
            await (await producer.submit("t", b"y"))
            await producer.submit_nowait("t", b"z")
        async with Producer(nsqd.address, headers="auto", around=[elsewhere]) as producer:
            receipt = await producer.publish("t", b"x")
        assert nsqd.commands[1:4] == ["PUB t (X)", "PUB t (Y)", "PUB t (Z)"]
        assert receipt.topic == "u"


async def test_several_at_once_pass_as_one_with_their_count() -> None:
    seen: list[tuple[object, int]] = []

    async def look(call_next: Send, outgoing: Outgoing) -> Receipt:
        seen.append((outgoing.value, outgoing.count))
        return await call_next(outgoing)

    async with FakeNsqd() as nsqd, Producer(nsqd.address, around=[look]) as producer:
        await producer.publish_many("t", iter([b"1", b"2"]))
        assert seen == [([b"1", b"2"], 2)]


async def test_errors_come_out_through_it() -> None:
    async def rename(call_next: Send, outgoing: Outgoing) -> Receipt:
        try:
            return await call_next(outgoing)
        except PublishRejected as e:
            raise LookupError("renamed") from e

    async with FakeNsqd() as nsqd:
        nsqd.always("PUB", refuse("E_BAD_TOPIC PUB no"))
        async with Producer(nsqd.address, around=[rename], retry=QUICK) as producer:
            with pytest.raises(LookupError):
                await producer.publish("t", b"x")
            delivery = await producer.submit("t", b"x", note="n")
            report = await anext(producer.reports())
            assert report.note == "n"
            assert "renamed" in str(report.error)
            assert isinstance(report.error.__cause__, LookupError)  # type: ignore[union-attr]
            with pytest.raises(LookupError):
                await delivery
        assert [report async for report in producer.reports()] == []


async def test_what_fails_before_it_is_taken_is_raised_and_not_reported() -> None:
    async def broken(call_next: Send, outgoing: Outgoing) -> Receipt:
        raise LookupError("before")

    async with FakeNsqd() as nsqd:
        async with Producer(nsqd.address, around=[broken]) as producer:
            with pytest.raises(LookupError):
                await producer.submit("t", b"x")
            producer.submit_nowait("t", b"x", note="n")
            assert (await anext(producer.reports())).note == "n"
        assert [report async for report in producer.reports()] == []


async def test_room_is_limited_with_it_too() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address, around=[shout], max_pending=1) as producer:
        nsqd.script("PUB", silence)
        delivery = producer.submit_nowait("t", b"x")
        with pytest.raises(Backlogged):
            producer.submit_nowait("t", b"y")
        with pytest.raises(Backlogged):
            await producer.submit("t", b"y", timeout=0.03)
        await nsqd.expect("IDENTIFY", "PUB t X")
        nsqd.link.ok()
        await delivery


async def test_closing_lets_it_end_first() -> None:
    async def slow(call_next: Send, outgoing: Outgoing) -> Receipt:
        await asyncio.sleep(0.02)
        return await call_next(outgoing)

    async with FakeNsqd() as nsqd:
        async with Producer(nsqd.address, around=[slow]) as producer:
            delivery = producer.submit_nowait("t", b"x")
        assert (await delivery).nodes == (nsqd.address,)
        with pytest.raises(Closed):
            await producer.publish("t", b"x")


async def test_closing_cancels_what_hangs_in_it_and_reports_it(caplog: pytest.LogCaptureFixture) -> None:
    async def hang(call_next: Send, outgoing: Outgoing) -> Receipt:
        await asyncio.Event().wait()
        return await call_next(outgoing)

    async with FakeNsqd() as nsqd:
        before = asyncio.all_tasks()
        async with Producer(nsqd.address, around=[hang], close_timeout=0.03) as producer:
            producer.submit_nowait("t", b"x", note="n")
        assert [report.note async for report in producer.reports()] == ["n"]
        await until(lambda: asyncio.all_tasks() <= before | nsqd_tasks(before))
    assert [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING] == [
        "a producer was closed; 1 messages that nobody waited for have failed or may have"
    ]


def nsqd_tasks(before: set[asyncio.Task[object]]) -> set[asyncio.Task[object]]:
    """Those of the scripted server."""
    return {task for task in asyncio.all_tasks() - before if "nsqclient" not in task.get_name()}


async def test_a_submit_cancelled_at_any_wait_leaves_nothing_behind() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address, around=[shout], max_pending=10) as producer:
        async for cut in at_each_wait(lambda: producer.submit("t", b"x")):
            assert cut.cancelled == cut.reached
            await producer.flush()
            await until(lambda: not producer._relays._running)
        assert producer.stats.pending == 0


async def test_a_flush_waits_for_it_too() -> None:
    async def slow(call_next: Send, outgoing: Outgoing) -> Receipt:
        await asyncio.sleep(0.01)
        return await call_next(outgoing)

    async with FakeNsqd() as nsqd, Producer(nsqd.address, around=[slow], reports="all") as producer:
        deliveries = [producer.submit_nowait("t", b"%d" % n) for n in range(3)]
        await producer.flush()
        assert all(delivery.done for delivery in deliveries)
        hanging = asyncio.Event()

        async def hang(call_next: Send, outgoing: Outgoing) -> Receipt:
            await hanging.wait()
            return await call_next(outgoing)

    async with FakeNsqd() as nsqd, Producer(nsqd.address, around=[hang]) as producer:
        producer.submit_nowait("t", b"x")
        with pytest.raises(TimeoutError):
            await producer.flush(0.01)
        hanging.set()
        await producer.flush()


async def test_a_batch_behind_it_does_not_linger_at_the_end() -> None:
    async with FakeNsqd() as nsqd:
        async with Producer(
            nsqd.address, around=[shout], batch=Batch(linger=60), close_timeout=2
        ) as producer:
            delivery = producer.submit_nowait("t", b"x")
            other = producer.submit_nowait("t", b"y")
            async with asyncio.timeout(1):
                await producer.flush()
            assert delivery.done
            assert other.done
            last = producer.submit_nowait("t", b"z")
        assert (await last).count == 1
