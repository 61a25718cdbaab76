"""Every call of a consumer, cancelled at each place where it waits: no message is lost, no task is left."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from nsqclient import Message
from tests.nsqclient.consumers import make
from tests.support.cancellation import at_each_wait
from tests.support.fake_nsqd import FakeNsqd


@pytest.mark.parametrize("settings", [{}, {"rate": 50.0}, {"headers": "auto"}])
@pytest.mark.parametrize("late", [False, True])
async def test_a_message_that_is_waited_for_stays_first_in_line(late: bool, settings: dict[str, Any]) -> None:
    async with FakeNsqd() as nsqd, make(nsqd.address, max_in_flight=2, **settings) as consumer:
        await nsqd.until(lambda: "RDY" in nsqd.verbs)
        sent: list[str] = []

        async def work() -> Message:
            sent.append(nsqd.message())
            return await consumer.get(timeout=5)

        def begin() -> Coroutine[Any, Any, Message]:
            return work()

        async for cut in at_each_wait(begin, late=late):
            assert cut.cancelled or cut.result
            message = cut.result or await consumer.get(timeout=5)
            assert message.id == sent[-1]
            await message.finish()
        assert consumer.stats.finished == len(sent)


@pytest.mark.parametrize("late", [False, True])
async def test_a_whole_life_leaves_no_task_and_no_message(late: bool) -> None:
    async with FakeNsqd() as nsqd:

        async def live() -> bool:
            async with make(nsqd.address, drain=5, drain_on_error=1) as consumer:
                nsqd.message()
                async for message in consumer:
                    async with message:
                        await asyncio.sleep(0)
                    break
            return True

        async for cut in at_each_wait(live, late=late):
            assert cut.cancelled or cut.result
            left = [
                task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("nsqclient")
            ]
            assert left == []
            verbs = nsqd.links[-1].commands if nsqd.links else []
            answered = sum(command.startswith(("FIN", "REQ")) for command in verbs)
            assert answered <= 1, "it was answered twice"
            if cut.result:
                assert answered == 1
