"""Deadlines and values that messages bring along."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import pytest

from nsqclient import Consumer, Expired, Message, scope
from nsqclient.content.envelope import wrap
from tests.nsqclient.consumers import OPENING, make
from tests.support.fake_nsqd import FakeNsqd

NEXT_ID = "00000000000000aa"


def send(nsqd: FakeNsqd, headers: Mapping[str, str], *, age: float = 0.0, body: bytes = b"payload") -> str:
    """A message that nsqd got ``age`` seconds ago."""
    stamp = time.time_ns() - int(age * 1e9)
    nsqd.link.message(wrap(headers, body), message_id=NEXT_ID, timestamp=stamp)
    return NEXT_ID


def reading(nsqd: FakeNsqd, **settings: Any) -> Consumer:
    return make(nsqd.address, **{"headers": "auto", "backoff": None, **settings})


async def test_a_message_past_its_deadline_is_dropped_and_counted() -> None:
    async with FakeNsqd() as nsqd, reading(nsqd, max_in_flight=2) as consumer:
        events = consumer.events()
        await nsqd.expect(*OPENING, "RDY 2")
        expired = send(nsqd, {"deadline-ms": "1000"}, age=5)
        nsqd.message(b"without a deadline")
        assert (await consumer.get(timeout=5)).body == b"without a deadline"
        await nsqd.expect(f"FIN {expired}")
        assert (consumer.stats.expired, consumer.stats.given_up) == (1, 0)
    told = [event async for event in events if isinstance(event, Expired)]
    assert [(event.message_id, 3 < event.late < 4.5) for event in told] == [(expired, True)]


async def test_it_is_a_dead_letter_if_there_is_a_topic_for_them() -> None:
    async with FakeNsqd() as nsqd, reading(nsqd, dead_letter="dead") as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        expired = send(nsqd, {"deadline-ms": "1000"}, age=5)
        with pytest.raises(TimeoutError):
            await consumer.get(timeout=0.1)
        await nsqd.until(lambda: nsqd.commands[-1] == f"FIN {expired}")
        assert consumer.stats.dead_letters == 1


@pytest.mark.parametrize(
    "settings", [{"on_expired": "run"}, {"headers": "never"}], ids=["on demand", "without headers"]
)
async def test_it_may_be_handled_all_the_same(settings: dict[str, Any]) -> None:
    async with FakeNsqd() as nsqd, reading(nsqd, **settings) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        send(nsqd, {"deadline-ms": "1000"}, age=5)
        assert (await consumer.get(timeout=5)).body.endswith(b"payload")


async def test_a_handler_has_the_scope_that_its_message_brought() -> None:
    seen: list[object] = []

    async def handler(message: Message) -> None:
        remaining = scope.remaining()
        seen.append((message.body, scope.get("tenant"), remaining is not None and 25 < remaining < 31))

    async with FakeNsqd() as nsqd, reading(nsqd) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        task = asyncio.create_task(consumer.run(handler))
        for headers in ({"value-tenant": "acme", "deadline-ms": "30000"}, {}):
            await nsqd.expect(f"FIN {send(nsqd, headers)}")
        consumer.stop()
        await task
    assert seen == [(b"payload", "acme", True), (b"payload", None, False)]


async def test_a_handler_is_cancelled_at_its_senders_deadline() -> None:
    cancelled: list[str] = []

    async def handler(message: Message) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as e:
            cancelled.append(str(e))
            raise

    async with FakeNsqd() as nsqd, reading(nsqd, dead_letter="dead") as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        task = asyncio.create_task(consumer.run(handler, timeout=20))
        message_id = send(nsqd, {"deadline-ms": "1"}, age=0.45)  # half a second is granted for the clocks
        await nsqd.until(lambda: nsqd.commands[-1] == f"FIN {message_id}")
        assert (consumer.stats.expired, consumer.stats.dead_letters) == (1, 1)
        consumer.stop()
        await task
    assert cancelled == ["nsqclient: deadline"]


async def test_a_plain_function_has_the_scope_too() -> None:
    seen: list[object] = []

    def handler(message: Message) -> None:
        seen.append((scope.get("tenant"), dict(message.headers), message.key))

    async with FakeNsqd() as nsqd, reading(nsqd) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        task = asyncio.create_task(consumer.run(handler))
        headers = {"value-tenant": "acme", "message-key": "k"}
        await nsqd.expect(f"FIN {send(nsqd, headers)}")
        consumer.stop()
        await task
    assert seen == [("acme", headers, "k")]
