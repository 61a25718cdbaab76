from __future__ import annotations

import asyncio

import pytest

from nsqclient import Message
from nsqclient.consumer import giveup as giveup_module
from tests.nsqclient.consumers import OPENING, QUICK, make
from tests.support.fake_nsqd import FakeNsqd


async def test_a_message_is_given_up_right_after_its_last_failure(caplog: pytest.LogCaptureFixture) -> None:
    async with FakeNsqd() as nsqd, make(nsqd.address, attempts=3, backoff=None) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        first = nsqd.message(attempts=2)
        (await consumer.get(timeout=5)).requeue(0)
        await nsqd.expect(f"REQ {first} 0")
        nsqd.message(attempts=3, message_id=first)
        message = await consumer.get(timeout=5)
        message.requeue(0)
        message.requeue(0)
        await nsqd.expect(f"FIN {first}")
        assert (message.state, message.given_up) == ("finished", True)
        assert consumer.stats.given_up == 1
    assert f"giving up message {first} of topic t after 3 attempts" in caplog.text


async def test_a_message_delivered_too_often_is_not_handed_out(caplog: pytest.LogCaptureFixture) -> None:
    async with FakeNsqd() as nsqd, make(nsqd.address, attempts=3, max_in_flight=2) as consumer:
        await nsqd.expect(*OPENING, "RDY 2")
        killer = nsqd.message(b"killer", attempts=4)
        nsqd.message(b"good", attempts=3)
        assert (await consumer.get(timeout=5)).body == b"good"
        await nsqd.expect(f"FIN {killer}")
        assert consumer.stats.given_up == 1
    assert "giving up" in caplog.text


async def test_without_a_limit_nothing_is_given_up() -> None:
    async with FakeNsqd() as nsqd, make(nsqd.address, attempts=0, backoff=None) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        message_id = nsqd.message(attempts=60000)
        (await consumer.get(timeout=5)).requeue(0)
        await nsqd.expect(f"REQ {message_id} 0")


async def test_requeueing_for_no_failure_gives_nothing_up() -> None:
    async with FakeNsqd() as nsqd, make(nsqd.address, attempts=1) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        message_id = nsqd.message(attempts=1)
        (await consumer.get(timeout=5)).requeue(0, backoff=False)
        await nsqd.expect(f"REQ {message_id} 0")


async def test_the_hook_runs_before_a_message_is_given_up() -> None:
    seen: list[tuple[bytes, BaseException | None]] = []
    let_go = asyncio.Event()

    async def hook(message: Message, error: BaseException | None) -> None:
        await let_go.wait()
        seen.append((message.body, error))

    async with FakeNsqd() as nsqd, make(nsqd.address, attempts=1, backoff=None, give_up=hook) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        message_id = nsqd.message(b"poison", attempts=1)
        error = LookupError()
        message = await consumer.get(timeout=5)
        with pytest.raises(LookupError):
            async with message:
                raise error
        nsqd.nothing_more()
        let_go.set()
        await nsqd.expect(f"FIN {message_id}")
        assert seen == [(b"poison", error)]


async def test_a_message_whose_hook_fails_is_requeued(caplog: pytest.LogCaptureFixture) -> None:
    async def hook(message: Message, error: BaseException | None) -> None:
        raise LookupError("no dead letters today")

    async with FakeNsqd() as nsqd, make(nsqd.address, attempts=1, give_up=hook) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        message_id = nsqd.message(attempts=1)
        message = await consumer.get(timeout=5)
        message.requeue()
        await nsqd.expect(f"REQ {message_id} 90000")
        assert (message.state, message.given_up) == ("requeued", False)
    assert "no dead letters today" in caplog.text


async def test_a_message_lost_while_its_hook_runs_is_not_answered() -> None:
    let_go = asyncio.Event()

    async def hook(message: Message, error: BaseException | None) -> None:
        await let_go.wait()

    settings = {"attempts": 1, "give_up": hook, "reconnect": QUICK, "backoff": None}
    async with FakeNsqd() as nsqd, make(nsqd.address, **settings) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        nsqd.message(attempts=1)
        message = await consumer.get(timeout=5)
        message.requeue()
        nsqd.link.drop()
        await nsqd.expect(*OPENING, "RDY 1")
        let_go.set()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert message.state == "lost"
        nsqd.nothing_more()


async def test_excuses_are_kept_for_a_bounded_number_of_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(giveup_module, "EXCUSED", 2)
    async with FakeNsqd() as nsqd, make(nsqd.address, attempts=1, max_in_flight=3) as consumer:
        await nsqd.expect(*OPENING, "RDY 3")
        give_up = consumer._reception.admission.give_up
        messages = []
        for _ in range(3):
            nsqd.message(attempts=1)
            messages.append(await consumer.get(timeout=5))
            give_up.excuse(messages[-1])
        assert [give_up._tried(message) for message in messages] == [1, 0, 0]
