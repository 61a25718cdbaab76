"""Answers belong to publishes in order, and what is known of those that got none."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import pytest

from nsqclient import (
    Node,
    NoNodes,
    Producer,
    PublishNotSent,
    PublishRejected,
    PublishTimeout,
    PublishUnknown,
    RetryPolicy,
    Routing,
)
from tests.nsqclient.producers import QUICK, start, until
from tests.support.fake_nsqd import FakeNsqd, drop, ok, refuse, silence


async def test_what_was_queued_behind_a_refused_message_is_sent_again_unasked() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address, retry=QUICK) as producer:
        await producer.publish("t", b"first")
        nsqd.script("PUB", ok, refuse("E_BAD_MESSAGE PUB failed"))
        good, bad, *behind = start(producer, b"good", b"bad", b"1", b"2", b"3")
        await nsqd.expect("IDENTIFY", "PUB t first", "PUB t good", "PUB t bad")
        await nsqd.expect("IDENTIFY", "PUB t 1", "PUB t 2", "PUB t 3")
        await asyncio.gather(good, *behind)
        with pytest.raises(PublishRejected):
            await bad
        assert producer.stats.stored == 5


async def test_a_lost_answer_is_unknown() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address, retry=QUICK) as producer:
        nsqd.script("PUB", ok, drop)
        first, second, third = start(producer, b"1", b"2", b"3")
        await first
        for task in (second, third):
            with pytest.raises(PublishUnknown, match="the answer was lost") as caught:
                await task
            assert caught.value.node == nsqd.address
        await producer.publish("t", b"4")


async def test_a_lost_answer_may_be_retried_when_duplicates_are_harmless() -> None:
    retry = RetryPolicy(on_unknown="retry", backoff=QUICK.backoff)
    async with FakeNsqd() as nsqd, Producer(nsqd.address, retry=retry) as producer:
        nsqd.script("PUB", drop)
        tasks = start(producer, b"1", b"2")
        await nsqd.expect("IDENTIFY", "PUB t 1")
        receipts = await asyncio.gather(*tasks)
        assert [receipt.attempts for receipt in receipts] == [2, 2]
        await nsqd.until(lambda: nsqd.verbs.count("PUB") >= 3)
        assert nsqd.commands[-2:] == ["PUB t 1", "PUB t 2"], "in their order"


@pytest.mark.parametrize("answer", [b"CLOSE_WAIT", b"OK"])
async def test_an_answer_to_nothing_ends_the_connection(answer: bytes) -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address, retry=QUICK) as producer:
        await until(lambda: producer.stats.connections == 1)
        first = nsqd.link
        first.send(0, answer)
        async with asyncio.timeout(5):
            await first.gone.wait()
        await producer.publish("t", b"x")


async def test_a_refusal_after_a_lost_answer_is_unknown_still() -> None:
    retry = RetryPolicy(on_unknown="retry", backoff=QUICK.backoff)
    async with FakeNsqd() as nsqd, Producer(nsqd.address, retry=retry) as producer:
        nsqd.script("PUB", drop, refuse("E_UNAUTHORIZED AUTH failed for PUB"))
        with pytest.raises(PublishUnknown) as caught:
            await producer.publish("t", b"x")
        assert caught.value.code == "E_UNAUTHORIZED"


# ---- nodes that are not trusted


async def test_a_node_that_lets_publishes_run_out_of_time_is_passed_over_until_it_answers() -> None:
    async with (
        FakeNsqd() as stuck,
        FakeNsqd() as fine,
        Producer([stuck.address, fine.address], close_timeout=0) as producer,
    ):
        await until(lambda: producer.stats.connections == 2)
        stuck.always("PUB", silence)
        results = await asyncio.gather(*start(producer, b"1", b"2", timeout=0.05), return_exceptions=True)
        assert sorted(type(result).__name__ for result in results) == ["PublishTimeout", "Receipt"]
        for _ in range(5):
            assert (await producer.publish("t", b"x")).nodes == (fine.address,)
        stuck.always("PUB", ok)
        stuck.link.ok()
        await until(lambda: all(node.pending == 0 for node in producer.nodes))
        receipts = [await producer.publish("t", b"x") for _ in range(2)]
        assert {receipt.nodes for receipt in receipts} == {(stuck.address,), (fine.address,)}


async def test_nothing_more_is_written_once_a_write_has_failed() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address, retry=QUICK) as producer:
        await producer.publish("t", b"0")
        assert producer._dispatch is not None
        (outlet,) = producer._dispatch._outlets()
        nsqd.link.drop()
        tasks = start(producer, *[b"x" * 60_000] * 40)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        lost = [result for result in results if isinstance(result, PublishUnknown)]
        assert len(lost) < 10, "the rest was held back, and sent on the next connection"
        assert len(lost) + sum(not isinstance(result, BaseException) for result in results) == 40
        assert outlet.connected


async def test_a_node_that_answers_nothing_at_all_is_connected_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nsqclient.producer.outlet.SILENCE_LIMIT", 0.05)
    async with FakeNsqd() as nsqd, Producer(nsqd.address, retry=QUICK) as producer:
        nsqd.script("PUB", silence)
        with pytest.raises(PublishTimeout):
            await producer.publish("t", b"1", timeout=0.05)
        receipt = await producer.publish("t", b"2")
        assert receipt.attempts == 1
        await nsqd.expect("IDENTIFY", "PUB t 1", "IDENTIFY", "PUB t 2")
        assert "answers no publish" in str(producer.nodes[0].last_error)


async def test_a_node_that_comes_back_gets_one_message_before_it_gets_more() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address, retry=QUICK) as producer:
        await producer.publish("t", b"0")
        await nsqd.stop()
        await until(lambda: producer.stats.connections == 0)
        nsqd.script("PUB", silence)
        tasks = start(producer, b"1", b"2", b"3")
        await until(lambda: producer.stats.pending == 3)
        await nsqd.start()
        await nsqd.expect("IDENTIFY", "PUB t 0", "IDENTIFY", "PUB t 1")
        nsqd.link.heartbeat()
        await nsqd.until(lambda: nsqd.link.nops == 1)
        nsqd.nothing_more()
        nsqd.link.ok()
        await nsqd.expect("PUB t 2", "PUB t 3")
        await asyncio.gather(*tasks)


async def test_a_node_with_a_full_disk_costs_others_one_message_at_a_time() -> None:
    async with FakeNsqd() as full, FakeNsqd() as fine:
        full.always("PUB", refuse("E_PUB_FAILED PUB failed no space left on device"))
        async with Producer([full.address, fine.address], retry=QUICK) as producer:
            await until(lambda: producer.stats.connections == 2)
            for _ in range(10):
                receipts = await asyncio.gather(*(producer.publish("t", b"x") for _ in range(20)))
                assert {receipt.nodes for receipt in receipts} == {(fine.address,)}
                assert max(receipt.attempts for receipt in receipts) <= 4


async def test_several_answers_in_one_read_belong_to_the_oldest() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address) as producer:
        nsqd.script("PUB", *[silence] * 5)
        tasks = start(producer, b"1", b"2", b"3", b"4", b"5")
        await nsqd.expect("IDENTIFY", *[f"PUB t {n}" for n in range(1, 6)])
        frame = b"\0\0\0\x06\0\0\0\0OK"
        nsqd.link.raw(frame * 3 + frame[:4])
        await asyncio.gather(*tasks[:3])
        assert not any(task.done() for task in tasks[3:])
        nsqd.link.raw(frame[4:] + frame)
        await asyncio.gather(*tasks)


async def test_more_answers_than_publishes_end_the_connection() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address, retry=QUICK) as producer:
        nsqd.script("PUB", lambda link: link.raw(2 * b"\0\0\0\x06\0\0\0\0OK"))
        with pytest.raises(PublishUnknown, match="2 answers to 1 publishes"):
            await producer.publish("t", b"x")
        await producer.publish("t", b"y")


async def test_nodes_tell_how_they_are() -> None:
    async with FakeNsqd() as nsqd, FakeNsqd() as gone:
        await gone.stop()
        async with Producer([nsqd.address, gone.address], retry=QUICK) as producer:
            assert [node.rtt for node in producer.nodes] == [None, None]
            await producer.publish("t", b"x")
            nsqd.script("PUB", silence)
            await producer.submit("t", b"y")
            await nsqd.until(lambda: nsqd.verbs.count("PUB") == 2)
            await until(lambda: any(node.last_error is not None for node in producer.nodes))
            there, away = sorted(producer.nodes, key=lambda node: not node.connected)
            assert (there.address, there.connected, there.pending) == (nsqd.address, True, 1)
            assert there.rtt is not None
            assert 0 < there.rtt < 5
            assert (away.connected, away.pending, away.rtt) == (False, 0, None)
            assert "refused" in str(away.last_error)
            nsqd.link.ok()


async def test_checking_connects_and_tells_what_was_agreed() -> None:
    async with FakeNsqd(max_rdy_count=7) as nsqd, FakeNsqd() as gone:
        await gone.stop()
        async with Producer([nsqd.address, gone.address], retry=QUICK) as producer:
            agreed = await producer.check()
            assert {address: agreement.max_rdy_count for address, agreement in agreed.items()} == {
                nsqd.address: 7
            }
        async with Producer(gone.address, retry=QUICK) as producer:
            with pytest.raises(NoNodes, match="refused"):
                await producer.check(0.05)


async def test_why_a_nsqd_can_not_be_reached_is_told_once_at_info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "nsqclient")

    def told(level: int) -> int:
        return sum(r.levelno == level and "can't connect" in r.getMessage() for r in caplog.records)

    async with FakeNsqd() as nsqd, Producer(nsqd.address, retry=QUICK) as producer:
        await producer.check()
        for outage in (1, 2):
            await nsqd.stop()
            await until(lambda outage=outage: told(logging.DEBUG) >= 3 * outage)  # type: ignore[misc]
            assert told(logging.INFO) == outage
            await nsqd.start()
            await producer.check()


async def test_a_function_that_picks_wrongly_fails_that_message_only() -> None:
    def pick(topic: str, nodes: Sequence[Node]) -> Node:
        if topic == "bad":
            raise LookupError("no idea")
        return nodes[-1]

    async with (
        FakeNsqd() as one,
        FakeNsqd() as two,
        Producer([one.address, two.address], routing=Routing(pick=pick)) as producer,
    ):
        await until(lambda: producer.stats.connections == 2)
        with pytest.raises(PublishNotSent, match="no idea") as caught:
            await producer.publish("bad", b"x")
        assert isinstance(caught.value.__cause__, LookupError)
        receipts = [await producer.publish("good", b"x") for _ in range(3)]
        assert len({receipt.nodes for receipt in receipts}) == 1


async def test_a_check_need_not_wait_for_a_node_that_has_failed_to_come() -> None:
    async with Producer("127.0.0.1:1", timeout=60) as producer:
        async with asyncio.timeout(5):
            with pytest.raises(NoNodes, match="refused"):
                await producer.check(again=False)
