"""Messages that are given to a producer, and need not be waited for."""

from __future__ import annotations

import asyncio
import logging

import pytest

from nsqclient import (
    Backlogged,
    Closed,
    EmptyMessage,
    MessageTooLarge,
    Outgoing,
    Producer,
    PublishNotSent,
    PublishRejected,
    PublishTimeout,
    Receipt,
    Report,
)
from nsqclient.producer.counts import ClosedSummary
from nsqclient.producer.relay import Send
from tests.nsqclient.producers import QUICK, start, until
from tests.support.fake_nsqd import FakeNsqd, drop, refuse, silence


async def test_submitting_waits_for_nothing_and_the_delivery_may_be_awaited() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address) as producer:
        nsqd.script("PUB", silence)
        delivery = await producer.submit("t", b"x", note="mine")
        before = delivery.done
        assert not before
        assert (delivery.topic, delivery.note) == ("t", "mine")
        await nsqd.expect("IDENTIFY", "PUB t x")
        nsqd.link.ok()
        receipt = await delivery
        assert receipt.nodes == (nsqd.address,)
        assert delivery.done
        assert await delivery == receipt


async def test_a_delivery_may_be_awaited_by_several_and_a_cancelled_one_harms_nothing() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address) as producer:
        nsqd.script("PUB", silence)
        delivery = await producer.submit("t", b"x")

        async def wait() -> float:
            return (await delivery).acked_at

        first, second = asyncio.create_task(wait()), asyncio.create_task(wait())
        await nsqd.expect("IDENTIFY", "PUB t x")
        first.cancel()
        await asyncio.wait([first])
        nsqd.link.ok()
        assert await second > 0


async def test_submits_of_one_turn_leave_in_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address) as producer:
        await until(lambda: producer.stats.connections == 1)
        assert producer._dispatch is not None
        (outlet,) = producer._dispatch._outlets()
        writes = 0
        assert outlet.connection is not None
        send = outlet.connection.send_now

        def counted(data: bytes) -> None:
            nonlocal writes
            writes += 1
            send(data)

        monkeypatch.setattr(outlet.connection, "send_now", counted)
        for n in range(100):
            producer.submit_nowait("t", b"%d" % n)
        tasks = len(asyncio.all_tasks())
        await producer.flush()
        assert writes == 1
        assert len(asyncio.all_tasks()) == tasks
        await nsqd.expect("IDENTIFY", *[f"PUB t {n}" for n in range(100)])


async def test_a_full_producer_refuses_at_once_or_makes_wait() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address, max_pending=2) as producer:
        nsqd.always("PUB", silence)
        await producer.submit("t", b"1")
        producer.submit_nowait("t", b"2")
        with pytest.raises(Backlogged, match="max_pending is 2"):
            producer.submit_nowait("t", b"3")
        with pytest.raises(Backlogged, match="2 publishes"):
            await producer.submit("t", b"3", timeout=0.03)
        third = asyncio.create_task(producer.submit("t", b"3"))
        await nsqd.expect("IDENTIFY", "PUB t 1", "PUB t 2")
        nsqd.link.ok()
        await third
        await nsqd.expect("PUB t 3")
        nsqd.link.ok()
        nsqd.link.ok()
        await producer.flush()


async def test_a_submit_cancelled_while_it_waits_was_not_taken() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address, max_pending=1) as producer:
        nsqd.script("PUB", silence)
        await producer.submit("t", b"1")
        task = asyncio.create_task(producer.submit("t", b"2"))
        await nsqd.expect("IDENTIFY", "PUB t 1")
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert caught.value.__notes__ == ["the publish was not sent (outcome: not_sent)"]
        nsqd.link.ok()
        await producer.flush()
        nsqd.nothing_more()


async def test_what_fails_is_reported_once_with_its_note() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address, retry=QUICK) as producer:
        nsqd.script("PUB", refuse("E_BAD_TOPIC PUB no"))
        delivery = await producer.submit("t", b"x", note=7)
        report = await anext(producer.reports())
        assert (report.topic, report.note, report.receipt) == ("t", 7, None)
        assert isinstance(report.error, PublishRejected)
        with pytest.raises(PublishRejected):
            await delivery
        await producer.publish("t", b"fine")
    assert [report async for report in producer.reports()] == []


