"""Cancelled at the k-th turn of the loop, for every k: each message is answered once, and nothing is left."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from nsqclient import Consumer, Dedup, MemoryStore, Message, MessageBatch
from nsqclient.dedup.store import Claim
from tests.nsqclient.consumers import OPENING, make
from tests.nsqclient.producers import until
from tests.support.fake_nsqd import FakeNsqd

COUNT = 6


class SlowStore(MemoryStore):
    """Takes a turn of the loop to answer."""

    async def claim(self, key: str, owner: str, timeout: float) -> Claim:
        await asyncio.sleep(0)
        claim = await super().claim(key, owner, timeout)
        await asyncio.sleep(0)
        return claim


async def handler(message: Message) -> None:
    await asyncio.sleep(0)
    if message.body == b"3":
        raise LookupError
    await asyncio.sleep(0)


async def batch_handler(batch: MessageBatch) -> None:
    await asyncio.sleep(0)
    batch.settle(requeue=[0])
    await asyncio.sleep(0)


def plain_handler(message: Message) -> None:
    message.touch()


def work(kind: str, consumer: Consumer) -> Coroutine[Any, Any, None]:
    if kind == "batches":
        return consumer.run_batches(batch_handler, max_messages=3, linger=0.001, concurrency=2)
    if kind == "threads":
        return consumer.run(plain_handler, concurrency=2)
    return consumer.run(handler, concurrency=2)


@pytest.mark.parametrize("turns", [*range(16), 20, 25, 30])
@pytest.mark.parametrize("kind", ["handlers", "dedup", "batches", "threads", "letters"])
async def test_each_message_is_answered_once(kind: str, turns: int) -> None:
    settings: dict[str, Any] = {"max_in_flight": COUNT, "backoff": None, "drain": 5}
    if kind == "dedup":
        settings["dedup"] = Dedup(SlowStore(), key=lambda message: message.body.decode())
    if kind == "letters":
        settings |= {"attempts": 1, "dead_letter": "dead"}
    async with FakeNsqd() as nsqd:
        async with make(nsqd.address, **settings) as consumer:
            await nsqd.expect(*OPENING, f"RDY {COUNT}")
            task = asyncio.create_task(work(kind, consumer))
            ids = [nsqd.message(b"%d" % n) for n in range(COUNT)]
            await until(lambda: consumer.stats.received == COUNT)
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            async with asyncio.timeout(5):
                await asyncio.wait([task])
        answers = [c.split()[1] for c in nsqd.commands if c.split()[0] in ("FIN", "REQ")]
        assert sorted(answers) == ids
        assert consumer.stats.in_flight == 0
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not [task for task in left if task.get_name().startswith("nsqclient")]
