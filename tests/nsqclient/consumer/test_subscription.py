"""What becomes of messages whose time runs out, and of odd frames."""

from __future__ import annotations

import asyncio

import pytest

from nsqclient.connection.connection import Connection
from tests.nsqclient.consumers import OPENING, QUICK, make
from tests.support.fake_nsqd import FakeNsqd


async def test_answers_leave_together_and_at_once_when_no_message_is_left_to_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pieces: list[int] = []
    hand_over = Connection._hand_over

    def recorded(connection: Connection, data: bytes) -> None:
        pieces.append(data.count(b"\n"))
        hand_over(connection, data)

    async with FakeNsqd() as nsqd, make(nsqd.address, max_in_flight=5) as consumer:
        await nsqd.expect(*OPENING, "RDY 5")
        monkeypatch.setattr(Connection, "_hand_over", recorded)
        ids = [nsqd.message() for _ in range(3)]
        messages = [await consumer.get(timeout=5) for _ in ids]
        messages[0].finish()
        messages[1].requeue(0, backoff=False)
        assert pieces == []
        messages[2].finish()
        assert pieces == [3]
        await nsqd.expect(f"FIN {ids[0]}", f"REQ {ids[1]} 0", f"FIN {ids[2]}")
        ids = [nsqd.message() for _ in range(2)]
        messages = [await consumer.get(timeout=5) for _ in ids]
        messages[0].finish()
        await nsqd.expect(f"FIN {ids[0]}")
        assert pieces == [3, 1], "one that others could join leaves once the turn is over"
        messages[1].requeue(0, backoff=False)
        assert pieces == [3, 1, 1]


async def test_a_message_delivered_once_more_replaces_the_one_held() -> None:
    async with FakeNsqd() as nsqd, make(nsqd.address, max_in_flight=5) as consumer:
        await nsqd.expect(*OPENING, "RDY 5")
        message_id = nsqd.message(b"first")
        old = await consumer.get(timeout=5)
        nsqd.message(b"again", message_id=message_id, attempts=2)
        new = await consumer.get(timeout=5)
        assert (old.state, new.state) == ("lost", "held")
        old.finish()
        new.finish()
        await nsqd.expect(f"FIN {message_id}")
        assert consumer.stats.in_flight == 0


async def test_a_message_delivered_once_more_before_it_was_handed_out_comes_once() -> None:
    async with FakeNsqd() as nsqd, make(nsqd.address, max_in_flight=5) as consumer:
        await nsqd.expect(*OPENING, "RDY 5")
        message_id = nsqd.message(b"first")
        nsqd.message(b"again", message_id=message_id, attempts=2)
        nsqd.message(b"end")
        nsqd.link.heartbeat()
        await nsqd.until(lambda: nsqd.link.nops == 1)
        assert [(await consumer.get(timeout=5)).body for _ in range(2)] == [b"again", b"end"]
        assert consumer.stats.lost == 1


async def test_a_message_whose_time_ran_out_here_is_not_handed_out() -> None:
    async with (
        FakeNsqd(msg_timeout=50) as nsqd,
        make(nsqd.address, max_in_flight=5) as consumer,
    ):
        await nsqd.expect(*OPENING, "RDY 5")
        nsqd.message(b"old")
        nsqd.link.heartbeat()
        await nsqd.until(lambda: nsqd.link.nops == 1)
        await asyncio.sleep(0.06)
        nsqd.message(b"new")
        message = await consumer.get(timeout=5)
        assert message.body == b"new"
        assert consumer.stats.lost == 1
        message.finish()


async def test_what_nsqd_sends_in_place_of_expired_messages_does_not_pile_up() -> None:
    async with (
        FakeNsqd(msg_timeout=1) as nsqd,
        make(nsqd.address, max_in_flight=5) as consumer,
    ):
        await nsqd.expect(*OPENING, "RDY 5")
        for round_ in range(1, 21):
            for _ in range(5):
                nsqd.message()
            nsqd.link.heartbeat()
            await nsqd.until(lambda round_=round_: nsqd.link.nops == round_)  # type: ignore[misc]
            await asyncio.sleep(0.002)
        assert consumer.stats.received == 100
        assert consumer.stats.buffered <= 15


async def test_a_failed_touch_marks_its_message_lost() -> None:
    async with FakeNsqd() as nsqd, make(nsqd.address) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        message_id = nsqd.message()
        message = await consumer.get(timeout=5)
        message.touch()
        await nsqd.expect(f"TOUCH {message_id}")
        nsqd.link.error(f"E_TOUCH_FAILED TOUCH {message_id} failed ID not in flight")
        nsqd.link.heartbeat()
        await nsqd.until(lambda: nsqd.link.nops == 1)
        assert message.state == "lost"
        assert consumer.stats.lost == 1


async def test_an_answer_that_came_too_late_is_counted_and_survived() -> None:
    async with FakeNsqd() as nsqd, make(nsqd.address) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        message_id = nsqd.message()
        (await consumer.get(timeout=5)).finish()
        await nsqd.expect(f"FIN {message_id}")
        nsqd.link.error(f"E_FIN_FAILED FIN {message_id} failed ID not in flight")
        nsqd.message(b"next")
        assert (await consumer.get(timeout=5)).body == b"next"
        assert consumer.stats.lost == 1


async def test_a_message_that_is_none_ends_the_connection() -> None:
    async with FakeNsqd() as nsqd, make(nsqd.address, reconnect=QUICK):
        await nsqd.expect(*OPENING, "RDY 1")
        nsqd.link.send(2, b"too short")
        await nsqd.expect(*OPENING, "RDY 1")


async def test_an_answer_to_nothing_ends_the_connection() -> None:
    async with FakeNsqd() as nsqd, make(nsqd.address, reconnect=QUICK):
        await nsqd.expect(*OPENING, "RDY 1")
        nsqd.link.ok()
        await nsqd.expect(*OPENING, "RDY 1")