async def test_a_publish_that_fails_tells_its_caller_and_nobody_else() -> None:
    async with FakeNsqd() as nsqd:
        nsqd.script("PUB", refuse("E_BAD_TOPIC PUB no"))
        async with Producer(nsqd.address, reports="all", retry=QUICK) as producer:
            with pytest.raises(PublishRejected):
                await producer.publish("t", b"x")
        assert [report async for report in producer.reports()] == []


async def test_successes_are_reported_when_asked_for() -> None:
    async with FakeNsqd() as nsqd:
        async with Producer(nsqd.address, reports="all", retry=QUICK) as producer:
            nsqd.script("PUB", refuse("E_BAD_TOPIC PUB no"))
            for n in range(3):
                await producer.submit("t", b"%d" % n, note=n)
            await producer.flush()
        notes = [report.note async for report in producer.errors()]
        assert notes == [0]
        good = [report async for report in producer.successes()]
        assert [report.note for report in good] == [1, 2]
        assert good[0].receipt is not None
        assert good[0].receipt.nodes == (nsqd.address,)


async def test_no_reports_are_kept_when_none_are_wanted() -> None:
    async with FakeNsqd() as nsqd:
        nsqd.script("PUB", refuse("E_BAD_TOPIC PUB no"))
        async with Producer(nsqd.address, reports="none", retry=QUICK) as producer:
            await producer.submit("t", b"x")
            await producer.flush()
        assert [report async for report in producer.reports()] == []
        assert producer.closed_summary == ClosedSummary(delivered=0, failed=1, unknown=0)


@pytest.mark.parametrize("fate", ["stored", "lost"])
async def test_a_publish_cancelled_after_the_write_is_reported_as_abandoned(fate: str) -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address, retry=QUICK) as producer:
        nsqd.script("PUB", silence)
        (task,) = start(producer, b"x")
        await nsqd.expect("IDENTIFY", "PUB t x")
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert "may be stored" in caught.value.__notes__[0]
        if fate == "stored":
            nsqd.link.ok()
        else:
            nsqd.link.drop()
        report = await anext(producer.reports())
        assert report.abandoned
        assert (report.error is None) == (fate == "stored")
        assert (report.receipt is None) == (fate == "lost")


async def test_what_was_abandoned_is_not_sent_again_but_reported() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address, retry=QUICK) as producer:
        nsqd.script("PUB", silence, silence)
        bad, abandoned = start(producer, b"bad", b"abandoned")
        await nsqd.expect("IDENTIFY", "PUB t bad", "PUB t abandoned")
        abandoned.cancel()
        await asyncio.wait([abandoned])
        nsqd.link.error("E_BAD_TOPIC PUB no")
        with pytest.raises(PublishRejected):
            await bad
        report = await anext(producer.reports())
        assert report.abandoned
        assert isinstance(report.error, PublishNotSent)
        await producer.publish("t", b"next")
        await nsqd.expect("IDENTIFY", "PUB t next")


async def test_closing_reports_what_is_left_and_warns_once(caplog: pytest.LogCaptureFixture) -> None:
    async with FakeNsqd() as nsqd:
        nsqd.always("PUB", silence)
        async with Producer(nsqd.address, close_timeout=0.05) as producer:
            for n in range(5):
                await producer.submit("t", b"%d" % n, note=n)
            await nsqd.expect("IDENTIFY", *[f"PUB t {n}" for n in range(5)])
            before = producer.closed_summary
            assert before is None
        reports = [report async for report in producer.reports()]
        assert sorted(str(report.note) for report in reports) == ["0", "1", "2", "3", "4"]
        assert producer.closed_summary == ClosedSummary(delivered=0, failed=0, unknown=5)
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert [record.getMessage() for record in warnings] == [
        "a producer was closed; 5 messages that nobody waited for have failed or may have"
    ]


async def test_nothing_is_warned_of_when_all_went_well(caplog: pytest.LogCaptureFixture) -> None:
    async with FakeNsqd() as nsqd:
        async with Producer(nsqd.address) as producer:
            await producer.submit("t", b"x")
        assert producer.closed_summary == ClosedSummary(1, 0, 0)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_submitted_message_runs_out_of_time_too() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address) as producer:
        nsqd.script("PUB", silence)
        delivery = await producer.submit("t", b"x", timeout=0.03)
        with pytest.raises(PublishTimeout) as caught:
            await delivery
        assert caught.value.outcome == "unknown"
        nsqd.link.ok()


async def test_flushing_waits_for_what_is_pending_and_not_for_what_comes_later() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address, close_timeout=0.05) as producer:
        await producer.flush()
        nsqd.always("PUB", silence)
        await producer.submit("t", b"1")
        await nsqd.expect("IDENTIFY", "PUB t 1")
        flushing = asyncio.create_task(producer.flush())
        await asyncio.sleep(0)
        await producer.submit("t", b"2")
        await nsqd.expect("PUB t 2")
        assert not flushing.done()
        nsqd.link.ok()
        await flushing
        with pytest.raises(TimeoutError):
            await producer.flush(0.02)


async def test_after_the_end_nothing_is_taken() -> None:
    async with FakeNsqd() as nsqd:
        async with Producer(nsqd.address) as producer:
            pass
        with pytest.raises(Closed):
            await producer.submit("t", b"x")
        with pytest.raises(Closed):
            producer.submit_nowait("t", b"x")


async def test_a_burst_of_a_hundred_thousand_arrives_whole() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address, max_pending=200_000, timeout=60) as producer:
        for n in range(100_000):
            producer.submit_nowait("t", b"%d" % n)
        await producer.flush(60)
        assert producer.stats.stored == 100_000
        assert nsqd.commands[1:] == [f"PUB t {n}" for n in range(100_000)]


async def test_a_burst_waits_for_room_and_nothing_hangs_on_a_silent_nsqd() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address, max_pending=100, timeout=0.1) as producer:
        nsqd.always("PUB", silence)
        taken = refused = 0
        async with asyncio.timeout(10):
            for n in range(150):
                try:
                    await producer.submit("t", b"%d" % n)
                    taken += 1
                except Backlogged:
                    refused += 1
            await producer.flush()
        assert taken + refused == 150
        assert producer.stats.pending == 0
        reports: list[Report] = []
        while len(reports) < min(taken, 100):
            reports.append(await anext(producer.reports()))
        assert {type(report.error) for report in reports} == {PublishTimeout}


async def test_an_answer_lost_after_the_write_is_reported_as_unknown() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address, retry=QUICK) as producer:
        nsqd.script("PUB", drop)
        await producer.submit("t", b"x", note="n")
        report = await anext(producer.errors())
        assert report.error is not None
        assert getattr(report.error, "outcome", "") == "unknown"


async def test_several_submitted_together_leave_in_one_command_and_have_one_delivery() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address) as producer:
        delivery = await producer.submit_many("t", [b"a", b"b"], note="both")
        receipt = await delivery
        assert (receipt.count, delivery.note, producer.stats.stored) == (2, "both", 1)
        await nsqd.expect("IDENTIFY", "MPUB t a b")


async def test_several_submitted_together_wait_for_room_in_their_order() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address, max_pending=1) as producer:
        nsqd.script("MPUB", silence)
        first = await producer.submit_many("t", [b"a", b"b"])
        second = asyncio.create_task(producer.submit_many("t", [b"c", b"d"]))
        await nsqd.expect("IDENTIFY", "MPUB t a b")
        assert not second.done()
        nsqd.link.ok()
        await first
        await (await second)
        await nsqd.expect("MPUB t c d")


async def test_several_submitted_together_are_refused_as_one_would_be() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address) as producer:
        with pytest.raises(MessageTooLarge):
            await producer.submit_many("t", [b"a", b"x" * (1 << 20) + b"x"])
        with pytest.raises(EmptyMessage):
            await producer.submit_many("t", [])
        with pytest.raises(TypeError):
            await producer.submit_many("t", "text")
        nsqd.script("MPUB", refuse("E_BAD_TOPIC MPUB topic is not liked"))
        with pytest.raises(PublishRejected, match="not liked"):
            await (await producer.submit_many("t", [b"a"]))


async def test_several_submitted_together_pass_through_middleware() -> None:
    seen = list[object]()

    async def see(call_next: Send, outgoing: Outgoing) -> Receipt:
        seen.append((outgoing.value, outgoing.count))
        return await call_next(outgoing)

    async with FakeNsqd() as nsqd, Producer(nsqd.address, around=[see]) as producer:
        receipt = await (await producer.submit_many("t", iter([b"a", b"b"])))
        assert (receipt.count, seen) == (2, [([b"a", b"b"], 2)])
        await nsqd.expect("IDENTIFY", "MPUB t a b")


async def test_several_submitted_together_have_headers_where_the_producer_sends_some() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address, headers="auto") as producer:
        await (await producer.submit_many("t", [b"a", b"b"], headers={"kind": "letter"}))
        assert producer.stats.stored == 1
